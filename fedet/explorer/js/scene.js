// The data of the video, and the settings applied to them. No drawing here.

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
      subject: column(table, "subject", i),
      reviewer: column(table, "reviewer", i),
      at: column(table, "at", i),
      row: 0,
    };
  });
}

/** The data of the video, and the settings applied to them. No drawing here. */
class Scene {
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
    this.people = [...new Set(this.review.items.map((row) => row.subject).filter(Boolean))].sort();
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
    if (lane.startsWith("seed")) return (item.score ?? 1) >= this.settings.threshold;
    return lane !== "review" || item.status !== "open" || this.keeps(item);
  }

  /** "hit" or "miss" where there is truth to compare with, else null. */
  verdict(lane, item) {
    if (!this.truth) return null;
    if (lane === "truth") {
      const p = this.matching.predictionOf.get(item);
      return p && this.keeps(p) && !this.matching.ignored.has(p) ? "hit" : "miss";
    }
    if (lane !== "prediction" || this.matching.ignored.has(item)) return null;
    return this.matching.eventOf.has(item) ? "hit" : "miss";
  }

  table() {
    const row = (name, kind) => ({ name, ...figures(this.matching, this.count, kind) });
    // The protocol defines macro and micro for spotting, not where the emotion must agree.
    return this.settings.emotion ? [row("all", null)]
      : [row("all", null), row("macro", "macro"), row("micro", "micro")];
  }

  /** Metrics of the review as it stands: confirmed rows, and open ones above the threshold. */
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

  /** Whose a new interval is: of whom one is selected, else of whom the nearest is; null where one is alone. */
  personAt(frame, selected) {
    if (this.people.length < 2) return null;
    const away = (row) => Math.max(row.s - frame, frame - row.e + 1, 0);
    const near = this.review.items.filter((row) => row.subject).sort((a, b) => away(a) - away(b));
    return selected?.subject ?? near[0].subject;
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

  /** The frame that shows an interval best: its apex, else its highest score, else its middle. */
  apexOf(item) {
    if (item.apex !== null) return item.apex;
    const middle = (item.s + item.e - 1) >> 1;
    const values = this.curves.find(({ name }) => name === this.classes[item.cls])?.levels[0].min;
    const score = (frame) => (values[frame] === MISSING ? -1 : values[frame] ?? -1);
    if (!values || score(middle) < 0) return middle;
    let best = middle;
    for (let frame = Math.ceil(item.s); frame < item.e; frame++) if (score(frame) > score(best)) best = frame;
    return best;
  }

  /** An interval in words. */
  describe(item) {
    const { fps } = this;
    const name = item.cls < 0 ? "unknown emotion" : this.classes[item.cls];
    const who = item.subject && this.people.length > 1 ? `${item.subject}: ` : "";
    const parts = [`${who}${name}, ${item.type}`, `${clock(item.s / fps)} – ${clock(item.e / fps)}`,
      `${((item.e - item.s) / fps).toFixed(2)} s`, `frames ${round1(item.s)}–${round1(item.e - 1)}`];
    if (item.apex !== null) parts.push(`apex ${round1(item.apex)}`);
    if (item.score !== null) parts.push(`score ${item.score.toFixed(3)}`);
    const verdict = this.verdictText(item);
    if (verdict) parts.push(verdict);
    if (item.reviewer) parts.push(`by ${item.reviewer}, ${item.at.slice(0, 16).replace("T", " ")} UTC`);
    return parts.join(" · ");
  }

  verdictText(item) {
    const lane = this.truth?.items.includes(item) ? "truth" : "prediction";
    if (item.status !== null && lane === "prediction") return "";
    const verdict = this.verdict(lane, item);
    if (verdict === null) return "";
    const other = lane === "truth" ? this.matching.predictionOf.get(item) : this.matching.eventOf.get(item);
    if (verdict === "hit") return `matched, overlap ${tiou(item, other).toFixed(2)}`;
    return lane === "truth" ? "missed" : "false alarm";
  }
}
