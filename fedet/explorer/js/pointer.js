// The pointer on the lanes and on the minimap: select, drag edges, scrub, pan, zoom, pinch.

class Pointer {
  constructor(view) {
    this.view = view;
    this.pointers = new Map(); // id -> x
    this.drag = this.pinch = null;
  }

  listen(signal) {
    const { lanesBox, timeline, state } = this.view;
    const mini = timeline.minimap.canvas;
    const on = (node, name, action, passive = true) =>
      node.addEventListener(name, (event) => {
        const box = node.getBoundingClientRect();
        action(event, event.clientX - box.left, event.clientY - box.top);
      }, { signal, passive });
    on(lanesBox, "pointerdown", (event, x, y) => this.press(event, x, y));
    on(lanesBox, "pointermove", (event, x, y) => this.moved(event, x, y));
    on(lanesBox, "pointerup", (event) => this.release(event));
    on(lanesBox, "pointercancel", (event) => this.release(event));
    on(lanesBox, "pointerleave", () => this.leave());
    on(lanesBox, "dblclick", (event, x, y) => {
      const { item } = timeline.hit(x, y, state);
      if (item) this.view.fitItem(item);
    });
    on(lanesBox, "wheel", (event, x) => this.wheel(event, x), false);
    on(mini, "pointerdown", (event, x) => this.pressMini(event, x));
    on(mini, "pointermove", (event, x) => event.buttons && this.dragMini(x));
    on(mini, "wheel", (event) => this.wheel(event, null), false);
  }

