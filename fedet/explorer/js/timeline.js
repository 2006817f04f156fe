// The time axis: its lanes, what is at which pixel, and the canvases that show them.

const RULER = 24; // its height, pixels
const GAP = 4; // between lanes
const EDGE = 7; // pixels around an edge that take hold of it
const LANE_NAMES = { truth: "Truth", prediction: "Prediction", review: "Review" };

/** The canvases of the time axis, and what is at which pixel of them. */
class Timeline {
  constructor(root, scene) {
    this.root = root;
    this.scene = scene;
    this.base = h("canvas", { className: "fx-base" });
    this.over = h("canvas", { className: "fx-over" });
    this.minimap = new Minimap(this);
    this.axis = new AxisPainter(this);
    this.tracks = new TrackPainter(this);
    this.curves = new CurvePainter(this);
    this.view = { from: 0, to: scene.n };
    this.patterns = new Map();
    this.width = 0;
  }

  /** Lanes from top to bottom. Heights do not depend on the settings: overlapping intervals share a lane's. */
  layout() {
    const { scene } = this;
    const narrow = this.width < 560;
    this.gutter = narrow ? 0 : 84;
    const caption = narrow ? 13 : 0;
    let y = RULER + GAP;
    this.lanes = [];
    const add = (key, label, height) => {
      this.lanes.push({ key, label, y: y + caption, h: height, caption: y });
      y += height + caption + GAP;
    };
    if (this.film) add("film", "Frames", FILM);
    if (scene.truth) add("truth", "Truth", 26);
    add("prediction", scene.seeds[0].name, 28);
    scene.seeds.slice(1).forEach((s, i) => add("seed" + (i + 1), s.name, 9));
    if (!scene.data.review.hidden) add("review", "Review", 30);
    if (scene.curves.length) add("curves", "Scores", 52);
    if (this.sound?.available) {
      add("wave", "Sound", 24);
      add("speech", "Speech", 8);
    }
    if (scene.missing.length) add("missing", "No face", 7);
    this.height = y;
    this.fit(this.base, this.width, this.height);
    this.fit(this.over, this.width, this.height);
    this.fit(this.minimap.canvas, this.width, MINIMAP);
    this.minimap.cache = null;
  }

  fit(canvas, width, height) {
    const ratio = window.devicePixelRatio || 1;
    canvas.style.height = height + "px";
    canvas.width = Math.max(1, Math.round(width * ratio));
    canvas.height = Math.max(1, Math.round(height * ratio));
  }

  resize(width) {
    this.width = width;
    this.layout();
  }

