// Intervals: overlap, suppression, matching, figures.

const sharedFrames = (a, b) => Math.max(0, Math.min(a.e, b.e) - Math.max(a.s, b.s));

/** Temporal intersection over union of two intervals, counted in frames. */
function tiou(a, b) {
  const shared = sharedFrames(a, b);
  return shared / (a.e - a.s + (b.e - b.s) - shared);
}

/** Sorted by onset, with the furthest end so far: finds what overlaps a span by two searches. */
class Track {
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
const byScore = (a, b) =>
  (b.score ?? 1) - (a.score ?? 1) || a.s - b.s || a.e - b.e || a.cls - b.cls;

/** What NMS and matching need of a list and what no setting changes: the order, and tracks. */
const groupOf = (item) => `${item.cls} ${item.subject ?? ""}`;

function prepare(items) {
  const order = [...items].sort(byScore);
  order.forEach((item, rank) => (item.rank = rank));
  const classes = new Map();
  for (const item of items) {
    const group = groupOf(item);
    if (!classes.has(group)) classes.set(group, []);
    classes.get(group).push(item);
  }
  for (const [group, list] of classes) classes.set(group, new Track(list));
  return { order, classes };
}

/** Ids that a better interval of the same emotion overlaps by more than `strength` (tIoU). */
function suppressed({ order, classes }, strength) {
  if (strength >= 1) return new Set();
  const dropped = new Uint8Array(order.length); // by rank
  for (const item of order) {
    if (dropped[item.rank]) continue;
    const { items, starts, reach } = classes.get(groupOf(item));
    const last = above(starts, item.e, false);
    for (let i = above(reach, item.s, true); i < last; i++) {
      const other = items[i];
      if (other.rank > item.rank && !dropped[other.rank] && tiou(item, other) > strength + 1e-9) dropped[other.rank] = 1;
    }
  }
  return new Set(order.filter((item) => dropped[item.rank]).map((item) => item.id));
}

/**
 * Greedy one-to-one matching of the protocol: predictions in descending score, each takes the free
 * event with the highest tIoU if that reaches the threshold.
 *
 * Because the order is by score, the matching above any score threshold is the beginning of this
 * one, so that moving the threshold needs no new matching.
 *
 * With `emotion`, the labels must agree; an event of unknown emotion is then neither detected nor
 * missed, and a prediction left over that lies on one is ignored.
 *
 * `order` holds the predictions in the order of `byScore`.
 */
function matchGreedy(order, truth, threshold, emotion = false) {
  const track = new Track(truth);
  const eventOf = new Map(); // prediction -> event
  const predictionOf = new Map(); // event -> prediction
  const ignored = new Set();
  const best = (p, allowed) => {
    let [event, most] = [null, 0];
    const [first, last] = track.range(p.s, p.e);
    for (let i = first; i < last; i++) {
      const t = track.items[i];
      const shared = sharedFrames(p, t);
      if (!shared || predictionOf.has(t) || !allowed(p, t)) continue;
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
      eventOf.set(p, event);
      predictionOf.set(event, p);
    }
  }
  if (emotion)
    for (const p of order) {
      const event = eventOf.has(p) ? null : best(p, (_, t) => t.cls < 0);
      if (event) {
        predictionOf.set(event, p);
        ignored.add(p);
      }
    }
  return { order, eventOf, predictionOf, ignored, truth: truth.filter((t) => !emotion || t.cls >= 0) };
}

/** TP, FP, FN, precision, recall and F1 of the first `count` predictions of a matching. */
function figures(matching, count, kind = null) {
  let [tp, fp] = [0, 0];
  for (let i = 0; i < count; i++) {
    const p = matching.order[i];
    const event = matching.eventOf.get(p);
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
function f1ByCount(matching) {
  const events = matching.truth.length;
  let [tp, fp] = [0, 0];
  const curve = [events ? 0 : null];
  for (const p of matching.order) {
    if (matching.eventOf.has(p)) tp++;
    else if (!matching.ignored.has(p)) fp++;
    curve.push(ratios(tp, fp, events - tp).f1);
  }
  return curve;
}

/** Puts overlapping items of those `shown` on different rows, at most `most`; returns the number used. */
function stack(track, most = 3, shown = () => true) {
  const people = [...new Set(track.items.map((item) => item.subject))].sort();
  if (people.length > 1) { // a row for each person
    for (const item of track.items) item.row = people.indexOf(item.subject);
    return people.length;
  }
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