  press(event, x, y) {
    const { view } = this;
    if (event.button !== 0) return;
    view.focus();
    view.lanesBox.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, x);
    if (this.pointers.size === 2) return this.startPinch();
    const hit = view.timeline.hit(x, y, view.state, event.pointerType === "touch" ? 16 : EDGE);
    this.drag = { kind: this.dragKind(hit, x, y, event.shiftKey), x, y, view: { ...view.timeline.view },
      moved: false, part: hit.part, item: hit.item };
    if (this.drag.kind === "scrub") {
      view.player.pause();
      view.player.seek(view.timeline.frameAt(x), { follow: false });
    } else if (hit.item && this.drag.kind !== "level")
      view.selection.select(hit.lane.key, hit.item, { seek: hit.part === "body" });
  }

  /** What a drag from here does. */
  dragKind(hit, x, y, shift) {
    const { scene, timeline } = this.view;
    if (y < RULER) return "scrub";
    if (timeline.curves.onLevel(x, y)) return "level";
    if (hit.item) return hit.part !== "body" && !scene.data.readonly ? "edge" : "pan";
    return shift && hit.lane?.key === "review" && !scene.data.readonly ? "new" : "pan";
  }

  moved(event, x, y) {
    if (this.pointers.has(event.pointerId)) this.pointers.set(event.pointerId, x);
    if (this.pinch) return this.pinchOn();
    if (this.drag) return this.dragOn(x, y);
    const hit = this.view.timeline.hit(x, y, this.view.state);
    const cursors = { scrub: "col-resize", level: "ns-resize", edge: "ew-resize" };
    this.view.lanesBox.style.cursor = cursors[this.dragKind(hit, x, y, false)] ?? (hit.item ? "pointer" : "default");
    this.showTip(x, y, hit);
  }

  dragOn(x, y) {
    const { drag, view } = this;
    const { timeline, state, scene } = view;
    if (Math.hypot(x - drag.x, y - drag.y) > 3) drag.moved = true;
    if (!drag.moved) return;
    if (drag.kind === "scrub") view.player.seek(timeline.frameAt(x), { follow: false });
    if (drag.kind === "pan") {
      const by = (drag.x - x) / timeline.scale;
      timeline.setView(drag.view.from + by, drag.view.to + by);
      view.mark("base");
    }
    if (drag.kind === "edge") this.dragEdge(x);
    if (drag.kind === "level") view.set({ threshold: timeline.curves.levelAt(y) });
    if (drag.kind === "new") {
      const [a, b] = [timeline.frameAt(drag.x), timeline.frameAt(x)].sort((p, q) => p - q);
      state.drawn = { s: clamp(Math.floor(a), 0, scene.n - 1), e: clamp(Math.ceil(b), 1, scene.n) };
      view.mark("over");
    }
    view.tip.hidden = true;
  }

  /** The edge follows the pointer frame by frame, and the picture shows the frame at the edge. */
  dragEdge(x) {
    const { timeline, state, scene, player } = this.view;
    const { item, part } = this.drag;
    const frame = timeline.frameAt(x);
    const next = { s: item.s, e: item.e, apex: item.apex };
    if (part === "onset") next.s = clamp(Math.round(frame), 0, item.e - 1);
    if (part === "offset") next.e = clamp(Math.round(frame), item.s + 1, scene.n);
    if (part === "apex") next.apex = clamp(Math.floor(frame), item.s, item.e - 1);
    else if (item.apex !== null) next.apex = clamp(item.apex, next.s, next.e - 1);
    state.preview = { id: item.id, ...next };
    player.seek({ onset: next.s, offset: next.e - 1, apex: next.apex }[part], { follow: false });
    this.view.mark("base");
  }

  release(event) {
    this.pointers.delete(event.pointerId);
    if (this.pinch) {
      if (!this.pointers.size) this.pinch = null;
      return;
    }
    const { drag, view } = this;
    const { state } = view;
    const { preview, drawn } = state;
    this.drag = state.preview = state.drawn = null;
    if (!drag) return;
    if (event.type !== "pointercancel") this.finish(drag, preview, drawn);
    view.mark("base", "over");
  }

  finish(drag, preview, drawn) {
    const { state, scene, timeline, editor, player, selection } = this.view;
    if (drag.kind === "edge" && preview) {
      const value = { onset: preview.s, offset: preview.e - 1, apex: preview.apex }[drag.part];
      editor.edit("move", { [drag.part]: value });
    } else if (drag.kind === "new" && drawn && drag.moved) {
      const emotion = scene.likely((drawn.s + drawn.e) >> 1);
      const person = scene.personAt(drawn.s, selection.item());
      editor.edit("add", { onset: drawn.s, offset: drawn.e - 1, emotion, person });
    } else if (drag.kind === "pan" && !drag.moved && !drag.item) {
      player.pause();
      selection.select(state.lane, null);
      player.seek(timeline.frameAt(drag.x), { follow: false });
    }
  }

  startPinch() {
    const { timeline, state } = this.view;
    const [a, b] = [...this.pointers.values()];
    this.drag = state.preview = null;
    this.pinch = { distance: Math.max(20, Math.abs(a - b)), middle: timeline.frameAt((a + b) / 2), view: { ...timeline.view } };
  }

  pinchOn() {
    if (this.pointers.size < 2) return;
    const [a, b] = [...this.pointers.values()];
    const { timeline } = this.view;
    const { view, distance, middle } = this.pinch;
    const span = ((view.to - view.from) * distance) / Math.max(20, Math.abs(a - b));
    const share = ((a + b) / 2 - timeline.gutter) / timeline.plotWidth;
    timeline.setView(middle - share * span, middle + (1 - share) * span);
    this.view.mark("base");
  }

  leave() {
    this.view.tip.hidden = true;
    this.view.state.hover = null;
    this.view.mark("over");
  }

  wheel(event, x) {
    const { timeline, lanesBox } = this.view;
    const { from, to } = timeline.view;
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (!lanesBox.contains(document.activeElement) && !event.ctrlKey && !sideways) return; // the page scrolls
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : 1;
    if (sideways || event.shiftKey) {
      const by = (((sideways ? event.deltaX : event.deltaY) * unit) / timeline.plotWidth) * (to - from);
      timeline.setView(from + by, to + by);
    } else {
      const at = x === null ? (from + to) / 2 : timeline.frameAt(x);
      timeline.zoom(Math.exp(event.deltaY * unit * (event.ctrlKey ? 0.008 : 0.0022)), at);
    }
    this.view.mark("base");
  }

  pressMini(event, x) {
    const { timeline, scene } = this.view;
    timeline.minimap.canvas.setPointerCapture(event.pointerId);
    const frame = timeline.minimap.frameAt(x);
    const { from, to } = timeline.view;
    const slack = (6 / timeline.plotWidth) * scene.n;
    const edge = Math.abs(frame - from) < slack ? "from" : Math.abs(frame - to) < slack ? "to" : null;
    this.miniDrag = { edge, grip: frame >= from && frame <= to ? frame - from : (to - from) / 2 };
    this.dragMini(x);
  }

  dragMini(x) {
    const { timeline } = this.view;
    const { edge, grip } = this.miniDrag;
    const frame = timeline.minimap.frameAt(x);
    const { from, to } = timeline.view;
    if (edge === "from") timeline.setView(Math.min(frame, to - 12), to);
    else if (edge === "to") timeline.setView(from, Math.max(frame, from + 12));
    else timeline.setView(frame - grip, frame - grip + to - from);
    this.view.mark("base");
  }

  /** Frame, time and scores under the pointer, and the interval if it is on one. */
  showTip(x, y, hit) {
    const { timeline, scene, state, tip } = this.view;
    state.hover = x >= timeline.gutter ? x : null;
    this.view.mark("over");
    tip.hidden = state.hover === null;
    if (tip.hidden) return;
    const frame = clamp(Math.floor(timeline.frameAt(x)), 0, scene.n - 1);
    const lines = [h("b", {}, `${clock(frame / scene.fps)} · frame ${frame}`)];
    for (const [name, value] of scene.scoresAt(frame)) {
      const text = `${name} ${value === null ? "–" : value.toFixed(2)}`;
      lines.push(h("span", { className: "fx-tip-score" }, swatch(scene.colour(scene.classes.indexOf(name))), text));
    }
    if (hit.item) lines.push(h("span", {}, scene.describe(hit.item)));
    if (hit.item?.note) lines.push(h("i", {}, hit.item.note));
    tip.replaceChildren(...lines);
    tip.style.left = clamp(x + 14, 0, Math.max(0, timeline.width - tip.offsetWidth - 4)) + "px";
    tip.style.top = Math.max(y + 16, RULER + 4) + "px";
  }
}
