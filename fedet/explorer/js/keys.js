// Keys: what each does while the explorer has the focus.

class Keyboard {
  constructor(view) {
    this.view = view;
    this.plain = { false: this.table(false), true: this.table(true) };
    this.control = { z: () => view.editor.edit("undo"), y: () => view.editor.edit("redo") };
  }

  press(event) {
    const control = event.ctrlKey || event.metaKey;
    // A notebook in command mode would act on plain letters (d d deletes the cell); Ctrl+S is its.
    if (!control && event.key !== "Tab") event.stopPropagation();
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
    if (typing) return event.key === "Escape" && this.view.focus();
    const onButton = event.target.tagName === "BUTTON" || event.target.tagName === "SUMMARY";
    if (onButton && (event.key === " " || event.key === "Enter")) return;
    if (event.altKey || event.key === "Tab") return;
    const action = this.action(event.key, control, event.shiftKey);
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    this.view.pointer.leave();
    action();
  }

  action(key, control, shift) {
    if (control) return this.control[key.toLowerCase()];
    const table = this.plain[shift];
    return table[key] ?? (key.length === 1 ? table[key.toLowerCase()] : null);
  }

  table(shift) {
    const { view } = this;
    const { scene, state, player, selection, editor } = view;
    const move = (name) => () => editor.edit("move", { [name]: state.frame });
    const emotions = scene.classes.slice(0, 9).map((name, i) =>
      [String(i + 1), () => editor.edit("relabel", { emotion: name })]);
    const nudge = (by) => () =>
      view.set({ threshold: clamp(Math.round((scene.settings.threshold + by) * 100) / 100, 0, 1) });
    return {
      " ": () => player.toggle(),
      ArrowLeft: () => player.step(shift ? -10 : -1),
      ArrowRight: () => player.step(shift ? 10 : 1),
      ArrowUp: () => selection.jump(-1),
      ArrowDown: () => selection.jump(1),
      PageUp: () => selection.jumpOpen(-1),
      PageDown: () => selection.jumpOpen(1),
      Home: () => player.step(-scene.n),
      End: () => player.step(scene.n),
      "+": () => view.zoom(0.5), "=": () => view.zoom(0.5),
      "-": () => view.zoom(2), "−": () => view.zoom(2), "_": () => view.zoom(2),
      0: () => view.fitAll(),
      f: () => view.fitItem(),
      ",": () => view.pan(-0.5), "<": () => view.pan(-0.5),
      ".": () => view.pan(0.5), ">": () => view.pan(0.5),
      l: () => selection.nextLane(),
      m: () => player.toggleLoop(),
      v: () => player.toggleFace(),
      x: () => view.sound.toggle(),
      "[": nudge(-0.01), "]": nudge(0.01),
      Enter: () => editor.decide("accept"),
      Backspace: () => editor.decide("reject"),
      a: () => editor.edit("accept"),
      r: () => editor.edit("reject"),
      u: () => editor.edit("reopen"),
      i: move("onset"), o: move("offset"), p: move("apex"),
      n: () => editor.command("new"),
      s: () => editor.command("split"),
      Delete: () => editor.edit("delete"),
      t: () => view.inspector.noteBox.focus(),
      q: () => selection.goQueue(state.queueAt + (shift ? -1 : 1)),
      z: () => editor.edit(shift ? "redo" : "undo"),
      y: () => editor.edit("redo"),
      "?": () => view.showHelp(),
      Escape: () => selection.select(state.lane, null),
      ...Object.fromEntries(emotions),
    };
  }
}