  /** A fresh context in CSS pixels. */
  context(canvas) {
    const ratio = window.devicePixelRatio || 1;
    const c = canvas.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, canvas.width, canvas.height);
    c.font = `11px ${this.theme.font}`;
    c.textBaseline = "middle";
    return c;
  }

  get plotWidth() {
    return Math.max(1, this.width - this.gutter);
  }

  get scale() {
    return this.plotWidth / (this.view.to - this.view.from); // pixels per frame
  }

  x(frame) {
    return this.gutter + (frame - this.view.from) * this.scale;
  }

  frameAt(x) {
    return this.view.from + (x - this.gutter) / this.scale;
  }

  lane(key) {
    return this.lanes.find((lane) => lane.key === key);
  }

  /** Zoom to [from, to) frames, kept inside the video and above twelve frames. */
  setView(from, to) {
    const { n } = this.scene;
    const span = clamp(to - from, Math.min(12, n), n);
    const middle = (from + to) / 2;
    const start = clamp(middle - span / 2, 0, n - span);
    this.view = { from: start, to: start + span };
  }

  zoom(factor, at) {
    const { from, to } = this.view;
    const span = clamp((to - from) * factor, Math.min(12, this.scene.n), this.scene.n);
    const share = (at - from) / (to - from);
    this.setView(at - share * span, at + (1 - share) * span);
  }

  trackOf(key) {
    const { scene } = this;
    if (key.startsWith("seed")) return scene.seeds[Number(key.slice(4))].track;
    return { truth: scene.truth, prediction: scene.predictions, review: scene.review }[key];
  }

  /** Top and height of an item in its lane. */
  box(lane, item) {
    if (lane.key.startsWith("seed")) return { y: lane.y + 2, h: lane.h - 4 };
    const depth = this.scene.depth[lane.key] ?? 1;
    const height = (lane.h - 2) / depth;
    // A hidden one that is selected keeps the row it had.
    return { y: lane.y + 1 + Math.min(item.row, depth - 1) * height, h: height - 1 };
  }

  // ---- the base picture: everything but playhead and hover

  drawBase(state) {
    const c = (this.pen = this.context(this.base));
    this.axis.drawGround(c);
    for (const lane of this.lanes) {
      if (lane.key === "film") this.film.draw(c, lane, this);
      else if (lane.key === "curves") this.curves.draw(c, lane);
      else if (lane.key === "missing") this.axis.drawMissing(c, lane);
      else if (lane.key === "wave") this.sound.drawWave(c, lane, this);
      else if (lane.key === "speech") this.sound.drawSpeech(c, lane, this);
      else this.tracks.draw(c, lane, state);
    }
    this.axis.drawRuler(c);
    this.axis.drawLabels(c, state);
  }

  clipPlot(c) {
    c.beginPath();
    c.rect(this.gutter, 0, this.plotWidth, this.height);
    c.clip();
  }

  /** A hatched fill in a colour. */
  hatch(colour, alpha, size) {
    const key = colour + alpha + size;
    if (this.patterns.has(key)) return this.patterns.get(key);
    const ratio = window.devicePixelRatio || 1;
    const tile = h("canvas", { width: size * ratio, height: size * ratio });
    const c = tile.getContext("2d");
    c.scale(ratio, ratio);
    c.globalAlpha = alpha;
    c.strokeStyle = colour;
    c.lineWidth = 1.3;
    c.beginPath();
    for (const shift of [-size, 0, size]) line(c, shift - 1, size + 1, shift + size + 1, -1);
    c.stroke();
    const pattern = this.base.getContext("2d").createPattern(tile, "repeat");
    pattern.setTransform(new DOMMatrix().scale(1 / ratio));
    this.patterns.set(key, pattern);
    return pattern;
  }

  // ---- what is where

  laneAt(y) {
    return this.lanes.find((lane) => y >= lane.y - 3 && y < lane.y + lane.h + 3) ?? null;
  }

  /** What a pointer at (x, y) is on: {lane, item, part} with part body, onset, offset or apex. */
  hit(x, y, state, reach = EDGE) {
    const lane = this.laneAt(y);
    if (!lane || x < this.gutter || ["film", "curves", "wave", "speech", "missing"].includes(lane.key)) return { lane, item: null };
    const frame = this.frameAt(x);
    const slack = reach / this.scale;
    let best = null;
    const track = this.trackOf(lane.key);
    const [first, last] = track.range(frame - slack, frame + slack);
    for (let i = first; i < last; i++) {
      const item = track.items[i];
      if (item.e <= frame - slack) continue;
      const chosen = state.selected?.id === item.id && state.selected.lane === lane.key;
      if (!chosen && !this.scene.shows(lane.key, item)) continue;
      const { y: top, h: tall } = this.box(lane, item);
      if (y < top - 3 || y > top + tall + 3) continue;
      const part = lane.key === "review" ? this.part(item, x, y, top + tall, reach, chosen) : "body";
      if (!part && !(frame >= item.s && frame < item.e)) continue;
      if (chosen) return { lane, item, part: part ?? "body" };
      if (!best || item.e - item.s < best.item.e - best.item.s) best = { lane, item, part: part ?? "body" };
    }
    return best ?? { lane, item: null };
  }

  part(item, x, y, bottom, reach, chosen) {
    const [a, b] = [this.x(item.s), this.x(item.e)];
    const inner = Math.min(reach, (b - a) / 3);
    const apex = item.apex === null ? null : this.x(item.apex + 0.5);
    if (chosen && apex !== null && Math.abs(x - apex) < 6 && y > bottom - 11) return "apex";
    if (x >= a - reach && x <= a + inner) return "onset";
    if (x >= b - inner && x <= b + reach) return "offset";
    return null;
  }
}
