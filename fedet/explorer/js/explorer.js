// The explorer: one page with its state, drawn in animation frames, and what connects its parts.

const TRAITS = ["threshold", "nms", "tiou", "emotion", "classes", "types", "reviewer"];

/** One explorer on the page. `link` connects it: get(trait), set(traits), send(message). */
class Explorer {
  constructor(root, data, scores, link) {
    this.root = root;
    this.link = link;
    this.scene = new Scene(data, scores);
    this.scene.apply({});
    this.state = {
      frame: 0, hover: null, selected: null, preview: null, drawn: null, playing: false,
      speed: 1, loop: false, face: data.picture.face && data.picture.start_face, points: false,
      lane: data.review.hidden ? "prediction" : "review", queueAt: -1,
    };
    this.frames = new Frames((m) => link.send(m), (frame) => this.frameArrived(frame), data.n_frames);
    this.sound = new Sound(this);
    this.player = new Player(this);
    this.selection = new Selection(this);
    this.editor = new Editor(this);
    this.keyboard = new Keyboard(this);
    this.pointer = new Pointer(this);
    this.dirty = new Set();
    this.build();
    this.listen();
    this.theme();
    this.refresh();
    this.showSaved([...data.notices, data.review.saved].filter(Boolean).join(" · "));
  }

  // ---- the page

  build() {
    const { scene, root } = this;
    const { data } = scene;
    this.timeline = new Timeline(root, scene);
    this.screen = new Screen(scene);
    const { thumbs } = this.screen;
    const hasPicture = data.picture.available || thumbs.length > 0;
    if (hasPicture) this.timeline.film = new Film(scene, (m) => this.link.send(m), thumbs);
    this.screen.node.hidden = !hasPicture;
    this.inspector = new Inspector(this);
    this.side = new Side(this);
    this.timeline.sound = this.sound;
    this.settings = new Settings(this);
    this.transport = new Transport(this);
    this.notice = h("div", { className: "fx-notice", role: "status", hidden: true });
    this.live = h("div", { className: "fx-live", "aria-live": "polite" });
    this.tip = h("div", { className: "fx-tip", hidden: true });
    this.help = helpDialog(data.readonly);
    this.status = h("span", { className: "fx-selection" });
    this.saved = h("span", { className: "fx-saved" });
    this.lanesBox = h("div", {
      className: "fx-lanes", tabIndex: 0, role: "application",
      "aria-label": `Time axis of ${data.name}. Question mark shows the keys.`,
    }, this.timeline.base, this.timeline.over, this.tip);
    root.className = "fx" + (data.alone ? " fx-alone" : "") + (data.readonly ? " fx-readonly" : "");
    root.replaceChildren(h("div", { className: "fx-body" },
      this.notice,
      h("div", { className: "fx-stage" + (hasPicture ? "" : " fx-blind") },
        this.screen.node, this.inspector.node, this.side.node),
      this.transport.node,
      this.settings.node,
      h("div", { className: "fx-timeline" }, this.lanesBox, this.timeline.minimap.canvas),
      h("div", { className: "fx-status" }, this.status, this.saved),
      this.live, this.help));
  }

