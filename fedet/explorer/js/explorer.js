// The interval explorer: what a browser shows of one video's intervals.
//
// One ES module without dependencies, build step or network. It runs in two places: as the view of
// an anywidget (`render`), where Python serves frames and keeps the review, and in a saved page
// (`mount` with embedded data), where everything but frames and edits works without a kernel.
//
// Positions are in frames. An interval is half-open here, [s, e) with e = offset + 1, so that its
// length is e - s and a pixel edge is a frame edge.
//
//   1  numbers and text        5  drawing the lanes
//   2  intervals               6  the picture
//   3  curves                  7  panels
//   4  the scene               8  the explorer: state, edits, keys, pointer
//                              9  mounting
//
// Every text that comes from data is put on the page with textContent or fillText, never as HTML.

// ---------------------------------------------------------------- 1. Numbers and text

const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

/** Seconds as 1:02:03.456, hours only if there are any. */
export function clock(seconds, digits = 3) {
  const scale = 10 ** digits;
  let rest = Math.round(Math.max(0, seconds) * scale);
  const fraction = rest % scale;
  rest = (rest - fraction) / scale;
  const [h, m, s] = [Math.floor(rest / 3600), Math.floor(rest / 60) % 60, rest % 60];
  const two = (n) => String(n).padStart(2, "0");
  const end = digits ? "." + String(fraction).padStart(digits, "0") : "";
  return (h ? h + ":" + two(m) : String(m)) + ":" + two(s) + end;
}

const percent = (x) => (x === null ? "–" : x.toFixed(3).replace(/^0/, ""));
const score2 = (x) => (x === null ? "" : x.toFixed(2));

/** The step for ruler ticks: the smallest round one of at least `least` frames. */
export function tickStep(least, fps) {
  const frames = [1, 2, 5, 10];
  const seconds = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];
  const steps = [...frames.filter((n) => n < fps), ...seconds.map((s) => s * fps)];
  return steps.find((step) => step >= least) ?? steps[steps.length - 1];
}

/** An element with properties, and children that are elements or plain text. */
function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && name !== "list") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Dark or white, whichever reads better on a #rrggbb colour (WCAG relative luminance). */
export function inkOn(colour) {
  const linear = (i) => {
    const v = parseInt(colour.slice(i, i + 2), 16) / 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  };
  const luminance = 0.2126 * linear(1) + 0.7152 * linear(3) + 0.0722 * linear(5);
  return luminance > 0.179 ? "#111" : "#fff";
}

// ---------------------------------------------------------------- 2. Intervals

const sharedFrames = (a, b) => Math.max(0, Math.min(a.e, b.e) - Math.max(a.s, b.s));

/** Temporal intersection over union of two intervals, counted in frames. */
export function tiou(a, b) {
  const shared = sharedFrames(a, b);
  return shared / (a.e - a.s + (b.e - b.s) - shared);
}

/** Sorted by onset, with the furthest end so far: finds what overlaps a span by two searches. */
export class Track {
  constructor(items) {
    this.items = [...items].sort((a, b) => a.s - b.s || a.e - b.e);
    this.starts = Float64Array.from(this.items, (item) => item.s);
    this.reach = new Float64Array(this.items.length);
    let furthest = -Infinity;
    this.items.forEach((item, i) => (this.reach[i] = furthest = Math.max(furthest, item.e)));
  }

  /** [first, last) of the items that can overlap [from, to). */
  range(from, to) {
    return [above(this.reach, from, true), above(this.starts, to, false)];
  }
}

