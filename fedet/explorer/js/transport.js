// The row of buttons below the picture: playing, stepping, zooming, undo, export.

const FORMAT_NAMES = { csv: "CSV", json: "ActivityNet JSON", eaf: "ELAN", vtt: "WebVTT", "boris.csv": "BORIS" };

class Transport {
  constructor(view) {
    this.view = view;
    const { scene, player, selection } = view;
    const { data } = scene;
    const on = (label, key, iconName, action) => button(label, key, action, { iconName });
    const group = (...nodes) => h("div", { className: "fx-group" }, ...nodes);
    this.play = on("Play", "Space", "play", () => player.toggle());
    this.time = h("output", { className: "fx-time", "aria-label": "Time and frame" });
    this.node = h("div", { className: "fx-transport", role: "toolbar", "aria-label": "Transport" },
      group(on("Previous interval", "↑", "earlier", () => selection.jump(-1)),
        on("One frame back", "←", "back", () => player.step(-1)), this.play,
        on("One frame forward", "→", "forward", () => player.step(1)),
        on("Next interval", "↓", "later", () => selection.jump(1))),
      this.time,
      group(...this.playing(on)),
      group(on("Zoom in", "+", "closer", () => view.zoom(0.5)), on("Zoom out", "-", "wider", () => view.zoom(2)),
        on("Whole video", "0", "whole", () => view.fitAll())),
      ...(data.readonly ? [] : [group(...this.history(on)), this.exporter()]),
      button("Keys", "?", () => view.showHelp(), { text: "?", className: "fx-ask" }));
  }

  /** How it plays: speed, repeating, face or whole picture. */
  playing(on) {
    const { view } = this;
    const { state, player } = view;
    const speed = h("select", { "aria-label": "Speed", title: "Speed",
      onchange: () => (state.speed = Number(speed.value)) },
      ...[0.1, 0.25, 0.5, 1, 2, 4].map((v) => h("option", { value: v, selected: v === 1 }, `${v}×`)));
    this.loop = on("Repeat the interval", "M", "loop", () => player.toggleLoop());
    this.face = on("Whole picture, face, face with points", "V", "face", () => player.toggleFace());
    this.face.hidden = !view.scene.data.picture.face;
    this.sound = on("Sound", "X", "sound", () => view.sound.toggle());
    this.sound.hidden = !view.sound.available;
    return [speed, this.loop, this.sound, this.face];
  }

  history(on) {
    const { editor } = this.view;
    this.undo = on("Undo", "Z", "undo", () => editor.edit("undo"));
    this.redo = on("Redo", "Y", "redo", () => editor.edit("redo"));
    return [this.undo, this.redo];
  }

  exporter() {
    const { link, scene } = this.view;
    const format = h("select", { "aria-label": "Format", className: "fx-format" },
      ...scene.data.formats.map((f) => h("option", { value: f }, FORMAT_NAMES[f] ?? f.toUpperCase())));
    this.report = h("output", { className: "fx-pop fx-report", hidden: true });
    const save = () => link.send({ kind: "export", format: format.value });
    return h("div", { className: "fx-group fx-export" }, format, button("Export", "", save, { text: "Export" }), this.report);
  }

  /** Says next to the button where the file is, and downloads it. */
  exported({ message, name }, data) {
    if (data) {
      const url = URL.createObjectURL(new Blob([data]));
      h("a", { href: url, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10000);
    }
    const close = () => (this.report.hidden = true);
    const text = data ? `${message}; downloaded as well` : message;
    this.report.replaceChildren(h("span", {}, text), button("Close", "", close, { text: "Close" }));
    this.report.hidden = false;
    this.view.say(text);
  }

  update() {
    const { state, scene } = this.view;
    this.play.replaceChildren(icon(state.playing ? "pause" : "play"));
    this.play.setAttribute("aria-label", state.playing ? "Pause" : "Play");
    this.loop.setAttribute("aria-pressed", String(state.loop));
    this.face.setAttribute("aria-pressed", String(state.face));
    this.sound.setAttribute("aria-pressed", String(!this.view.sound.muted));
    if (scene.data.readonly) return;
    this.undo.disabled = !scene.data.review.undo;
    this.redo.disabled = !scene.data.review.redo;
  }

  showTime() {
    const { state, scene } = this.view;
    this.time.textContent = `${clock(state.frame / scene.fps)} / ${clock(scene.n / scene.fps, 0)}   ${state.frame}`;
  }
}