  listen() {
    const { timeline, root, screen } = this;
    this.abort = new AbortController();
    const { signal } = this.abort;
    root.addEventListener("keydown", (event) => this.keyboard.press(event), { signal });
    this.pointer.listen(signal);
    this.resizer = new ResizeObserver(() => this.resized());
    this.resizer.observe(this.lanesBox);
    this.resizer.observe(screen.node);
    this.themes = new MutationObserver(() => this.theme());
    const names = ["data-jp-theme-light", "data-jp-theme-name", "class", "data-theme"];
    for (const node of [document.body, document.documentElement])
      this.themes.observe(node, { attributes: true, attributeFilter: names });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.theme(), { signal });
    this.watch = setInterval(() => this.editor.checkKernel(), 1000);
    for (const { image } of screen.thumbs) image.addEventListener("load", () => this.mark("picture", "base"), { signal });
    timeline.minimap.canvas.setAttribute("aria-hidden", "true");
  }

  destroy() {
    this.abort.abort();
    this.resizer.disconnect();
    this.themes.disconnect();
    clearInterval(this.watch);
    clearTimeout(this.side.reviewTimer);
    clearTimeout(this.editor.queueTimer);
    cancelAnimationFrame(this.pendingDraw);
    this.player.destroy();
  }

  theme() {
    this.timeline.theme = readTheme(this.root);
    this.timeline.patterns.clear();
    this.timeline.minimap.cache = null;
    this.mark("base", "over", "mini", "figures");
  }

  resized() {
    const width = Math.floor(this.lanesBox.clientWidth);
    if (width && width !== this.timeline.width) {
      this.timeline.resize(width);
      this.mark("base", "over", "mini", "figures");
    }
    const { picture } = this.scene.data;
    const shown = Math.round(this.screen.node.clientWidth * (window.devicePixelRatio || 1));
    if (!shown || !picture.available) return;
    this.frames.configure(Math.min(shown, Math.max(160, picture.width)), this.player.shown());
    this.player.requestFrames();
  }

  // ---- drawing

  /** Marks parts to be drawn in the next animation frame, together. */
  mark(...parts) {
    for (const part of parts) this.dirty.add(part);
    if (!this.pendingDraw) this.pendingDraw = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.pendingDraw = 0;
    const { dirty, timeline, state } = this;
    if (!timeline.width) return;
    const any = (...parts) => parts.some((part) => dirty.has(part));
    if (any("base")) {
      timeline.drawBase(state);
      this.player.requestFilm();
    } else if (any("film")) timeline.film.draw(timeline.pen, timeline.lane("film"), timeline);
    if (any("base", "over")) timeline.axis.drawOver(state);
    if (any("base", "over", "mini")) timeline.minimap.draw(state);
    if (any("picture", "over")) this.showFrame();
    if (any("panel")) this.inspector.update();
    if (any("figures")) this.side.updateFigures();
    dirty.clear();
  }

  showFrame() {
    this.screen.show(this.state.frame, this.frames);
    this.transport.showTime();
  }

  frameArrived(frame) {
    if (frame === this.state.frame) this.mark("picture");
  }

  /** After settings or rows changed: everything that depends on them. */
  refresh() {
    this.timeline.minimap.cache = null;
    this.settings.update();
    this.transport.update();
    this.remark("");
    this.mark("base", "over", "mini", "panel", "figures", "picture");
  }

  // ---- settings

  /** A setting changed here (by a key or a slider of the page): for the scene and the widget. */
  set(settings) {
    this.scene.apply(settings);
    this.refresh();
    this.link.set(settings);
    this.editor.requestQueue();
  }

  /** A setting changed there (in Python, or in another view). */
  settingsChanged(settings) {
    const now = this.scene.settings;
    if (!TRAITS.some((t) => t in settings && JSON.stringify(settings[t]) !== JSON.stringify(now[t]))) return;
    this.scene.apply(settings);
    this.refresh();
    this.editor.requestQueue();
  }

  // ---- words

  focus() {
    this.lanesBox.focus({ preventScroll: true });
  }

  /** For a screen reader. */
  say(text) {
    this.live.textContent = text;
  }

  /** Why a key did nothing, below the lanes and for a screen reader; it stays until something is done. */
  remark(text) {
    if (text) this.say(text);
    const { done, total } = this.scene.progress();
    const progress = this.scene.data.review.hidden ? "" : `${done} of ${total} reviewed`;
    this.status.textContent = [progress, text].filter(Boolean).join(" · ");
  }

  /** Where the edits are. */
  showSaved(text) {
    this.saved.textContent = this.saved.title = text ?? "";
  }

  /** A banner; `actions` are [label, function]. */
  banner(text, actions = []) {
    this.notice.replaceChildren(h("span", {}, text), ...actions.map(([label, onclick]) =>
      h("button", { type: "button", className: "fx-button", onclick }, label)));
    this.notice.hidden = !text;
  }

  showHelp() {
    if (this.help.open) this.help.close();
    else this.help.showModal();
  }

  // ---- the window

  zoom(factor, at = null) {
    const { timeline, state } = this;
    const { from, to } = timeline.view;
    const inside = state.frame >= from && state.frame < to;
    timeline.zoom(factor, at ?? (inside ? state.frame + 0.5 : (from + to) / 2));
    this.mark("base");
  }

  fitAll() {
    this.timeline.setView(0, this.scene.n);
    this.mark("base");
  }

  fitItem(item = this.selection.item()) {
    if (!item) return this.fitAll();
    const room = Math.max((item.e - item.s) * 1.2, this.scene.fps);
    this.timeline.setView(item.s - room, item.e + room);
    this.mark("base");
  }

  pan(share) {
    const { from, to } = this.timeline.view;
    this.timeline.setView(from + (to - from) * share, to + (to - from) * share);
    this.mark("base");
  }
}