/** The first index of an ascending array whose value is above `x`, or (not `strict`) reaches it. */
function above(array, x, strict) {
  let [low, high] = [0, array.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (strict ? array[middle] > x : array[middle] >= x) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The first index of n for which the (monotone) test holds. */
function bisect(n, test) {
  let [low, high] = [0, n];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (test(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The protocol's order: descending score (none: sure), earlier onset, earlier offset. */
export const byScore = (a, b) =>
  (b.score ?? 1) - (a.score ?? 1) || a.s - b.s || a.e - b.e || a.cls - b.cls;

/** What NMS and matching need of a list and what no setting changes: the order, and tracks. */
export function prepare(items) {
  const order = [...items].sort(byScore);
  order.forEach((item, rank) => (item.rank = rank));
  const classes = new Map();
  for (const item of items) {
    if (!classes.has(item.cls)) classes.set(item.cls, []);
    classes.get(item.cls).push(item);
  }
  for (const [cls, list] of classes) classes.set(cls, new Track(list));
  return { order, classes };
}

/** Ids that a better interval of the same emotion overlaps by more than `strength` (tIoU). */
export function suppressed({ order, classes }, strength) {
  if (strength >= 1) return new Set();
  const gone = new Uint8Array(order.length); // by rank
  for (const item of order) {
    if (gone[item.rank]) continue;
    const { items, starts, reach } = classes.get(item.cls);
    const last = above(starts, item.e, false);
    for (let i = above(reach, item.s, true); i < last; i++) {
      const other = items[i];
      if (other.rank > item.rank && !gone[other.rank] && tiou(item, other) > strength + 1e-9) gone[other.rank] = 1;
    }
  }
  return new Set(order.filter((item) => gone[item.rank]).map((item) => item.id));
}

/**
 * Greedy one-to-one matching of the protocol: predictions in descending score, each takes the free
 * event with the highest tIoU if that reaches the threshold.
 *
 * Because the order is by score, the matching above any score threshold is the beginning of this
 * one, so that moving the threshold needs no new matching.
 *
 * With `emotion`, the labels must agree; an event of unknown emotion is then neither found nor
 * missed, and a prediction left over that lies on one is ignored.
 *
 * `order` holds the predictions in the order of `byScore`.
 */
export function matchGreedy(order, truth, threshold, emotion = false) {
  const track = new Track(truth);
  const takes = new Map(); // prediction -> event
  const found = new Map(); // event -> prediction
  const ignored = new Set();
  const best = (p, allowed) => {
    let [event, most] = [null, 0];
    const [first, last] = track.range(p.s, p.e);
    for (let i = first; i < last; i++) {
      const t = track.items[i];
      const shared = sharedFrames(p, t);
      if (!shared || found.has(t) || !allowed(p, t)) continue;
      const union = p.e - p.s + (t.e - t.s) - shared;
      if (shared + 1e-9 >= threshold * union && shared / union > most + 1e-12) {
        event = t;
        most = shared / union;
      }
    }
    return event;
  };
  const fits = emotion ? (p, t) => t.cls === p.cls && t.cls >= 0 : () => true;
  for (const p of order) {
    const event = best(p, fits);
    if (event) {
      takes.set(p, event);
      found.set(event, p);
    }
  }
  if (emotion)
    for (const p of order) {
      const event = takes.has(p) ? null : best(p, (_, t) => t.cls < 0);
      if (event) {
        found.set(event, p);
        ignored.add(p);
      }
    }
  return { order, takes, found, ignored, truth: truth.filter((t) => !emotion || t.cls >= 0) };
}

/** TP, FP, FN, precision, recall and F1 of the first `count` predictions of a matching. */
export function figures(matching, count, kind = null) {
  let [tp, fp] = [0, 0];
  for (let i = 0; i < count; i++) {
    const p = matching.order[i];
    const event = matching.takes.get(p);
    if (event) tp += kind === null || event.type === kind;
    else if (!matching.ignored.has(p)) fp += kind === null || p.type === kind;
  }
  const events = matching.truth.reduce((n, t) => n + (kind === null || t.type === kind), 0);
  return { tp, fp, fn: events - tp, ...ratios(tp, fp, events - tp) };
}

function ratios(tp, fp, fn) {
  const share = (a, b) => (b ? a / b : null);
  return {
    precision: share(tp, tp + fp),
    recall: share(tp, tp + fn),
    f1: share(2 * tp, 2 * tp + fp + fn),
  };
}

/** F1 when the first k predictions are kept, for every k; null where it is undefined. */
export function f1ByCount(matching) {
  const events = matching.truth.length;
  let [tp, fp] = [0, 0];
  const curve = [events ? 0 : null];
  for (const p of matching.order) {
    if (matching.takes.has(p)) tp++;
    else if (!matching.ignored.has(p)) fp++;
    curve.push(ratios(tp, fp, events - tp).f1);
  }
  return curve;
}

/** Puts overlapping items of those `shown` on different rows, at most `most`; returns the number used. */
export function stack(track, most = 3, shown = () => true) {
  const ends = [];
  for (const item of track.items) {
    if (!shown(item)) continue;
    let row = ends.findIndex((end) => end <= item.s);
    if (row < 0) row = ends.length < most ? ends.push(0) - 1 : ends.indexOf(Math.min(...ends));
    ends[row] = Math.max(ends[row], item.e);
    item.row = row;
  }
  return Math.max(1, ends.length);
}

// ---------------------------------------------------------------- 3. Curves

const MISSING = 65535; // scores are stored as 0...65534, this one says "no score here"

/** Minimum and maximum of ever longer runs (2, 4, 8... values), for drawing at any zoom. */
export function pyramid(values) {
  const levels = [{ min: values, max: values }];
  while (levels[levels.length - 1].min.length > 512) {
    const { min, max } = levels[levels.length - 1];
    const n = Math.ceil(min.length / 2);
    const next = { min: new Uint16Array(n), max: new Uint16Array(n) };
    for (let i = 0; i < n; i++) {
      const [a, b] = [2 * i, Math.min(2 * i + 1, min.length - 1)];
      next.min[i] = Math.min(min[a], min[b]);
      // A gap among scores must not look like a peak: it counts only if there is nothing else.
      const peak = (x) => (x === MISSING ? -1 : x);
      const top = Math.max(peak(max[a]), peak(max[b]));
      next.max[i] = top < 0 ? MISSING : top;
    }
    levels.push(next);
  }
  return levels;
}

// ---------------------------------------------------------------- 4. The scene

const column = (table, name, i) => (table[name] ? table[name][i] : null);

/** A table of columns as items; `classes` gives the emotions their numbers. */
function itemsOf(table, classes, fps, microSeconds) {
  return table.s.map((s, i) => {
    const e = table.e[i];
    return {
      id: table.id[i], s, e,
      apex: column(table, "apex", i),
      cls: classes.indexOf(column(table, "emotion", i)),
      type: column(table, "type", i) ?? ((e - s) / fps <= microSeconds + 1e-9 ? "micro" : "macro"),
      score: column(table, "score", i),
      status: column(table, "status", i),
      note: column(table, "note", i) ?? "",
      reviewer: column(table, "reviewer", i),
      at: column(table, "at", i),
      row: 0,
    };
  });
}

/** Everything that is known of the video, and what the settings leave of it. No drawing here. */
export class Scene {
  constructor(data, scores) {
    Object.assign(this, { data, fps: data.fps, n: data.n_frames, classes: data.classes });
    const items = (table) => itemsOf(table, data.classes, data.fps, data.micro_s);
    this.truth = data.truth ? new Track(items(data.truth)) : null;
    this.seeds = data.predictions.map((p) => ({ name: p.name, track: new Track(items(p.rows)) }));
    this.predictions = this.seeds[0].track;
    this.rows = new Map(items(data.review.rows).map((row) => [row.id, row]));
    this.missing = data.missing.map(([s, e]) => ({ s, e }));
    this.curves = scores
      ? data.scores.classes.map((name, i) => ({
          name,
          levels: pyramid(scores.subarray(i * data.scores.length, (i + 1) * data.scores.length)),
        }))
      : [];
    this.settings = { ...data.settings };
    this.prepared = prepare(this.predictions.items);
    this.depth = { truth: this.truth ? stack(this.truth) : 0, prediction: 1, review: 1 };
    this.seeds.slice(1).forEach((seed) => stack(seed.track, 1));
    this.rebuild();
  }

  /** After an edit: the review as a track. */
  rebuild() {
    this.review = new Track([...this.rows.values()].filter((row) => row.status !== "seen"));
    this.seen = [...this.rows.values()].filter((row) => row.status === "seen");
    this.reviewScore = null;
    if (this.shownClasses) this.restack();
  }

  /** Rows for what is shown: what the threshold hides takes no room. */
  restack() {
    for (const lane of ["review", "prediction"]) {
      const track = lane === "review" ? this.review : this.predictions;
      this.depth[lane] = stack(track, 3, (item) => this.shows(lane, item));
    }
  }

  /** After other settings: does what depends on them, and no more. */
  apply(settings) {
    this.reviewScore = null;
    const old = this.matchKey;
    Object.assign(this.settings, settings);
    const { nms, tiou: overlap, emotion, classes } = this.settings;
    if (this.nms !== nms) {
      this.nms = nms;
      this.dropped = suppressed(this.prepared, nms);
    }
    this.matchKey = JSON.stringify([nms, overlap, emotion, classes]);
    this.shownClasses = new Set(classes.map((name) => this.classes.indexOf(name)));
    if (this.classes.every((name) => classes.includes(name))) this.shownClasses.add(-1);
    this.shownTypes = new Set(this.settings.types);
    if (this.matchKey !== old) {
      const inClasses = (item) => this.shownClasses.has(item.cls);
      const all = this.prepared.order.filter((p) => inClasses(p) && !this.dropped.has(p.id));
      const events = this.truth ? this.truth.items.filter(inClasses) : [];
      this.matching = matchGreedy(all, events, overlap, emotion);
      this.f1Curve = this.truth ? f1ByCount(this.matching) : null;
    }
    const { threshold } = this.settings;
    this.count = bisect(this.matching.order.length, (i) => this.scoreOf(i) < threshold);
    this.restack();
  }

  scoreOf(i) {
    return this.matching.order[i].score ?? 1;
  }

  passes(item) {
    return this.shownClasses.has(item.cls) && this.shownTypes.has(item.type);
  }

  /** Is a prediction above the threshold, and not a double? */
  keeps(item) {
    return (item.score ?? 1) >= this.settings.threshold && !this.dropped.has(item.id);
  }

  /** What each lane shows under the settings. */
  shows(lane, item) {
    if (!this.passes(item)) return false;
    if (lane === "prediction") return this.keeps(item);
    return lane !== "review" || item.status !== "open" || this.keeps(item);
  }

  /** "hit" or "miss" where there is truth to compare with, else null. */
  verdict(lane, item) {
    if (!this.truth) return null;
    if (lane === "truth") {
      const p = this.matching.found.get(item);
      return p && this.keeps(p) && !this.matching.ignored.has(p) ? "hit" : "miss";
    }
    if (lane !== "prediction" || this.matching.ignored.has(item)) return null;
    return this.matching.takes.has(item) ? "hit" : "miss";
  }

  table() {
    const row = (name, kind) => ({ name, ...figures(this.matching, this.count, kind) });
    // The protocol defines macro and micro for spotting, not where the emotion must agree.
    return this.settings.emotion ? [row("all", null)]
      : [row("all", null), row("macro", "macro"), row("micro", "micro")];
  }

  /** The figures of what would be exported now: decided rows, and open ones that are kept. */
  reviewFigures() {
    if (!this.truth) return null;
    const inClasses = (item) => this.shownClasses.has(item.cls);
    const kept = this.review.items.filter(
      (r) => inClasses(r) && r.status !== "rejected" && (r.status !== "open" || this.keeps(r)));
    const { tiou: overlap, emotion } = this.settings;
    const events = this.truth.items.filter(inClasses);
    const matching = matchGreedy(kept.sort(byScore), events, overlap, emotion);
    return { name: "review", ...figures(matching, kept.length) };
  }

  progress() {
    let [open, done] = [0, 0];
    for (const row of this.review.items)
      if (row.status !== "open") done++;
      else if (this.keeps(row)) open++;
    return { done, total: open + done };
  }

  colour(cls) {
    return cls < 0 ? this.data.unknown : this.data.colours[cls];
  }

  /** The emotion to start a new interval with: the one whose curve is highest there. */
  likely(frame) {
    const known = this.scoresAt(frame).filter(([name, value]) => value !== null && this.classes.includes(name));
    return known.sort((a, b) => b[1] - a[1])[0]?.[0] ?? this.classes[0] ?? null;
  }

  /** The scores at one frame: [[name, value or null], ...]. */
  scoresAt(frame) {
    return this.curves.map(({ name, levels }) => {
      const value = levels[0].min[frame];
      return [name, value === undefined || value === MISSING ? null : value / (MISSING - 1)];
    });
  }
}

// ---------------------------------------------------------------- 5. Drawing the lanes

const RULER = 26;
const MINIMAP = 34;
const NARROW = 4; // pixels below which an interval is a plain bar
const EDGE = 7; // pixels around an edge that take hold of it
const LANE_NAMES = { truth: "Truth", prediction: "Prediction", review: "Review" };

/** Colours and fonts as the page has them now (JupyterLab's themes, or the page's own). */
function readTheme(root) {
  const probe = root.appendChild(h("span", { hidden: true })); // resolves whatever CSS can say
  const get = (name) => {
    probe.style.color = `var(--fx-${name})`;
    return getComputedStyle(probe).color;
  };
  const names = ["surface", "raised", "line", "ink", "muted", "accent", "grid"];
  const theme = Object.fromEntries(names.map((name) => [name, get(name)]));
  probe.remove();
  return { ...theme, font: getComputedStyle(root).fontFamily };
}

/** The canvases of the time axis: what is at which pixel, and how it is painted. */
export class Timeline {
  constructor(root, scene) {
    this.root = root;
    this.scene = scene;
    this.base = h("canvas", { className: "fx-base" });
    this.over = h("canvas", { className: "fx-over" });
    this.mini = h("canvas", { className: "fx-mini" });
    this.view = { from: 0, to: scene.n };
    this.patterns = new Map();
    this.miniCache = null;
    this.width = 0;
  }

  /** Lanes from top to bottom; heights follow how deep intervals lie over each other. */
  layout() {
    const { scene } = this;
    const narrow = this.width < 560;
    this.gutter = narrow ? 0 : 84;
    const caption = narrow ? 13 : 0;
    let y = RULER + 4;
    this.lanes = [];
    const add = (key, label, height) => {
      this.lanes.push({ key, label, y: y + caption, h: height, caption: y });
      y += height + caption + 6;
    };
    if (this.film) add("film", "Frames", FILM);
    if (scene.truth) add("truth", "Truth", 18 * scene.depth.truth + 2);
    add("prediction", scene.seeds[0].name, 18 * scene.depth.prediction + 4);
    scene.seeds.slice(1).forEach((s, i) => add("seed" + (i + 1), s.name, 9));
    if (!scene.data.review.hidden) add("review", "Review", 24 * scene.depth.review + 2);
    if (scene.curves.length) add("curves", "Scores", 72);
    if (scene.missing.length) add("missing", "No face", 9);
    this.height = y;
    this.fit(this.base, this.width, this.height);
    this.fit(this.over, this.width, this.height);
    this.fit(this.mini, this.width, MINIMAP);
    this.miniCache = null;
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
    const depth = this.scene.depth[lane.key] ?? 1;
    const height = (lane.h - 2) / depth;
    // A hidden one that is selected keeps the row it had.
    return { y: lane.y + 1 + Math.min(item.row, depth - 1) * height, h: height - 2 };
  }

  // ---- the base picture: everything but playhead and hover

  drawBase(state) {
    const c = (this.pen = this.context(this.base));
    this.drawGround(c);
    for (const lane of this.lanes) {
      if (lane.key === "film") this.drawFilm(c, lane);
      else if (lane.key === "curves") this.drawCurves(c, lane);
      else if (lane.key === "missing") this.drawMissing(c, lane);
      else this.drawTrack(c, lane, state);
    }
    this.drawRuler(c);
    this.drawLabels(c, state);
  }

  drawGround(c) {
    const { theme, scene } = this;
    for (const lane of this.lanes) {
      c.fillStyle = theme.raised;
      c.fillRect(this.gutter, lane.y, this.plotWidth, lane.h);
    }
    c.save();
    this.clipPlot(c);
    const bottom = this.height - 6;
    for (const gap of scene.missing) {
      const [a, b] = [this.x(gap.s), this.x(gap.e)];
      if (b < this.gutter || a > this.width) continue;
      c.fillStyle = this.hatch(theme.muted, 0.16, 7);
      c.fillRect(a, RULER, Math.max(1, b - a), bottom - RULER);
    }
    c.restore();
  }

  clipPlot(c) {
    c.beginPath();
    c.rect(this.gutter, 0, this.plotWidth, this.height);
    c.clip();
  }

  drawFilm(c, lane) {
    const step = this.film.step(this.scale);
    c.save();
    this.clipPlot(c);
    for (const frame of this.film.frames(this.view, this.scale)) {
      const found = this.film.picture(frame, step);
      if (!found) continue;
      const [image, width, height] = found;
      // The picture covers its stretch; what does not fit is cut off on both sides alike.
      const wide = Math.min(step * this.scale - 1, this.film.tile * 1.5);
      const zoom = Math.max(wide / width, lane.h / height);
      const [w, tall] = [wide / zoom, lane.h / zoom];
      c.drawImage(image, (width - w) / 2, (height - tall) / 2, w, tall, this.x(frame), lane.y, wide, lane.h);
    }
    c.restore();
  }

  drawRuler(c) {
    const { theme, scene, view } = this;
    const step = tickStep(84 / this.scale, scene.fps);
    const small = step / (step <= 10 ? step : 5);
    c.save();
    this.clipPlot(c);
    c.strokeStyle = theme.line;
    c.lineWidth = 1;
    c.beginPath();
    if (small * this.scale > 5)
      for (let f = Math.ceil(view.from / small) * small; f <= view.to; f += small)
        line(c, this.x(f), RULER - 4, this.x(f), RULER);
    for (let f = Math.ceil(view.from / step) * step; f <= view.to; f += step)
      line(c, this.x(f), RULER - 9, this.x(f), RULER);
    line(c, this.gutter, RULER + 0.5, this.width, RULER + 0.5);
    c.stroke();
    c.fillStyle = theme.muted;
    c.textAlign = "left";
    const digits = step >= scene.fps ? 0 : 2;
    for (let f = Math.ceil(view.from / step) * step; f <= view.to; f += step) {
      const text = step < scene.fps ? `${clock(f / scene.fps, digits)} · ${f}` : clock(f / scene.fps, 0);
      c.fillText(text, this.x(f) + 4, RULER - 14);
    }
    c.restore();
  }

  drawLabels(c, state) {
    const { theme } = this;
    c.textAlign = "left";
    for (const lane of this.lanes) {
      const active = state.lane === lane.key;
      c.font = `${active ? 600 : 400} 11px ${theme.font}`;
      c.fillStyle = active ? theme.ink : theme.muted;
      const y = this.gutter ? lane.y + Math.min(lane.h, 22) / 2 : lane.caption + 7;
      c.fillText(shorten(c, lane.label, this.gutter ? this.gutter - 12 : 200), 6, y);
      if (active) c.fillRect(0, this.gutter ? lane.y : lane.caption + 1, 3, this.gutter ? lane.h : 12);
    }
    c.font = `11px ${theme.font}`;
  }

  /** Items of one lane; those too narrow to tell apart are painted once per pixel. */
  drawTrack(c, lane, state) {
    const track = this.trackOf(lane.key);
    const [first, last] = track.range(this.view.from, this.view.to);
    const painted = new Map();
    const paint = lane.key.startsWith("seed") ? "seed" : lane.key;
    c.save();
    this.clipPlot(c);
    if (lane.key === "review") this.drawSeen(c, lane);
    let top = null;
    for (let i = first; i < last; i++) {
      const item = track.items[i];
      if (item.e <= this.view.from) continue;
      const selected = state.selected?.id === item.id && state.selected.lane === lane.key;
      const shown = paint === "seed" ? this.scene.passes(item) && (item.score ?? 1) >= this.scene.settings.threshold
        : this.scene.shows(lane.key, item);
      if (selected) {
        top = item;
        continue;
      }
      const ghost = !shown && lane.key === "prediction" && this.scene.passes(item);
      if (!shown && !ghost) continue;
      const [a, b] = [this.x(item.s), this.x(item.e)];
      if (b - a >= NARROW && !ghost) {
        this.paintItem(c, paint, lane, item, a, b, false);
        continue;
      }
      // Whole pixels, each of them once in each row: thousands of intervals cost no more than these.
      const [left, right] = [Math.round(a), Math.max(Math.round(b), Math.round(a) + 1)];
      const key = ghost ? -1 : item.row;
      if (right <= (painted.get(key) ?? -1)) continue;
      painted.set(key, right);
      if (ghost) this.paintGhost(c, lane, item, left, right);
      else this.paintNarrow(c, paint, lane, item, left, right);
    }
    if (top) {
      const moved = state.preview?.id === top.id ? { ...top, ...state.preview } : top;
      this.paintItem(c, paint, lane, moved, this.x(moved.s), this.x(moved.e), true);
    }
    c.restore();
  }

  /** Too narrow for a pattern: filled, what is not decided in the review is low. */
  paintNarrow(c, kind, lane, item, a, b) {
    const { y, h: tall } = kind === "seed" ? { y: lane.y + 2, h: lane.h - 4 } : this.box(lane, item);
    const low = kind === "review" && (item.status === "open" || item.status === "rejected");
    c.fillStyle = this.scene.colour(item.cls);
    c.fillRect(a, low ? y + tall / 2 - 3 : y, b - a, low ? 6 : tall);
  }

  /** What the threshold hides is still hinted at, as a thin line at the lane's foot. */
  paintGhost(c, lane, item, a, b) {
    c.fillStyle = this.scene.colour(item.cls);
    c.fillRect(a, lane.y + lane.h - 2, b - a, 2);
  }

  /** Truth is hatched, a prediction is filled, a reviewed interval is an outline. */
  paintItem(c, kind, lane, item, a, b, selected) {
    const { theme, scene } = this;
    const colour = scene.colour(item.cls);
    const { y, h: tall } = kind === "seed" ? { y: lane.y + 2, h: lane.h - 4 } : this.box(lane, item);
    const wide = b - a;
    if (kind === "prediction" || kind === "seed") {
      c.fillStyle = colour;
      c.fillRect(a, y, wide, tall);
      if (wide > 6) {
        c.strokeStyle = theme.surface;
        c.strokeRect(a + 0.5, y + 0.5, wide - 1, tall - 1);
      }
    } else if (kind === "truth") {
      c.fillStyle = this.hatch(colour, 0.75, 5);
      c.fillRect(a, y, wide, tall);
      this.outline(c, colour, a, y, wide, tall, 1.5);
    } else {
      this.paintReview(c, item, colour, a, y, wide, tall, selected);
    }
    this.paintText(c, kind, item, a, y, wide, tall, colour);
    if (kind === "truth") this.paintVerdict(c, lane, item, a, y, wide, tall, theme.ink, theme.surface);
    if (kind === "prediction") this.paintVerdict(c, lane, item, a, y, wide, tall, inkOn(colour), colour);
    if (selected) {
      this.outline(c, theme.accent, a - 2, y - 1, wide + 4, tall + 2, 2);
      if (kind === "review" && !scene.data.readonly) this.paintHandles(c, a, b, y, tall);
    }
    if (item.apex !== null && this.scale > 0.4 && kind !== "seed")
      this.paintApex(c, kind, this.x(item.apex + 0.5), y, tall);
  }

  paintReview(c, item, colour, a, y, wide, tall) {
    const { theme } = this;
    const rejected = item.status === "rejected";
    c.fillStyle = theme.surface;
    c.fillRect(a, y, wide, tall);
    c.globalAlpha = rejected ? 0.55 : 1;
    if (item.status !== "open" && !rejected) {
      c.globalAlpha = 0.22;
      c.fillStyle = colour;
      c.fillRect(a, y, wide, tall);
      c.globalAlpha = 1;
    }
    c.setLineDash(item.status === "open" ? [4, 3] : []);
    this.outline(c, colour, a, y, wide, tall, 2);
    c.setLineDash([]);
    if (rejected && wide > 6) {
      c.strokeStyle = theme.ink;
      c.lineWidth = 1.25;
      c.beginPath();
      line(c, a + 2, y + tall - 2, a + wide - 2, y + 2);
      c.stroke();
    }
    c.globalAlpha = 1;
  }

  outline(c, colour, x, y, w, tall, width) {
    c.strokeStyle = colour;
    c.lineWidth = width;
    c.strokeRect(x + width / 2, y + width / 2, Math.max(0.5, w - width), Math.max(0.5, tall - width));
    c.lineWidth = 1;
  }

  paintText(c, kind, item, a, y, wide, tall, colour) {
    if (kind === "seed" || wide < 13) return;
    const { scene, theme } = this;
    const left = Math.max(a, this.gutter) + 5;
    const dot = kind !== "review" && scene.truth ? 10 : 0;
    const room = Math.min(a + wide, this.width) - left - 4 - dot;
    const mark = { accepted: "✓", corrected: "✎", added: "+", rejected: "×" }[item.status] ?? "";
    const name = item.cls < 0 ? "?" : scene.classes[item.cls];
    const full = [mark, name, kind === "prediction" ? score2(item.score) : ""].filter(Boolean).join(" ");
    const short = (mark ? mark + " " : "") + name.slice(0, 1).toUpperCase();
    const text = c.measureText(full).width <= room ? full : c.measureText(short).width <= room ? short : mark;
    if (!text || room < 6) return;
    const middle = y + tall / 2 + 0.5;
    if (kind === "truth") { // letters on hatching need ground of their own
      c.fillStyle = theme.surface;
      c.fillRect(left - 2, middle - 6, c.measureText(text).width + 4, 12);
    }
    c.fillStyle = kind === "prediction" ? inkOn(colour) : theme.ink;
    c.textAlign = "left";
    c.fillText(text, left, middle);
  }

  /** A full dot: matched; a ring: not matched. At the right end; one pen, so that no theme turns them round. */
  paintVerdict(c, lane, item, a, y, wide, tall, pen, ground) {
    const verdict = this.scene.verdict(lane.key, item);
    if (!verdict || wide < 9) return;
    const [x, middle] = [Math.min(a + wide, this.width) - 6, y + tall / 2];
    c.fillStyle = ground;
    c.beginPath();
    c.arc(x, middle, 5, 0, 2 * Math.PI);
    c.fill();
    c.fillStyle = c.strokeStyle = pen;
    c.lineWidth = 1.5;
    c.beginPath();
    c.arc(x, middle, verdict === "hit" ? 3.5 : 3, 0, 2 * Math.PI);
    if (verdict === "hit") c.fill();
    else c.stroke();
    c.lineWidth = 1;
  }

  paintApex(c, kind, x, y, tall) {
    c.beginPath();
    c.moveTo(x, y + tall - 7);
    c.lineTo(x + 4, y + tall - 3);
    c.lineTo(x, y + tall + 1);
    c.lineTo(x - 4, y + tall - 3);
    c.closePath();
    c.fillStyle = kind === "review" ? this.theme.accent : this.theme.ink;
    c.fill();
    c.strokeStyle = this.theme.surface;
    c.lineWidth = 1;
    c.stroke();
  }

  paintHandles(c, a, b, y, tall) {
    c.fillStyle = this.theme.accent;
    for (const x of [a - 2, b - 2]) c.fillRect(x, y - 1, 4, tall + 2);
  }

  drawSeen(c, lane) {
    c.fillStyle = this.theme.muted;
    for (const span of this.scene.seen) {
      const [a, b] = [this.x(span.s), this.x(span.e)];
      if (b > this.gutter && a < this.width) c.fillRect(a, lane.y + lane.h - 3, Math.max(1, b - a), 1.5);
    }
  }

  drawMissing(c, lane) {
    c.save();
    this.clipPlot(c);
    for (const gap of this.scene.missing) {
      const [a, b] = [this.x(gap.s), this.x(gap.e)];
      if (b < this.gutter || a > this.width) continue;
      c.fillStyle = this.hatch(this.theme.ink, 0.7, 4);
      c.fillRect(a, lane.y + 1, Math.max(1, b - a), lane.h - 2);
    }
    c.restore();
  }

  /** The height of a score in the lane of the curves. */
  level(lane, score) {
    return lane.y + lane.h - 2 - score * (lane.h - 4);
  }

  /** The score at a height, to the hundredth. */
  levelAt(y) {
    const lane = this.lane("curves");
    return Math.round(clamp((lane.y + lane.h - 2 - y) / (lane.h - 4), 0, 1) * 100) / 100;
  }

  /** Is the pointer on the threshold's line? */
  onLevel(x, y) {
    const lane = this.lane("curves");
    return Boolean(lane) && x > this.gutter && Math.abs(y - this.level(lane, this.scene.settings.threshold)) < 5;
  }

  drawCurves(c, lane) {
    const { scene, theme } = this;
    const y = (v) => this.level(lane, v);
    c.save();
    this.clipPlot(c);
    c.strokeStyle = theme.grid;
    c.beginPath();
    line(c, this.gutter, Math.round(y(0.5)) + 0.5, this.width, Math.round(y(0.5)) + 0.5);
    c.stroke();
    for (const curve of scene.curves) {
      const cls = scene.classes.indexOf(curve.name);
      if (cls >= 0 && !scene.shownClasses.has(cls)) continue;
      c.strokeStyle = c.fillStyle = scene.colour(cls);
      this.drawCurve(c, curve.levels, y);
    }
    const level = Math.round(y(scene.settings.threshold)) + 0.5;
    c.setLineDash([5, 4]);
    c.strokeStyle = theme.ink;
    c.beginPath();
    line(c, this.gutter, level, this.width, level);
    c.stroke();
    c.setLineDash([]);
    this.nameCurves(c, y);
    c.restore();
    if (this.gutter) {
      c.fillStyle = theme.muted;
      c.textAlign = "right";
      c.fillText("1", this.gutter - 5, y(1) + 5);
      c.fillText("0", this.gutter - 5, y(0) - 5);
      c.textAlign = "left";
    }
  }

  /** The visible part of a curve: the level of its pyramid that has about one run per pixel. */
  visible(levels) {
    const level = clamp(Math.floor(Math.log2(1 / this.scale)), 0, levels.length - 1);
    const run = 2 ** level;
    const first = Math.max(0, Math.floor(this.view.from / run) - 1);
    const last = Math.min(levels[level].min.length - 1, Math.ceil(this.view.to / run) + 1);
    return { level, run, first, last };
  }

  /** Each curve's name at its highest visible point: colour alone does not tell them apart. */
  nameCurves(c, y) {
    const { scene, theme } = this;
    const taken = [];
    for (const curve of scene.curves) {
      const cls = scene.classes.indexOf(curve.name);
      if (cls >= 0 && !scene.shownClasses.has(cls)) continue;
      const { level, run, first, last } = this.visible(curve.levels);
      const { max } = curve.levels[level];
      let at = -1;
      for (let i = first; i <= last; i++)
        if (max[i] !== MISSING && (at < 0 || max[i] > max[at])) at = i;
      const score = at < 0 ? 0 : max[at] / (MISSING - 1);
      if (score < 0.15) continue; // along the foot of the lane there is nothing to tell apart
      const wide = c.measureText(curve.name).width;
      const left = clamp(this.x((at + 0.5) * run) + 4, this.gutter + 2, this.width - wide - 2);
      const top = Math.max(y(score), y(1) + 6);
      if (taken.some((t) => left < t.right && t.left < left + wide && Math.abs(top - t.top) < 11)) continue;
      taken.push({ left, right: left + wide, top });
      c.lineWidth = 3;
      c.strokeStyle = theme.surface;
      c.strokeText(curve.name, left, top);
      c.lineWidth = 1;
      c.fillStyle = theme.ink;
      c.fillText(curve.name, left, top);
    }
  }

  /** One curve, with a band where a pixel stands for many frames. */
  drawCurve(c, levels, y) {
    const { level, run, first, last } = this.visible(levels);
    const { min, max } = levels[level];
    if (level) this.fillBand(c, levels[level], run, first, last, y);
    c.lineWidth = 1.3;
    c.beginPath();
    let open = false;
    for (let i = first; i <= last; i++) {
      const [x, top] = [this.x((i + 0.5) * run), y(max[i] / (MISSING - 1))];
      if (max[i] !== MISSING && open) c.lineTo(x, top);
      else c.moveTo(x, top);
      open = max[i] !== MISSING;
    }
    c.stroke();
    c.lineWidth = 1;
  }

  /** From the lowest to the highest score of each run, as one shape. */
  fillBand(c, { min, max }, run, first, last, y) {
    const x = (i) => this.x((i + 0.5) * run);
    c.globalAlpha = 0.25;
    c.beginPath();
    for (let i = first; i <= last; i++) {
      let end = i;
      while (end <= last && max[end] !== MISSING) end++;
      for (let k = i; k < end; k++) c.lineTo(x(k), y(max[k] / (MISSING - 1)));
      for (let k = end - 1; k >= i; k--) c.lineTo(x(k), y(min[k] / (MISSING - 1)));
      if (end > i) c.closePath();
      if (end <= last) c.moveTo(x(end + 1), y(0));
      i = end;
    }
    c.fill();
    c.globalAlpha = 1;
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

  // ---- the moving part: playhead and hover

  drawOver(state) {
    const c = this.context(this.over);
    c.save();
    c.beginPath();
    c.rect(this.gutter - 6, 0, this.plotWidth + 12, this.height);
    c.clip();
    const { theme } = this;
    if (state.hover !== null) {
      c.strokeStyle = theme.muted;
      c.beginPath();
      line(c, state.hover, RULER, state.hover, this.height - 6);
      c.stroke();
    }
    if (state.drawn) {
      const lane = this.lane("review");
      const [a, b] = [this.x(state.drawn.s), this.x(state.drawn.e)];
      c.setLineDash([4, 3]);
      this.outline(c, theme.accent, a, lane.y + 1, b - a, lane.h - 2, 2);
      c.setLineDash([]);
    }
    const x = this.x(state.frame);
    if (this.scale > 3) {
      c.globalAlpha = 0.16;
      c.fillStyle = theme.accent;
      c.fillRect(x, RULER, this.scale, this.height - RULER - 6);
      c.globalAlpha = 1;
    }
    if (x >= this.gutter - 6 && x <= this.width + 6) {
      c.strokeStyle = c.fillStyle = theme.accent;
      c.lineWidth = 1.5;
      c.beginPath();
      line(c, x, RULER - 8, x, this.height - 6);
      c.stroke();
      c.beginPath();
      c.moveTo(x - 6, RULER - 15);
      c.lineTo(x + 6, RULER - 15);
      c.lineTo(x + 6, RULER - 9);
      c.lineTo(x, RULER - 3);
      c.lineTo(x - 6, RULER - 9);
      c.closePath();
      c.fill();
    }
    c.restore();
  }

  // ---- the minimap

  miniX(frame) {
    return this.gutter + (frame / this.scene.n) * this.plotWidth;
  }

  miniFrame(x) {
    return ((x - this.gutter) / this.plotWidth) * this.scene.n;
  }

  drawMini(state) {
    const { theme, scene } = this;
    const c = this.context(this.mini);
    if (!this.miniCache) this.miniCache = this.paintMini();
    c.drawImage(this.miniCache, 0, 0, this.width, MINIMAP);
    const [a, b] = [this.miniX(this.view.from), this.miniX(this.view.to)];
    c.globalAlpha = 0.55;
    c.fillStyle = theme.surface;
    c.fillRect(this.gutter, 2, a - this.gutter, MINIMAP - 4);
    c.fillRect(b, 2, this.width - b, MINIMAP - 4);
    c.globalAlpha = 1;
    this.outline(c, theme.accent, a, 1, Math.max(4, b - a), MINIMAP - 2, 1.5);
    c.fillStyle = theme.accent;
    c.fillRect(this.miniX(state.frame) - 0.75, 0, 1.5, MINIMAP);
    if (this.gutter) {
      c.fillStyle = theme.muted;
      c.fillText(clock(scene.n / scene.fps, 0), 6, MINIMAP / 2);
    }
  }

  /** The whole video once; it is kept until intervals or settings change. */
  paintMini() {
    const ratio = window.devicePixelRatio || 1;
    const cache = h("canvas", { width: this.mini.width, height: this.mini.height });
    const c = cache.getContext("2d");
    c.scale(ratio, ratio);
    c.fillStyle = this.theme.raised;
    c.fillRect(this.gutter, 2, this.plotWidth, MINIMAP - 4);
    const rows = [["truth", 5, 6], ["prediction", 14, 6], ["review", 23, 6]];
    for (const [key, y, tall] of rows) {
      if (key === "review" ? this.scene.data.review.hidden : !this.trackOf(key)) continue;
      let painted = -1;
      for (const item of this.trackOf(key).items) {
        if (!this.scene.shows(key, item) || (key === "review" && item.status === "open")) continue;
        const a = Math.round(this.miniX(item.s));
        const b = Math.max(Math.round(this.miniX(item.e)), a + 1);
        if (b <= painted) continue;
        painted = b;
        c.fillStyle = this.scene.colour(item.cls);
        const low = item.status === "rejected" ? 4 : 0;
        c.fillRect(a, y + low, b - a, tall - low);
      }
    }
    c.fillStyle = this.theme.ink;
    c.globalAlpha = 0.35;
    for (const gap of this.scene.missing)
      c.fillRect(this.miniX(gap.s), MINIMAP - 4, Math.max(1, this.miniX(gap.e) - this.miniX(gap.s)), 2);
    return cache;
  }

  // ---- what is where

  laneAt(y) {
    return this.lanes.find((lane) => y >= lane.y - 3 && y < lane.y + lane.h + 3) ?? null;
  }

  /** What a pointer at (x, y) is on: {lane, item, part} with part body, onset, offset or apex. */
  hit(x, y, state, reach = EDGE) {
    const lane = this.laneAt(y);
    if (!lane || x < this.gutter || ["film", "curves", "missing"].includes(lane.key)) return { lane, item: null };
    const frame = this.frameAt(x);
    const slack = reach / this.scale;
    let found = null;
    const track = this.trackOf(lane.key);
    const [first, last] = track.range(frame - slack, frame + slack);
    for (let i = first; i < last; i++) {
      const item = track.items[i];
      if (item.e <= frame - slack) continue;
      const seed = lane.key.startsWith("seed");
      const chosen = state.selected?.id === item.id && state.selected.lane === lane.key;
      if (!chosen && !(seed ? this.scene.passes(item) : this.scene.shows(lane.key, item))) continue;
      const { y: top, h: tall } = seed ? { y: lane.y, h: lane.h } : this.box(lane, item);
      if (y < top - 3 || y > top + tall + 3) continue;
      const part = lane.key === "review" ? this.part(item, x, y, top + tall, reach, chosen) : "body";
      if (!part && !(frame >= item.s && frame < item.e)) continue;
      if (chosen) return { lane, item, part: part ?? "body" };
      if (!found || item.e - item.s < found.item.e - found.item.s) found = { lane, item, part: part ?? "body" };
    }
    return found ?? { lane, item: null };
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

function line(c, x1, y1, x2, y2) {
  c.moveTo(x1, y1);
  c.lineTo(x2, y2);
}

function shorten(c, text, room) {
  if (c.measureText(text).width <= room) return text;
  let n = text.length;
  while (n > 1 && c.measureText(text.slice(0, n) + "…").width > room) n--;
  return text.slice(0, n) + "…";
}

// ---------------------------------------------------------------- 6. The picture

const WIDTHS = [160, 240, 320, 480, 640, 960];
const AHEAD = 24; // frames asked for beyond the playhead
const BEHIND = 4;
const FILM = 42; // height of the film, pixels
const FILM_WIDTH = 160; // of its pictures
const FILM_KEPT = 400;
const KEPT_PIXELS = 24e6; // decoded frames that are kept, about 100 MB

/** Frames as bitmaps: asked for around the playhead, kept while there is room. */
class Frames {
  constructor(send, onArrival, n) {
    Object.assign(this, { send, onArrival, n, who: newId() });
    this.have = new Map(); // frame -> ImageBitmap, or null where the video has no picture
    this.coming = new Set();
    this.key = "";
    this.pixels = 0;
  }

  /** Another size or another crop: what is here becomes useless. */
  configure(width, face) {
    const key = `${WIDTHS.find((w) => w >= width) ?? WIDTHS[WIDTHS.length - 1]}:${face ? "face" : "whole"}`;
    if (key === this.key) return;
    this.key = key;
    for (const bitmap of this.have.values()) bitmap?.close();
    this.have.clear();
    this.coming.clear();
    this.pixels = 0;
  }

  /** Asks for the frame and its surroundings, unless enough of them are here or on the way. */
  want(frame, direction, stride) {
    const list = [];
    for (let i = 0; i <= AHEAD; i++) list.push(frame + direction * stride * i);
    for (let i = 1; i <= BEHIND; i++) list.push(frame - direction * i);
    const inside = list.filter((f) => f >= 0 && f < this.n);
    const lacking = inside.filter((f) => !this.have.has(f));
    const urgent = inside.slice(0, AHEAD / 2).some((f) => !this.have.has(f) && !this.coming.has(f));
    if (!lacking.length || !urgent) return;
    this.coming = new Set(lacking);
    const [width, view] = this.key.split(":");
    this.send({ kind: "frames", frames: lacking, width: Number(width), view, key: this.key, who: this.who });
  }

  async receive(content, buffer, playhead) {
    if (content.key !== this.key) return;
    let bitmap = null;
    if (buffer) bitmap = await createImageBitmap(new Blob([buffer], { type: "image/jpeg" }));
    if (content.key !== this.key) return bitmap?.close();
    this.coming.delete(content.frame);
    if (!this.have.has(content.frame)) {
      this.have.set(content.frame, bitmap);
      this.pixels += bitmap ? bitmap.width * bitmap.height : 0;
    }
    this.trim(playhead);
    this.onArrival(content.frame);
  }

  /** Lets go of the frames that are furthest from the playhead. */
  trim(playhead) {
    while (this.pixels > KEPT_PIXELS && this.have.size > AHEAD + BEHIND + 2) {
      let furthest = playhead;
      for (const f of this.have.keys())
        if (Math.abs(f - playhead) > Math.abs(furthest - playhead)) furthest = f;
      const bitmap = this.have.get(furthest);
      this.have.delete(furthest);
      this.pixels -= bitmap ? bitmap.width * bitmap.height : 0;
      bitmap?.close();
    }
  }

  ready(frame) {
    return this.have.has(frame);
  }
}

/** Small pictures along the time axis. */
class Film {
  constructor(scene, send, thumbs) {
    Object.assign(this, { scene, send, thumbs, who: "film " + newId() });
    this.have = new Map(); // frame -> ImageBitmap, the oldest first
    this.view = "whole";
    const { picture } = scene.data;
    this.tile = Math.round(clamp(FILM * (picture.aspect ?? 16 / 9), FILM * 0.7, FILM * 2.4));
  }

  get key() {
    return `film ${this.view} ${FILM_WIDTH}`;
  }

  configure(face) {
    this.view = face ? "face" : "whole";
    for (const bitmap of this.have.values()) bitmap.close();
    this.have.clear();
  }

  /** Frames from picture to picture: 1, 2, 3, 4, 6, 8, 12, 16..., so that panning finds them again. */
  step(scale) {
    const least = this.tile / scale;
    const double = 2 ** Math.max(0, Math.ceil(Math.log2(least)));
    return double > 2 && double * 0.75 >= least ? double * 0.75 : double;
  }

  /** The frames whose pictures the window shows. */
  frames(view, scale) {
    const step = this.step(scale);
    const list = [];
    for (let f = Math.floor(view.from / step) * step; f < Math.min(view.to, this.scene.n); f += step) list.push(f);
    return list;
  }

  want(view, scale) {
    const lacking = this.frames(view, scale).filter((f) => !this.have.has(f));
    if (lacking.length)
      this.send({ kind: "frames", frames: lacking, width: FILM_WIDTH, view: this.view, key: this.key, who: this.who });
  }

  async receive(content, buffer) {
    if (content.key !== this.key || !buffer || this.have.has(content.frame)) return false;
    const bitmap = await createImageBitmap(new Blob([buffer], { type: "image/jpeg" }));
    this.have.set(content.frame, bitmap);
    if (this.have.size > FILM_KEPT) {
      const [oldest] = this.have.keys();
      this.have.get(oldest).close();
      this.have.delete(oldest);
    }
    return true;
  }

  /** The picture for [frame, frame + step): a served one, or a stored one that lies in there. */
  picture(frame, step) {
    const bitmap = this.have.get(frame);
    if (bitmap) return [bitmap, bitmap.width, bitmap.height];
    const stored = this.thumbs.find((t) => t.frame >= frame && t.frame < frame + step && t.image.naturalWidth);
    return stored ? [stored.image, stored.image.naturalWidth, stored.image.naturalHeight] : null;
  }
}

/** The canvas that shows the frame, and what is written below it. */
class Screen {
  constructor(scene) {
    this.scene = scene;
    this.canvas = h("canvas", { className: "fx-picture" });
    this.caption = h("figcaption", { className: "fx-caption" });
    this.hint = h("span", { className: "fx-hint" });
    this.node = h("figure", { className: "fx-screen" },
      h("div", { className: "fx-glass" }, this.canvas, this.hint), this.caption);
    this.canvas.setAttribute("role", "img");
    this.thumbs = (scene.data.picture.thumbs ?? []).map((thumb) => {
      const image = new Image();
      image.src = thumb.src;
      return { frame: thumb.frame, image };
    });
  }

  show(frame, frames) {
    const { scene } = this;
    this.caption.textContent = `${clock(frame / scene.fps)}  ·  frame ${frame}`;
    this.canvas.setAttribute("aria-label", `Video frame ${frame} at ${clock(frame / scene.fps)}`);
    if (!scene.data.picture.available) return this.showThumb(frame);
    const bitmap = frames.have.get(frame);
    if (bitmap) this.paint(bitmap, bitmap.width, bitmap.height);
    this.say(bitmap === null ? "no picture for this frame" : bitmap ? "" : "loading");
  }

  showThumb(frame) {
    const near = this.thumbs.filter((t) => t.image.complete && t.image.naturalWidth);
    if (!near.length) return this.say(this.thumbs.length ? "" : "no pictures stored");
    const thumb = near.reduce((a, b) => (Math.abs(b.frame - frame) < Math.abs(a.frame - frame) ? b : a));
    this.paint(thumb.image, thumb.image.naturalWidth, thumb.image.naturalHeight);
    this.say(thumb.frame === frame ? "" : `nearest stored picture: ${clock(thumb.frame / this.scene.fps)}`);
  }

  say(text) {
    if (this.hint.textContent !== text) this.hint.textContent = text;
  }

  paint(image, width, height) {
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    this.canvas.getContext("2d").drawImage(image, 0, 0);
  }
}

// ---------------------------------------------------------------- 7. Panels

const ICONS = { // 16 x 16, drawn as paths
  play: "M4 2.5v11l9-5.5z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
  back: "M11 3v10L5 8zM4 3h1.5v10H4z",
  forward: "M5 3v10l6-5zM10.500 3H12v10h-1.500z",
  earlier: "M8 3v10L2 8zM14 3v10L8 8z",
  later: "M8 3v10l6-5zM2 3v10l6-5z",
  closer: "M7 3h2v4h4v2H9v4H7V9H3V7h4z",
  wider: "M3 7h10v2H3z",
  whole: "M2 3h1.500v10H2zM12.500 3H14v10h-1.500zM4.500 8l3-3v2h1V5l3 3-3 3V9h-1v2z",
  undo: "M6 2L2 6l4 4V7.500h3.500a2.250 2.250 0 0 1 0 4.500H6v2h3.500a4.250 4.250 0 0 0 0-8.500H6z",
  redo: "M10 2l4 4-4 4V7.500H6.500a2.250 2.250 0 0 0 0 4.500H10v2H6.500a4.250 4.250 0 0 1 0-8.500H10z",
  loop: "M4 4h7V2l3.500 3L11 8V6H6v2H4zM12 12H5v2l-3.500-3L5 8v2h5V8h2z",
  face: "M8 1.500a6.500 6.500 0 1 0 0 13 6.500 6.500 0 0 0 0-13zM8 3a5 5 0 1 1 0 10A5 5 0 0 1 8 3zM5.250 6h1.500v2h-1.500zM9.250 6h1.500v2h-1.500zM5 9.500h6a3.100 3.100 0 0 1-6 0z",
};

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button with a label for those who cannot see the icon, and its key. */
function button(label, key, onclick, { text = null, iconName = null, className = "" } = {}) {
  return h("button", {
    type: "button", onclick, className: "fx-button " + className,
    title: key ? `${label} (${key})` : label, "aria-label": label,
    ...(key ? { "aria-keyshortcuts": key } : {}),
  }, iconName ? icon(iconName) : text ?? label);
}

const HELP = [
  ["Look", [
    ["Space", "play, pause"],
    ["← →", "one frame; with Shift ten"],
    ["↑ ↓", "previous, next interval of the lane"],
    ["PgUp PgDn", "previous, next open interval"],
    ["L", "next lane: truth, prediction, review"],
    ["+ −", "zoom; 0 the whole video; F the selection"],
    [", .", "half a window to the left, right"],
    ["Home End", "first, last frame"],
    ["M", "repeat the selected interval while playing"],
    ["V", "face or whole picture"],
    ["[ ]", "score threshold down, up"],
  ]],
  ["Review", [
    ["Enter", "accept, go to the next"],
    ["Backspace", "reject, go to the next"],
    ["A R U", "accept, reject, open again"],
    ["I O P", "onset, offset, apex to this frame"],
    ["1 2 3 …", "emotion"],
    ["N", "new interval at this frame"],
    ["S", "split at this frame"],
    ["Delete", "delete"],
    ["T", "write a note (Esc: back)"],
    ["Q", "next of the queue; with Shift the one before"],
    ["Z Y", "undo, redo (also Ctrl+Z, Ctrl+Y)"],
  ]],
  ["Pointer", [
    ["wheel", "zoom, once the lanes have the focus (or with Ctrl); Shift moves"],
    ["drag an edge", "onset or offset; the diamond is the apex", "edits"],
    ["drag beside", "move along; on the ruler: scrub"],
    ["Shift + drag", "draw a new interval in the review lane", "edits"],
    ["drag the dashed line", "score threshold"],
    ["double click", "zoom to the interval"],
  ]],
  ["Marks", [
    ["● ○", "matched, not matched by the other side"],
    ["◆", "apex"],
    ["✓ ✎ +", "accepted, corrected, added"],
    ["╱", "rejected; a dashed outline: still open"],
    ["▁", "a prediction below the threshold"],
  ]],
];

function helpDialog(readonly) {
  const parts = (title, key) => (title === "Pointer" ? [key] : key.split(" "));
  const table = ([title, keys]) =>
    h("section", { className: title === "Pointer" ? "fx-gestures" : "" }, h("h3", {}, title),
      h("dl", {}, ...keys.filter(([, , edits]) => !edits || !readonly).flatMap(([key, what]) =>
        [h("dt", {}, ...parts(title, key).map((k) => h("kbd", {}, k))), h("dd", {}, what)])));
  const close = h("button", { type: "button", className: "fx-button", onclick: () => dialog.close() }, "Close");
  const dialog = h("dialog", { className: "fx-help", "aria-label": "Keys and pointer" },
    h("header", {}, h("h2", {}, "Keys and pointer"), close),
    h("div", { className: "fx-help-body" }, ...HELP.filter(([title]) => !readonly || title !== "Review").map(table)));
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "?" || event.key === "Escape") {
      event.preventDefault();
      dialog.close();
    }
    event.stopPropagation();
  });
  return dialog;
}

/** Facts and buttons of the selected interval. */
class Inspector {
  constructor(view) {
    this.view = view;
    this.title = h("h3", { className: "fx-title" });
    this.chip = h("span", { className: "fx-chip" });
    this.facts = h("p", { className: "fx-facts" });
    this.body = h("div", { className: "fx-fields" });
    this.node = h("section", { className: "fx-inspector", "aria-label": "Selected interval" },
      h("header", {}, this.title, this.chip), this.facts, this.body);
    this.build();
  }

  build() {
    const { view } = this;
    const { scene } = view;
    this.emotions = scene.classes.map((name, i) => {
      const swatch = h("span", { className: "fx-swatch" });
      swatch.style.background = scene.colour(i);
      return h("button", {
        type: "button", className: "fx-emotion", title: `${name} (${i + 1})`, "aria-pressed": "false",
        onclick: () => view.edit("relabel", { emotion: name }),
      }, swatch, name);
    });
    this.fields = {};
    const field = (name, key) => {
      const input = h("input", {
        type: "number", step: 1, min: 0, max: scene.n - 1, title: `${name} frame (${key} takes this one)`,
        onchange: () => input.value !== "" && view.edit("move", { [name]: Number(input.value) }),
      });
      this.fields[name] = input;
      return h("label", { className: "fx-field" }, h("span", {}, name), input);
    };
    this.noteBox = h("textarea", {
      rows: 2, placeholder: "Note", "aria-label": "Note (T)",
      onchange: () => this.saveNote(),
      onkeydown: (event) => {
        if (event.key === "Escape" || (event.key === "Enter" && !event.shiftKey)) {
          event.preventDefault();
          view.focus();
        }
      },
    });
    const act = (text, key, op, className = "") =>
      button(text, key, () => view.command(op), { text: `${text} ${key}`, className });
    this.actions = h("div", { className: "fx-actions" },
      act("Accept", "A", "accept", "fx-yes"), act("Reject", "R", "reject", "fx-no"),
      act("Split", "S", "split"), act("Delete", "Del", "delete"), act("New", "N", "new"));
    for (const b of this.actions.children) {
      const text = b.textContent.split(" ");
      b.replaceChildren(text[0], h("kbd", {}, text[1]));
    }
    this.emotionRow = h("div", { className: "fx-emotions", role: "group", "aria-label": "Emotion" }, ...this.emotions);
    this.frameRow = h("div", { className: "fx-frames" }, field("onset", "I"), field("apex", "P"), field("offset", "O"));
    this.body.append(this.emotionRow, this.frameRow, this.noteBox, this.actions);
  }

  saveNote() {
    const row = this.view.selectedRow();
    if (row && this.noteBox.value !== row.note) this.view.edit("note", { text: this.noteBox.value });
  }

  update() {
    const { view } = this;
    const { scene } = view;
    const item = view.selectedItem();
    const row = view.selectedRow();
    const editable = Boolean(row) && !scene.data.readonly;
    this.body.classList.toggle("fx-off", !editable);
    this.body.hidden = scene.data.readonly;
    this.title.textContent = item ? view.describeLane() : "Nothing selected";
    const status = item?.status ?? "";
    this.chip.textContent = status;
    this.chip.className = "fx-chip fx-" + (status || "none");
    this.facts.textContent = item ? view.describe(item) : view.hintText();
    this.emotions.forEach((b, i) => {
      b.disabled = !editable;
      b.setAttribute("aria-pressed", String(Boolean(item) && item.cls === i));
    });
    for (const [name, input] of Object.entries(this.fields)) {
      input.disabled = !editable;
      const value = item === null ? null : { onset: item.s, offset: item.e - 1, apex: item.apex }[name];
      if (document.activeElement !== input) input.value = value === null ? "" : Math.round(value);
    }
    this.noteBox.disabled = !editable;
    if (document.activeElement !== this.noteBox) this.noteBox.value = item?.note ?? "";
    for (const b of this.actions.children) b.disabled = !editable && b.getAttribute("aria-label") !== "New";
  }
}

/** Figures against truth, and the queue. */
class Side {
  constructor(view) {
    this.view = view;
    this.figures = h("tbody");
    this.spark = h("canvas", { className: "fx-spark", role: "img" });
    this.queue = h("ol", { className: "fx-queue" });
    this.how = h("p", { className: "fx-how" });
    this.expect = h("p", { className: "fx-expect" });
    const head = ["", "TP", "FP", "FN", "Prec.", "Recall", "F1"].map((t) => h("th", { scope: "col" }, t));
    this.table = h("section", { className: "fx-figures", "aria-label": "Figures against truth" },
      h("table", {}, h("thead", {}, h("tr", {}, ...head)), this.figures),
      h("figure", {}, this.spark, h("figcaption", {}, "F1 by threshold")));
    this.queueHead = h("p", { className: "fx-queue-head", "aria-hidden": "true" },
      h("span", {}, "at"), h("span", {}, "why"), h("span", {}, "mistakes/min"));
    this.queueBox = h("section", { className: "fx-queue-box", "aria-label": "Queue" },
      h("header", {}, h("h3", { className: "fx-title" }, "Worth a look"), this.expect),
      this.queueHead,
      this.queue,
      h("details", {}, h("summary", {}, "How this is reckoned"), this.how));
    this.node = h("div", { className: "fx-side" }, this.table, this.queueBox);
    this.table.hidden = !view.scene.truth;
    this.queueBox.hidden = true;
    this.rows = new Map();
  }

  /** The same cells get other text; nothing is rebuilt. */
  updateFigures() {
    const { scene } = this.view;
    if (!scene.truth) return;
    const list = [...scene.table(), scene.reviewScore].filter(Boolean);
    if (!scene.reviewScore && !scene.data.review.hidden) this.reviewLater();
    const { emotion } = scene.settings;
    for (const name of ["macro", "micro"]) if (this.rows.has(name)) this.rows.get(name)[0].parentNode.hidden = emotion;
    for (const row of list) {
      if (!this.rows.has(row.name)) {
        const cells = Array.from({ length: 6 }, () => h("td"));
        this.rows.set(row.name, cells);
        this.figures.append(h("tr", {}, h("th", { scope: "row" }, row.name), ...cells));
      }
      const texts = [row.tp, row.fp, row.fn, percent(row.precision), percent(row.recall), percent(row.f1)];
      texts.forEach((text, i) => (this.rows.get(row.name)[i].textContent = text));
    }
    this.drawSpark();
  }

  /** The row of the review needs a matching of its own: once the hand rests. */
  reviewLater() {
    clearTimeout(this.reviewTimer);
    this.reviewTimer = setTimeout(() => {
      this.view.scene.reviewScore = this.view.scene.reviewFigures();
      this.view.mark("figures");
    }, 120);
  }

  drawSpark() {
    const { scene, timeline } = this.view;
    const [width, height] = [this.spark.clientWidth, 34];
    if (!width) return;
    timeline.fit(this.spark, width, height);
    const c = timeline.context(this.spark);
    const { theme } = timeline;
    const y = (v) => height - 2 - v * (height - 4);
    c.strokeStyle = theme.muted;
    c.lineWidth = 1.5;
    c.beginPath();
    const { f1Curve: curve, matching } = scene;
    for (let i = 0; i <= 60; i++) {
      const count = bisect(matching.order.length, (k) => scene.scoreOf(k) < i / 60);
      const f1 = curve[count];
      if (f1 !== null) c.lineTo((i / 60) * width, y(f1));
    }
    c.stroke();
    const x = scene.settings.threshold * width;
    c.strokeStyle = c.fillStyle = theme.accent;
    c.beginPath();
    line(c, x, 0, x, height);
    c.stroke();
    const now = curve[scene.count];
    if (now !== null) {
      c.beginPath();
      c.arc(x, y(now), 3, 0, 2 * Math.PI);
      c.fill();
    }
    this.spark.setAttribute("aria-label",
      `F1 ${percent(now)} at threshold ${scene.settings.threshold.toFixed(2)}`);
  }

  showQueue(content) {
    const { view } = this;
    this.items = content.items;
    this.queueBox.hidden = !content.items.length && !content.note;
    this.how.textContent = content.note ?? "";
    this.queue.hidden = this.queueHead.hidden = !content.items.length;
    this.expect.textContent = content.items.length ? content.expect ?? "" : "nothing is left to look at";
    this.queue.replaceChildren(...content.items.slice(0, 60).map((item, i) => {
      const rate = h("b", {}, item.per_minute.toFixed(1));
      const where = h("span", { className: "fx-when" }, clock(item.s / view.scene.fps, 1));
      return h("li", {}, h("button", {
        type: "button", className: "fx-queue-item", onclick: () => view.goQueue(i),
        title: `${item.mistakes.toFixed(2)} mistakes expected, ${item.minutes.toFixed(2)} min to review`,
      }, where, h("span", { className: "fx-why" }, item.why), rate));
    }));
    this.mark();
  }

  mark() {
    const at = this.view.state.queueAt;
    [...this.queue.children].forEach((li, i) => {
      const current = i === at;
      li.firstChild.setAttribute("aria-current", String(current));
      if (current) li.scrollIntoView?.({ block: "nearest" });
    });
  }
}

/** Threshold and filters for pages without ipywidgets. */
class Settings {
  constructor(view) {
    this.view = view;
    const { scene } = view;
    this.inputs = {};
    const slider = (name, label, min, max) => {
      const output = h("output");
      const input = h("input", {
        type: "range", min, max, step: 0.01, "aria-label": label,
        oninput: () => view.set({ [name]: Number(input.value) }),
      });
      this.inputs[name] = { input, output };
      const hidden = name === "tiou" && !scene.truth; // nothing to match with
      return h("label", { className: "fx-slider", hidden }, h("span", {}, label), input, output);
    };
    const toggle = (trait, value, label, colour) => {
      const swatch = h("span", { className: "fx-swatch" });
      if (colour) swatch.style.background = colour;
      const box = h("button", {
        type: "button", className: "fx-toggle", "aria-pressed": "true",
        onclick: () => {
          const now = new Set(scene.settings[trait]);
          if (!now.delete(value)) now.add(value);
          view.set({ [trait]: (trait === "classes" ? scene.classes : ["macro", "micro"]).filter((v) => now.has(v)) });
        },
      }, ...(colour ? [swatch] : []), label);
      (this.inputs[trait] ??= []).push({ box, value });
      return box;
    };
    this.node = h("div", { className: "fx-settings", role: "group", "aria-label": "Settings" },
      slider("threshold", "Threshold", 0, 1), slider("nms", "NMS tIoU", 0, 1), slider("tiou", "Match tIoU", 0.05, 1),
      h("span", { className: "fx-toggles" },
        ...scene.classes.map((name, i) => toggle("classes", name, name, scene.colour(i)))),
      h("span", { className: "fx-toggles" }, ...["macro", "micro"].map((t) => toggle("types", t, t))),
      this.sameEmotion());
  }

  sameEmotion() {
    const { view } = this;
    this.emotion = h("button", {
      type: "button", className: "fx-toggle fx-switch", title: "a match needs the same emotion",
      hidden: !view.scene.truth, onclick: () => view.set({ emotion: !view.scene.settings.emotion }),
    }, "same emotion");
    return this.emotion;
  }

  update() {
    const { settings } = this.view.scene;
    for (const name of ["threshold", "nms", "tiou"]) {
      this.inputs[name].input.value = settings[name];
      this.inputs[name].output.textContent = settings[name].toFixed(2);
    }
    this.emotion.setAttribute("aria-pressed", String(settings.emotion));
    for (const trait of ["classes", "types"])
      for (const { box, value } of this.inputs[trait])
        box.setAttribute("aria-pressed", String(settings[trait].includes(value)));
  }
}

// ---------------------------------------------------------------- 8. The explorer

const TRAITS = ["threshold", "nms", "tiou", "emotion", "classes", "types"];
const SILENCE_MS = 4000; // without an answer for so long, the kernel is busy or gone

const STORED = "fedet.review.";

/** Edits that Python has not confirmed yet; they outlive the page in localStorage. */
class Outbox {
  constructor(key) {
    this.place = STORED + key;
    this.list = [];
  }

  static read(place) {
    try {
      return JSON.parse(localStorage.getItem(place)) ?? [];
    } catch {
      return []; // no storage, or not ours
    }
  }

  /** Ids of all edits that wait in this browser, of whatever review. */
  static waiting() {
    try {
      const places = Object.keys(localStorage).filter((place) => place.startsWith(STORED));
      return places.flatMap((place) => Outbox.read(place).map((command) => command.id));
    } catch {
      return [];
    }
  }

  put(command) {
    this.list.push({ command, since: Date.now() });
    this.save();
  }

  done(ids) {
    this.list = this.list.filter(({ command }) => !ids.includes(command.id));
    this.save();
  }

  save() {
    try {
      if (this.list.length) localStorage.setItem(this.place, JSON.stringify(this.list.map((x) => x.command)));
      else localStorage.removeItem(this.place);
    } catch {
      // Private windows have no storage; the edits are still in memory and sent.
    }
  }

  waitedMs() {
    return this.list.length ? Date.now() - this.list[0].since : 0;
  }
}

let commandCount = 0;
const commandPrefix = Math.floor(Math.random() * 2 ** 40).toString(36);
const newId = () => `${commandPrefix}-${++commandCount}`;

/** One explorer on the page. `link` connects it: get(trait), set(traits), send(message). */
export class Explorer {
  constructor(root, data, scores, link) {
    this.root = root;
    this.link = link;
    this.scene = new Scene(data, scores);
    this.scene.apply({});
    this.state = {
      frame: 0, hover: null, selected: null, preview: null, drawn: null, playing: false,
      speed: 1, loop: false, face: data.picture.face && data.picture.start_face,
      lane: data.review.hidden ? "prediction" : "review", queueAt: -1,
    };
    this.outbox = new Outbox(data.review.key);
    this.frames = new Frames((m) => link.send(m), (frame) => this.frameArrived(frame), data.n_frames);
    this.dirty = new Set();
    this.build();
    this.listen();
    this.theme();
    this.refresh();
    this.showSaved([...data.notices, data.review.saved].filter(Boolean).join(" · "));
  }

  // ---- the page

  build() {
    const { data } = this.scene;
    this.timeline = new Timeline(this.root, this.scene);
    this.screen = new Screen(this.scene);
    const { thumbs } = this.screen;
    if (data.picture.available || thumbs.length)
      this.timeline.film = new Film(this.scene, (m) => this.link.send(m), thumbs);
    this.inspector = new Inspector(this);
    this.side = new Side(this);
    this.settings = data.controls ? new Settings(this) : null;
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
    this.root.className = "fx" + (data.alone ? " fx-alone" : "") + (data.readonly ? " fx-readonly" : "");
    const hasPicture = data.picture.available || this.screen.thumbs.length > 0;
    this.screen.node.hidden = !hasPicture;
    this.root.replaceChildren(h("div", { className: "fx-body" },
      this.notice,
      ...(this.settings ? [this.settings.node] : []),
      h("div", { className: "fx-stage" + (hasPicture ? "" : " fx-blind") },
        this.screen.node, this.inspector.node, this.side.node),
      this.transport(),
      h("div", { className: "fx-timeline" }, this.lanesBox, this.timeline.mini),
      h("div", { className: "fx-status" }, this.status, this.saved),
      this.live, this.help));
  }

  transport() {
    const { data } = this.scene;
    const on = (label, key, iconName, action) => button(label, key, action, { iconName });
    this.playButton = on("Play", "Space", "play", () => this.togglePlay());
    this.loopButton = on("Repeat the interval", "M", "loop", () => this.toggleLoop());
    this.faceButton = on("Face or whole picture", "V", "face", () => this.toggleFace());
    this.loopButton.setAttribute("aria-pressed", String(this.state.loop));
    this.faceButton.setAttribute("aria-pressed", String(this.state.face));
    this.undoButton = on("Undo", "Z", "undo", () => this.edit("undo"));
    this.redoButton = on("Redo", "Y", "redo", () => this.edit("redo"));
    this.time = h("output", { className: "fx-time", "aria-label": "Time and frame" });
    const speed = h("select", { "aria-label": "Speed", title: "Speed",
      onchange: () => (this.state.speed = Number(speed.value)) },
      ...[0.1, 0.25, 0.5, 1, 2, 4].map((v) => h("option", { value: v, selected: v === 1 }, `${v}×`)));
    const group = (...nodes) => h("div", { className: "fx-group" }, ...nodes);
    this.faceButton.hidden = !data.picture.face;
    const parts = [
      group(on("Previous interval", "↑", "earlier", () => this.jump(-1)),
        on("One frame back", "←", "back", () => this.step(-1)), this.playButton,
        on("One frame forward", "→", "forward", () => this.step(1)),
        on("Next interval", "↓", "later", () => this.jump(1))),
      this.time,
      group(speed, this.loopButton, this.faceButton),
      group(on("Zoom in", "+", "closer", () => this.zoom(0.5)), on("Zoom out", "-", "wider", () => this.zoom(2)),
        on("Whole video", "0", "whole", () => this.fitAll())),
    ];
    if (!data.readonly) parts.push(group(this.undoButton, this.redoButton), this.exporter());
    parts.push(button("Keys", "?", () => this.showHelp(), { text: "?", className: "fx-ask" }));
    return h("div", { className: "fx-transport", role: "toolbar", "aria-label": "Transport" }, ...parts);
  }

  exporter() {
    const { formats } = this.scene.data;
    if (!formats?.length) return null;
    const names = { csv: "CSV", json: "ActivityNet JSON", eaf: "ELAN", vtt: "WebVTT", "boris.csv": "BORIS" };
    this.format = h("select", { "aria-label": "Format", className: "fx-format" },
      ...formats.map((f) => h("option", { value: f }, names[f] ?? f.toUpperCase())));
    return h("div", { className: "fx-group fx-export" }, this.format,
      button("Export", "", () => this.link.send({ kind: "export", format: this.format.value }), { text: "Export" }));
  }

  listen() {
    const { timeline, root } = this;
    this.abort = new AbortController();
    const { signal } = this.abort;
    root.addEventListener("keydown", (event) => this.key(event), { signal });
    this.pointerEvents(signal);
    this.resizer = new ResizeObserver(() => this.resized());
    this.resizer.observe(this.lanesBox);
    this.resizer.observe(this.screen.node);
    this.themes = new MutationObserver(() => this.theme());
    this.themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class", "data-theme"] });
    this.themes.observe(document.documentElement, { attributes: true, attributeFilter: ["class", "data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.theme(), { signal });
    this.watch = setInterval(() => this.checkKernel(), 1000);
    for (const thumb of this.screen.thumbs) thumb.image.addEventListener("load", () => this.mark("picture", "base"), { signal });
    timeline.mini.setAttribute("aria-hidden", "true");
  }

  destroy() {
    this.abort.abort();
    this.resizer.disconnect();
    this.themes.disconnect();
    clearInterval(this.watch);
    for (const timer of [this.side.reviewTimer, this.filmTimer, this.queueTimer, this.tellFrame]) clearTimeout(timer);
    cancelAnimationFrame(this.pendingDraw);
    this.state.playing = false;
  }

  theme() {
    this.timeline.theme = readTheme(this.root);
    this.timeline.patterns.clear();
    this.timeline.miniCache = null;
    this.mark("base", "over", "mini", "figures");
  }

  resized() {
    const width = Math.floor(this.lanesBox.clientWidth);
    if (width && width !== this.timeline.width) {
      this.timeline.resize(width);
      this.mark("base", "over", "mini", "figures");
    }
    const ratio = window.devicePixelRatio || 1;
    const shown = Math.round(this.screen.node.clientWidth * ratio);
    if (shown && this.scene.data.picture.available) {
      this.frames.configure(Math.min(shown, Math.max(160, this.scene.data.picture.width)), this.state.face);
      this.askFrames();
    }
  }

  /** Marks parts to be drawn in the next animation frame, together. */
  mark(...parts) {
    for (const part of parts) this.dirty.add(part);
    if (!this.pendingDraw) this.pendingDraw = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.pendingDraw = 0;
    const { dirty, timeline, state } = this;
    if (!timeline.width) return;
    if (dirty.has("base")) {
      timeline.drawBase(state);
      this.askFilm();
    }
    else if (dirty.has("film")) timeline.drawFilm(timeline.pen, timeline.lane("film"));
    if (dirty.has("base") || dirty.has("over")) timeline.drawOver(state);
    if (dirty.has("base") || dirty.has("over") || dirty.has("mini")) timeline.drawMini(state);
    if (dirty.has("picture") || dirty.has("over")) this.showFrame();
    if (dirty.has("panel")) this.inspector.update();
    if (dirty.has("figures")) this.side.updateFigures();
    dirty.clear();
  }

  showFrame() {
    const { state, scene } = this;
    this.screen.show(state.frame, this.frames);
    this.time.textContent = `${clock(state.frame / scene.fps)} / ${clock(scene.n / scene.fps, 0)}   ${state.frame}`;
  }

  /** After settings or rows changed: everything that depends on them. */
  refresh() {
    this.timeline.miniCache = null;
    const depth = Object.values(this.scene.depth).join();
    // Not while the threshold's line is dragged: it must not slip away under the pointer.
    if (depth !== this.laidOutDepth && this.drag?.kind !== "level") {
      if (this.timeline.width) this.timeline.layout();
      this.laidOutDepth = depth;
    }
    this.settings?.update();
    this.undoButton.disabled = !this.scene.data.review.undo;
    this.redoButton.disabled = !this.scene.data.review.redo;
    this.remark("");
    this.mark("base", "over", "mini", "panel", "figures", "picture");
  }

  /** A setting changed here (a key, the page's own slider): tell the scene and the widget. */
  set(settings) {
    this.scene.apply(settings);
    this.refresh();
    this.link.set(settings);
  }

  /** A setting changed there (an ipywidget, Python). */
  settingsChanged(settings) {
    const now = this.scene.settings;
    if (!TRAITS.some((t) => t in settings && JSON.stringify(settings[t]) !== JSON.stringify(now[t]))) return;
    this.scene.apply(settings);
    this.refresh();
    this.askQueue();
  }

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

  // ---- words

  describe(item) {
    const { fps } = this.scene;
    const name = item.cls < 0 ? "unknown emotion" : this.scene.classes[item.cls];
    const parts = [`${name}, ${item.type}`, `${clock(item.s / fps)} – ${clock(item.e / fps)}`,
      `${((item.e - item.s) / fps).toFixed(2)} s`, `frames ${round1(item.s)}–${round1(item.e - 1)}`];
    if (item.apex !== null) parts.push(`apex ${round1(item.apex)}`);
    if (item.score !== null) parts.push(`score ${item.score.toFixed(3)}`);
    const verdict = this.verdictText(item);
    if (verdict) parts.push(verdict);
    if (item.reviewer) parts.push(`by ${item.reviewer}, ${item.at.slice(0, 16).replace("T", " ")} UTC`);
    return parts.join(" · ");
  }

  verdictText(item) {
    const lane = this.scene.truth?.items.includes(item) ? "truth" : "prediction";
    if (item.status !== null && lane === "prediction") return "";
    const verdict = this.scene.verdict(lane, item);
    if (verdict === null) return "";
    const other = lane === "truth" ? this.scene.matching.found.get(item) : this.scene.matching.takes.get(item);
    if (verdict === "hit") return `matched, tIoU ${tiou(item, other).toFixed(2)}`;
    return lane === "truth" ? "missed" : "false alarm";
  }

  describeLane() {
    const { selected } = this.state;
    const items = this.visibleItems(selected.lane);
    const rank = items.findIndex((item) => item.id === selected.id) + 1;
    const name = LANE_NAMES[selected.lane] ?? "Prediction";
    return rank ? `${name} ${rank} of ${items.length}` : `${name}, hidden by the settings`;
  }

  hintText() {
    return this.scene.data.readonly
      ? "Click an interval, or use ↑ ↓. Press ? for all keys."
      : "Click an interval, or use ↑ ↓. N makes a new one. Press ? for all keys.";
  }

  // ---- the playhead

  seek(frame, { follow = true } = {}) {
    const { state, scene, timeline } = this;
    const to = clamp(Math.floor(frame), 0, scene.n - 1);
    if (to !== state.frame) this.direction = to > state.frame ? 1 : -1;
    state.frame = to;
    if (follow && (to < timeline.view.from || to >= timeline.view.to)) {
      const span = timeline.view.to - timeline.view.from;
      timeline.setView(to - span * (state.playing ? 0.1 : 0.5), to + span * (state.playing ? 0.9 : 0.5));
      this.mark("base");
    }
    this.askFrames();
    this.mark("over");
    clearTimeout(this.tellFrame);
    this.tellFrame = setTimeout(() => this.link.set({ frame: state.frame }), 200);
  }

  askFrames() {
    if (!this.scene.data.picture.available || !this.frames.key) return;
    const stride = this.state.playing ? Math.max(1, Math.round(this.state.speed)) : 1;
    this.frames.want(this.state.frame, this.direction ?? 1, stride);
  }

  /** Once the window rests; not while playing, which needs the decoder. */
  askFilm() {
    if (!this.scene.data.picture.available) return;
    clearTimeout(this.filmTimer);
    const { timeline, state } = this;
    this.filmTimer = setTimeout(() => state.playing || timeline.film.want(timeline.view, timeline.scale), 250);
  }

  async pictureArrived(content, buffer) {
    if (!content.key.startsWith("film")) return this.frames.receive(content, buffer, this.state.frame);
    if (await this.timeline.film.receive(content, buffer)) this.mark("film");
  }

  frameArrived(frame) {
    if (frame === this.state.frame) this.mark("picture");
  }

  step(by) {
    this.pause();
    this.seek(this.state.frame + by);
  }

  togglePlay() {
    if (this.state.playing) return this.pause();
    this.state.playing = true;
    this.direction = 1;
    if (this.state.frame >= this.scene.n - 1) this.seek(0);
    this.playButton.replaceChildren(icon("pause"));
    this.playButton.setAttribute("aria-label", "Pause");
    this.playFrom = { frame: this.state.frame, at: performance.now() };
    this.playedTo = this.state.frame;
    requestAnimationFrame((now) => this.playOn(now));
  }

  pause() {
    if (!this.state.playing) return;
    this.state.playing = false;
    this.playButton.replaceChildren(icon("play"));
    this.playButton.setAttribute("aria-label", "Play");
    this.askFrames();
  }

  /** Plays in real time or, where frames come slower, as fast as they come: none is skipped at 1x. */
  playOn(now) {
    const { state, scene, frames } = this;
    if (!state.playing) return;
    if (state.frame !== this.playedTo) this.playFrom = { frame: state.frame, at: now }; // jumped
    const due = this.playFrom.frame + ((now - this.playFrom.at) / 1000) * scene.fps * state.speed;
    const stride = Math.max(1, Math.round(state.speed));
    const next = state.frame + stride;
    const waits = scene.data.picture.available && !frames.ready(Math.min(next, scene.n - 1));
    if (due >= next && !waits) {
      const target = scene.data.picture.available ? next : Math.floor(due);
      const loop = state.loop ? this.selectedItem() : null;
      if (loop && target >= loop.e + scene.fps * 0.3) this.restart(loop.s - scene.fps * 0.3, now);
      else if (target >= scene.n - 1) {
        this.seek(scene.n - 1);
        this.pause();
      } else this.seek(target);
    }
    if (due - state.frame > 2 * stride) this.playFrom = { frame: state.frame, at: now };
    this.playedTo = state.frame;
    if (waits) this.askFrames();
    requestAnimationFrame((t) => this.playOn(t));
  }

  restart(frame, now) {
    this.seek(frame);
    this.playFrom = { frame: this.state.frame, at: now };
  }

  toggleLoop() {
    this.state.loop = !this.state.loop;
    this.loopButton.setAttribute("aria-pressed", String(this.state.loop));
  }

  toggleFace() {
    if (!this.scene.data.picture.face) return;
    this.state.face = !this.state.face;
    this.faceButton.setAttribute("aria-pressed", String(this.state.face));
    this.timeline.film.configure(this.state.face);
    this.mark("base");
    this.resized();
  }

  // ---- the window

  zoom(factor, at = null) {
    const { timeline, state } = this;
    const inside = state.frame >= timeline.view.from && state.frame < timeline.view.to;
    timeline.zoom(factor, at ?? (inside ? state.frame + 0.5 : (timeline.view.from + timeline.view.to) / 2));
    this.mark("base");
  }

  fitAll() {
    this.timeline.setView(0, this.scene.n);
    this.mark("base");
  }

  fitItem(item = this.selectedItem()) {
    if (!item) return this.fitAll();
    const room = Math.max((item.e - item.s) * 1.2, this.scene.fps);
    this.timeline.setView(item.s - room, item.e + room);
    this.mark("base");
  }

  pan(share) {
    const { view } = this.timeline;
    const by = (view.to - view.from) * share;
    this.timeline.setView(view.from + by, view.to + by);
    this.mark("base");
  }

  // ---- choosing

  visibleItems(lane) {
    const track = this.timeline.trackOf(lane);
    if (!track) return [];
    if (lane.startsWith("seed")) return track.items;
    return track.items.filter((item) => this.scene.shows(lane, item));
  }

  selectedItem() {
    const { selected } = this.state;
    if (!selected) return null;
    if (selected.lane === "review") return this.scene.rows.get(selected.id) ?? null;
    return this.timeline.trackOf(selected.lane)?.items.find((item) => item.id === selected.id) ?? null;
  }

  /** The review row that edits go to: the selected one, or the one a prediction stands for. */
  selectedRow() {
    const { selected } = this.state;
    if (!selected || this.scene.data.review.hidden) return null;
    if (selected.lane === "review" || selected.lane === "prediction")
      return this.scene.rows.get(selected.id) ?? null;
    return null;
  }

  select(lane, item, { seek = true } = {}) {
    if (document.activeElement === this.inspector.noteBox) this.inspector.saveNote();
    this.state.selected = item ? { lane, id: item.id } : null;
    this.remark("");
    if (item) {
      this.state.lane = lane;
      if (seek) this.seek(item.s);
      this.reveal(item);
      this.say(`${this.describeLane()}: ${item.status ?? ""} ${this.describe(item)} ${item.note}`);
    }
    this.link.set({ selected: item ? item.id : "" });
    this.mark("base", "over", "panel");
  }

  /** Moves the window as little as needed to show the interval. */
  reveal(item) {
    const { view } = this.timeline;
    const span = view.to - view.from;
    if (item.e - item.s > span) this.fitItem(item);
    else if (item.s < view.from) this.timeline.setView(item.s - span * 0.15, item.s + span * 0.85);
    else if (item.e > view.to) this.timeline.setView(item.e - span * 0.85, item.e + span * 0.15);
    this.mark("base");
  }

  jump(direction, test = () => true) {
    const { state } = this;
    const items = this.visibleItems(state.lane).filter(test);
    if (!items.length) return this.remark("No interval there");
    const current = state.selected?.lane === state.lane ? this.selectedItem() : null;
    const at = items.indexOf(current);
    const from = current ?? { s: state.frame, e: state.frame };
    let to;
    if (at >= 0) to = items[at + direction];
    else if (direction > 0) to = items.find((item) => item.s > from.s || (item.s === from.s && item.e > from.e));
    else to = items.findLast((item) => item.s < from.s);
    if (to) this.select(state.lane, to);
    else this.remark(direction > 0 ? "That was the last one" : "That was the first one");
  }

  nextLane() {
    const keys = this.timeline.lanes.map((lane) => lane.key).filter((key) => LANE_NAMES[key]);
    this.state.lane = keys[(keys.indexOf(this.state.lane) + 1) % keys.length];
    this.say(`Lane ${LANE_NAMES[this.state.lane]}`);
    this.mark("base");
  }

  goQueue(index) {
    const items = this.side.items ?? [];
    const item = items[index];
    if (!item) return this.remark(!items.length ? "The queue is empty" : index < 0 ? "That was the first one" : "That was the last one");
    this.state.queueAt = index;
    this.side.mark();
    const row = item.row_id ? this.scene.rows.get(item.row_id) : null;
    if (row) {
      this.select("review", row);
      this.fitItem(row);
    } else {
      this.select("review", null);
      this.timeline.setView(item.s, item.e);
      this.seek(item.s);
      this.say(`Stretch from ${clock(item.s / this.scene.fps, 0)}: ${item.why}`);
      this.mark("base");
    }
  }

  nextOpen() {
    const items = this.side.items ?? [];
    if (this.state.queueAt >= 0 && items.length) {
      const next = items.findIndex((item, i) => i > this.state.queueAt && this.stillOpen(item));
      if (next >= 0) return this.goQueue(next);
    }
    this.jump(1, (item) => item.status === "open" || item.id === this.state.selected?.id);
  }

  stillOpen(item) {
    return item.kind === "stretch" || this.scene.rows.get(item.row_id)?.status === "open";
  }

  // ---- edits

  /** An edit of the selected row; it shows at once and counts when Python confirms it. */
  edit(op, values = {}) {
    const { scene } = this;
    if (scene.data.readonly) return;
    const needsRow = !["undo", "redo", "add", "seen"].includes(op);
    const row = needsRow ? this.selectedRow() : null;
    if (needsRow && !row) return this.remark("Select an interval of the review first");
    if (op === "relabel" && scene.classes[row.cls] === values.emotion) return;
    const command = { id: newId(), op, ...values, ...(row ? { row: row.id } : {}) };
    this.outbox.put(command);
    if (row) this.foresee(op, row, values);
    this.link.send({ kind: "edit", command });
  }

  /** What the edit will make of the row, so that nothing lags behind the hand. */
  foresee(op, row, values) {
    if (op === "delete" || op === "split") return;
    const touched = row.status === "added" ? "added" : "corrected";
    const decided = ["accepted", "corrected", "added"].includes(row.status);
    const next = { ...row };
    if (op === "accept") next.status = decided ? row.status : "accepted";
    if (op === "reject") next.status = "rejected";
    if (op === "reopen") next.status = "open";
    if (op === "note") next.note = values.text;
    if (op === "relabel") Object.assign(next, { cls: this.scene.classes.indexOf(values.emotion), status: touched });
    if (op === "move") {
      const { onset = row.s, offset = row.e - 1, apex = row.apex } = values;
      if (onset > offset) return; // Python says no, in words
      const inside = apex === null ? null : clamp(apex, onset, offset);
      Object.assign(next, { s: onset, e: offset + 1, apex: inside, status: touched });
    }
    this.putRows({ [row.id]: next });
  }

  putRows(changes) {
    for (const [id, row] of Object.entries(changes)) {
      if (row) this.scene.rows.set(id, row);
      else this.scene.rows.delete(id);
    }
    this.scene.rebuild();
    if (this.state.selected?.lane === "review" && !this.scene.rows.has(this.state.selected.id))
      this.state.selected = null;
    this.refresh();
  }

  /** Python's answer to edits, also to those made in Python or in another view. */
  acknowledged(content) {
    this.outbox.done(content.ids);
    const { scene } = this;
    const table = content.rows;
    const items = itemsOf(table, scene.classes, scene.fps, scene.data.micro_s);
    const changes = Object.fromEntries(items.map((item) => [item.id, item]));
    for (const id of content.gone) changes[id] = null;
    Object.assign(scene.data.review, { undo: content.undo, redo: content.redo });
    this.putRows(changes);
    if (content.select && scene.rows.has(content.select) && scene.rows.get(content.select).status !== "seen")
      this.select("review", scene.rows.get(content.select), { seek: false });
    if (content.message) this.say(content.message);
    this.showSaved(content.saved);
    this.kernelAnswers();
    this.askQueue();
  }

  refused(content) {
    this.acknowledged({ ...content, message: "" });
    this.banner(content.message, [["Close", () => this.banner("")]]);
    this.say(content.message);
  }

  showSaved(text) {
    this.saved.textContent = text ?? "";
  }

  command(op) {
    const { state, scene } = this;
    const frame = state.frame;
    if (op === "new") {
      const half = Math.round(scene.fps * 0.5);
      const [onset, offset] = [Math.max(0, frame), Math.min(scene.n - 1, frame + half)];
      return this.edit("add", { onset, offset, emotion: scene.likely(frame) });
    }
    if (op === "split") return this.edit("split", { frame });
    return this.edit(op);
  }

  /** Accept or reject and go on; in an empty stretch: it was looked at. */
  decide(op) {
    const item = this.side.items?.[this.state.queueAt];
    if (!this.state.selected && item?.kind === "stretch") this.edit("seen", { onset: item.s, offset: item.e - 1 });
    else if (this.selectedRow()) this.edit(op);
    else return this.nextOpen();
    this.nextOpen();
  }

  askQueue() {
    if (this.scene.data.readonly) return;
    clearTimeout(this.queueTimer);
    this.queueTimer = setTimeout(() => this.link.send({ kind: "queue" }), 400);
  }

  queueArrived(content) {
    const current = this.side.items?.[this.state.queueAt];
    this.side.showQueue(content);
    const same = (item) => current && item.row_id === current.row_id && item.s === current.s;
    if (this.state.queueAt >= 0) this.state.queueAt = Math.max(0, content.items.findIndex(same));
    this.side.mark();
  }

  /** Says so when edits wait for a kernel that is busy or dead. */
  checkKernel() {
    if (this.outbox.waitedMs() < SILENCE_MS || this.scene.data.readonly) return;
    this.silent = true;
    const n = this.outbox.list.length;
    const [waits, it, kept] = n > 1 ? ["edits wait", "they", "They are"] : ["edit waits", "it", "It is"];
    this.banner(`The kernel has not answered: ${n} ${waits}. ${kept} kept in this browser. If the kernel was ` +
      `restarted, run the cell again: ${it} will be offered there.`);
  }

  kernelAnswers() {
    if (this.silent && !this.outbox.list.length) {
      this.silent = false;
      this.banner("");
    }
  }

  /** Edits that an earlier page sent and no kernel confirmed. */
  offerLost(known) {
    const lost = Outbox.read(this.outbox.place).filter((command) => !known.includes(command.id));
    if (!lost.length) return this.outbox.save();
    const apply = () => {
      this.banner("");
      for (const command of lost) {
        this.outbox.put(command);
        this.link.send({ kind: "edit", command });
      }
    };
    const forget = () => {
      this.banner("");
      this.outbox.save();
    };
    const n = lost.length;
    this.banner(`${n} edit${n > 1 ? "s" : ""} did not reach the kernel last time.`,
      [[n > 1 ? "Apply them" : "Apply it", apply], ["Forget", forget]]);
  }

  // ---- keys

  key(event) {
    const control = event.ctrlKey || event.metaKey;
    // A notebook in command mode would act on plain letters (d d deletes the cell); Ctrl+S is its.
    if (!control && event.key !== "Tab") event.stopPropagation();
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
    if (typing) return event.key === "Escape" && this.focus();
    const onButton = event.target.tagName === "BUTTON" || event.target.tagName === "SUMMARY";
    if (onButton && (event.key === " " || event.key === "Enter")) return;
    if (event.altKey || event.key === "Tab") return;
    const action = control ? this.controlKeys()[event.key.toLowerCase()] : this.plainKeys(event.shiftKey)[event.key] ??
      (event.key.length === 1 ? this.plainKeys(event.shiftKey)[event.key.toLowerCase()] : null);
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    this.leave();
    action();
  }

  controlKeys() {
    return { z: () => this.edit("undo"), y: () => this.edit("redo") };
  }

  plainKeys(shift) {
    this.keyTable ??= { false: this.makeKeys(false), true: this.makeKeys(true) };
    return this.keyTable[shift];
  }

  makeKeys(shift) {
    const { scene, state } = this;
    const move = (name) => () => this.edit("move", { [name]: state.frame });
    const emotions = scene.classes.slice(0, 9).map((name, i) =>
      [String(i + 1), () => this.edit("relabel", { emotion: name })]);
    const nudge = (by) => () =>
      this.set({ threshold: clamp(Math.round((scene.settings.threshold + by) * 100) / 100, 0, 1) });
    const isOpen = (item) => item.status === "open" || item.id === state.selected?.id;
    return {
      " ": () => this.togglePlay(),
      ArrowLeft: () => this.step(shift ? -10 : -1),
      ArrowRight: () => this.step(shift ? 10 : 1),
      ArrowUp: () => this.jump(-1),
      ArrowDown: () => this.jump(1),
      PageUp: () => this.jump(-1, isOpen),
      PageDown: () => this.jump(1, isOpen),
      Home: () => this.step(-scene.n),
      End: () => this.step(scene.n),
      "+": () => this.zoom(0.5), "=": () => this.zoom(0.5),
      "-": () => this.zoom(2), "−": () => this.zoom(2), "_": () => this.zoom(2),
      0: () => this.fitAll(),
      f: () => this.fitItem(),
      ",": () => this.pan(-0.5), "<": () => this.pan(-0.5),
      ".": () => this.pan(0.5), ">": () => this.pan(0.5),
      l: () => this.nextLane(),
      m: () => this.toggleLoop(),
      v: () => this.toggleFace(),
      "[": nudge(-0.01), "]": nudge(0.01),
      Enter: () => this.decide("accept"),
      Backspace: () => this.decide("reject"),
      a: () => this.edit("accept"),
      r: () => this.edit("reject"),
      u: () => this.edit("reopen"),
      i: move("onset"), o: move("offset"), p: move("apex"),
      n: () => this.command("new"),
      s: () => this.command("split"),
      Delete: () => this.edit("delete"),
      t: () => this.inspector.noteBox.focus(),
      q: () => this.goQueue(state.queueAt + (shift ? -1 : 1)),
      z: () => this.edit(shift ? "redo" : "undo"),
      y: () => this.edit("redo"),
      "?": () => this.showHelp(),
      Escape: () => this.select(state.lane, null),
      ...Object.fromEntries(emotions),
    };
  }

  // ---- the pointer

  pointerEvents(signal) {
    const { lanesBox, timeline } = this;
    const { mini } = timeline;
    this.pointers = new Map();
    const at = (event, node) => {
      const box = node.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    lanesBox.addEventListener("pointerdown", (event) => this.press(event, ...at(event, lanesBox)), { signal });
    lanesBox.addEventListener("pointermove", (event) => this.hovered(event, ...at(event, lanesBox)), { signal });
    for (const name of ["pointerup", "pointercancel"])
      lanesBox.addEventListener(name, (event) => this.release(event), { signal });
    lanesBox.addEventListener("pointerleave", () => this.leave(), { signal });
    lanesBox.addEventListener("dblclick", (event) => {
      const { item } = timeline.hit(...at(event, lanesBox), this.state);
      if (item) this.fitItem(item);
    }, { signal });
    lanesBox.addEventListener("wheel", (event) => this.wheel(event, at(event, lanesBox)[0]), { signal, passive: false });
    mini.addEventListener("pointerdown", (event) => this.pressMini(event, at(event, mini)[0]), { signal });
    mini.addEventListener("pointermove", (event) => event.buttons && this.dragMini(at(event, mini)[0]), { signal });
    mini.addEventListener("wheel", (event) => this.wheel(event, null), { signal, passive: false });
  }

  press(event, x, y) {
    if (event.button !== 0) return;
    this.focus();
    this.lanesBox.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, x);
    if (this.pointers.size === 2) return this.startPinch();
    const touch = event.pointerType === "touch";
    const hit = this.timeline.hit(x, y, this.state, touch ? 16 : EDGE);
    const onLevel = this.timeline.onLevel(x, y);
    const start = { x, y, view: { ...this.timeline.view }, moved: false };
    if (y < RULER) {
      this.drag = { kind: "scrub", ...start };
      this.pause();
      this.seek(this.timeline.frameAt(x), { follow: false });
    } else if (onLevel) {
      this.drag = { kind: "level", ...start };
    } else if (hit.item) {
      this.select(hit.lane.key, hit.item, { seek: hit.part === "body" });
      const edge = hit.part !== "body" && !this.scene.data.readonly;
      this.drag = edge ? { kind: "edge", part: hit.part, item: hit.item, ...start } : { kind: "pan", ...start, item: hit.item };
    } else if (event.shiftKey && hit.lane?.key === "review" && !this.scene.data.readonly) {
      this.drag = { kind: "new", ...start };
    } else {
      this.drag = { kind: "pan", ...start };
    }
  }

  hovered(event, x, y) {
    if (this.pointers.has(event.pointerId)) this.pointers.set(event.pointerId, x);
    if (this.pinch) return this.pinchOn();
    if (this.drag) return this.dragOn(x, y);
    const hit = this.timeline.hit(x, y, this.state);
    const edge = hit.item && hit.part !== "body" && !this.scene.data.readonly;
    this.lanesBox.style.cursor = this.timeline.onLevel(x, y) ? "ns-resize" : edge ? "ew-resize" : hit.item ? "pointer" : y < RULER ? "col-resize" : "default";
    this.showTip(x, y, hit);
  }

  dragOn(x, y) {
    const { drag, timeline, state } = this;
    if (Math.hypot(x - drag.x, y - drag.y) > 3) drag.moved = true;
    if (!drag.moved) return;
    if (drag.kind === "scrub") this.seek(timeline.frameAt(x), { follow: false });
    if (drag.kind === "pan") {
      const by = (drag.x - x) / timeline.scale;
      timeline.setView(drag.view.from + by, drag.view.to + by);
      this.mark("base");
    }
    if (drag.kind === "edge") this.dragEdge(x);
    if (drag.kind === "level") this.set({ threshold: timeline.levelAt(y) });
    if (drag.kind === "new") {
      const [a, b] = [timeline.frameAt(drag.x), timeline.frameAt(x)].sort((p, q) => p - q);
      state.drawn = { s: clamp(Math.floor(a), 0, this.scene.n - 1), e: clamp(Math.ceil(b), 1, this.scene.n) };
      this.mark("over");
    }
    this.tip.hidden = true;
  }

  /** The edge follows the pointer frame by frame, and the picture shows the frame at the edge. */
  dragEdge(x) {
    const { drag, timeline, state, scene } = this;
    const { item, part } = drag;
    const frame = timeline.frameAt(x);
    const next = { s: item.s, e: item.e, apex: item.apex };
    if (part === "onset") next.s = clamp(Math.round(frame), 0, item.e - 1);
    if (part === "offset") next.e = clamp(Math.round(frame), item.s + 1, scene.n);
    if (part === "apex") next.apex = clamp(Math.floor(frame), item.s, item.e - 1);
    else if (item.apex !== null) next.apex = clamp(item.apex, next.s, next.e - 1);
    state.preview = { id: item.id, ...next };
    this.seek(part === "onset" ? next.s : part === "offset" ? next.e - 1 : next.apex, { follow: false });
    this.mark("base");
  }

  release(event) {
    this.pointers.delete(event.pointerId);
    if (this.pinch) {
      if (!this.pointers.size) this.pinch = null;
      return;
    }
    const { drag, state } = this;
    const { preview, drawn } = state;
    this.drag = state.preview = state.drawn = null;
    if (!drag) return;
    if (drag.kind === "level") this.refresh(); // the lanes' heights may follow now
    if (event.type === "pointercancel") return this.mark("base");
    if (drag.kind === "edge" && preview) {
      const value = { onset: preview.s, offset: preview.e - 1, apex: preview.apex }[drag.part];
      this.edit("move", { [drag.part]: value });
    } else if (drag.kind === "new" && drawn && drag.moved) {
      this.edit("add", { onset: drawn.s, offset: drawn.e - 1, emotion: this.scene.likely((drawn.s + drawn.e) >> 1) });
    } else if (drag.kind === "pan" && !drag.moved && !drag.item) {
      this.pause();
      this.select(state.lane, null);
      this.seek(this.timeline.frameAt(drag.x), { follow: false });
    }
    this.mark("base", "over");
  }

  startPinch() {
    const [a, b] = [...this.pointers.values()];
    this.drag = this.state.preview = null;
    this.pinch = { distance: Math.max(20, Math.abs(a - b)), middle: this.timeline.frameAt((a + b) / 2), view: { ...this.timeline.view } };
  }

  pinchOn() {
    if (this.pointers.size < 2) return;
    const [a, b] = [...this.pointers.values()];
    const { timeline, pinch } = this;
    const span = ((pinch.view.to - pinch.view.from) * pinch.distance) / Math.max(20, Math.abs(a - b));
    const share = ((a + b) / 2 - timeline.gutter) / timeline.plotWidth;
    timeline.setView(pinch.middle - share * span, pinch.middle + (1 - share) * span);
    this.mark("base");
  }

  leave() {
    this.tip.hidden = true;
    this.state.hover = null;
    this.mark("over");
  }

  wheel(event, x) {
    const focused = this.lanesBox.contains(document.activeElement);
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (!focused && !event.ctrlKey && !sideways) return; // the page scrolls
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : 1;
    const { timeline } = this;
    if (sideways || event.shiftKey) {
      const by = (((sideways ? event.deltaX : event.deltaY) * unit) / timeline.plotWidth) * (timeline.view.to - timeline.view.from);
      timeline.setView(timeline.view.from + by, timeline.view.to + by);
    } else {
      const at = x === null ? (timeline.view.from + timeline.view.to) / 2 : timeline.frameAt(x);
      timeline.zoom(Math.exp(event.deltaY * unit * (event.ctrlKey ? 0.008 : 0.0022)), at);
    }
    this.mark("base");
  }

  pressMini(event, x) {
    const { timeline } = this;
    timeline.mini.setPointerCapture(event.pointerId);
    const frame = timeline.miniFrame(x);
    const { from, to } = timeline.view;
    const slack = (6 / timeline.plotWidth) * this.scene.n;
    const edge = Math.abs(frame - from) < slack ? "from" : Math.abs(frame - to) < slack ? "to" : null;
    this.miniDrag = { edge, grip: frame >= from && frame <= to ? frame - from : (to - from) / 2 };
    this.dragMini(x);
  }

  dragMini(x) {
    const { timeline, miniDrag } = this;
    const frame = timeline.miniFrame(x);
    const { from, to } = timeline.view;
    if (miniDrag.edge === "from") timeline.setView(Math.min(frame, to - 12), to);
    else if (miniDrag.edge === "to") timeline.setView(from, Math.max(frame, from + 12));
    else timeline.setView(frame - miniDrag.grip, frame - miniDrag.grip + to - from);
    this.mark("base");
  }

  /** Frame, time and scores under the pointer, and the interval if it is on one. */
  showTip(x, y, hit) {
    const { timeline, scene, state } = this;
    const frame = clamp(Math.floor(timeline.frameAt(x)), 0, scene.n - 1);
    state.hover = x >= timeline.gutter ? x : null;
    this.mark("over");
    this.tip.hidden = state.hover === null;
    if (state.hover === null) return;
    const lines = [h("b", {}, `${clock(frame / scene.fps)} · frame ${frame}`)];
    for (const [name, value] of scene.scoresAt(frame)) {
      const swatch = h("span", { className: "fx-swatch" });
      swatch.style.background = scene.colour(scene.classes.indexOf(name));
      lines.push(h("span", { className: "fx-tip-score" }, swatch, `${name} ${value === null ? "–" : value.toFixed(2)}`));
    }
    if (hit.item) lines.push(h("span", {}, this.describe(hit.item)));
    if (hit.item?.note) lines.push(h("i", {}, hit.item.note));
    this.tip.replaceChildren(...lines);
    const room = timeline.width - this.tip.offsetWidth - 4;
    this.tip.style.left = clamp(x + 14, 0, Math.max(0, room)) + "px";
    this.tip.style.top = Math.max(y + 16, RULER + 4) + "px";
  }
}

const round1 = (x) => (Number.isInteger(x) ? x : x.toFixed(1));

// ---------------------------------------------------------------- 9. Mounting

/** In a saved page: everything is in `data`; nothing is edited, nothing is sent. */
export function mount(root, data) {
  let scores = null;
  if (data.scores) {
    const bytes = Uint8Array.from(atob(data.scores.base64), (c) => c.charCodeAt(0));
    scores = new Uint16Array(bytes.buffer);
  }
  const view = new Explorer(root, data, scores, { get: () => null, set() {}, send() {} });
  if (data.queue) view.side.showQueue(data.queue);
  root.explorer = view; // for a console, and for tests
  return view;
}

/** What ipywidgets leaves out for a screen reader: names of the sliders, states of the toggles beside the view. */
function nameControls(el) {
  const panel = el.closest(".widget-vbox");
  for (const slider of panel?.querySelectorAll(".widget-slider") ?? [])
    slider.querySelector(".noUi-handle")?.setAttribute("aria-label", slider.querySelector(".widget-label").textContent);
  for (const toggle of panel?.querySelectorAll("button.widget-toggle-button, .widget-toggle-buttons button") ?? [])
    toggle.setAttribute("aria-pressed", String(toggle.classList.contains("mod-active")));
}

/** As the view of an anywidget: asks Python for the data, then keeps both in step. */
function render({ model, el }) {
  const root = h("div");
  el.append(root);
  root.textContent = "Loading the intervals …";
  let view = null;
  const link = {
    get: (name) => model.get(name),
    set: (values) => {
      for (const [name, value] of Object.entries(values)) model.set(name, value);
      model.save_changes();
    },
    send: (message) => model.send(message),
  };
  const traitChanged = () => {
    view?.settingsChanged(Object.fromEntries(TRAITS.map((t) => [t, model.get(t)])));
    setTimeout(() => nameControls(el)); // once the toggles have changed, too
  };
  const frameChanged = () => view && model.get("frame") !== view.state.frame && view.seek(model.get("frame"));
  const handlers = {
    state(content, buffers) {
      const lost = view === null;
      view?.destroy();
      const bytes = buffers[0];
      const scores = content.data.scores
        ? new Uint16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)) : null;
      view = root.explorer = new Explorer(root, content.data, scores, link);
      if (lost) view.offerLost(content.known);
      nameControls(el);
      view.askQueue();
      frameChanged();
    },
    ack: (content) => view?.acknowledged(content),
    refused: (content) => view?.refused(content),
    queue: (content) => view?.queueArrived(content),
    frame: (content, buffers) => view?.pictureArrived(content, buffers[0]),
    exported: (content) => view?.banner(content.message, [["Close", () => view.banner("")]]),
  };
  const onMessage = (content, buffers) => {
    // Several views hear the same answers; a fresh one must not be rebuilt by another's greeting.
    if (content.kind === "state" && content.to !== greeting) return;
    handlers[content.kind]?.(content, buffers ?? []);
  };
  const greeting = newId();
  model.on("msg:custom", onMessage);
  for (const name of TRAITS) model.on("change:" + name, traitChanged);
  model.on("change:frame", frameChanged);
  model.send({ kind: "hello", from: greeting, pending: Outbox.waiting() });
  return () => {
    model.off("msg:custom", onMessage);
    for (const name of TRAITS) model.off("change:" + name, traitChanged);
    model.off("change:frame", frameChanged);
    view?.destroy();
  };
}

export default { render };
