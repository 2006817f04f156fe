// The score curves: one lane, a line per emotion, and the threshold's dashed line.

const MISSING = 65535; // scores are stored as 0...65534, this one means "no score"

/** Minimum and maximum of ever longer runs (2, 4, 8... values), for drawing at any zoom. */
function pyramid(values) {
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

/** Paints the lane of the score curves, and says which score is at which height. */
class CurvePainter {
  constructor(timeline) {
    this.timeline = timeline;
  }

  /** The height of a score. */
  level(lane, score) {
    return lane.y + lane.h - 2 - score * (lane.h - 4);
  }

  /** The score at a height, to the hundredth. */
  levelAt(y) {
    const lane = this.timeline.lane("curves");
    return Math.round(clamp((lane.y + lane.h - 2 - y) / (lane.h - 4), 0, 1) * 100) / 100;
  }

  /** Is the pointer on the threshold's line? */
  onLevel(x, y) {
    const { timeline } = this;
    const lane = timeline.lane("curves");
    const { threshold } = timeline.scene.settings;
    return Boolean(lane) && x > timeline.gutter && Math.abs(y - this.level(lane, threshold)) < 5;
  }

  /** The curves of the emotions that are shown, each with its emotion's number. */
  curves() {
    const { scene } = this.timeline;
    return scene.curves
      .map((curve) => ({ ...curve, cls: scene.classes.indexOf(curve.name) }))
      .filter(({ cls }) => cls < 0 || scene.shownClasses.has(cls));
  }

  draw(c, lane) {
    const { timeline } = this;
    const { scene, theme, gutter, width } = timeline;
    const y = (v) => this.level(lane, v);
    c.save();
    timeline.clipPlot(c);
    c.strokeStyle = theme.grid;
    c.beginPath();
    line(c, gutter, Math.round(y(0.5)) + 0.5, width, Math.round(y(0.5)) + 0.5);
    c.stroke();
    for (const { cls, levels } of this.curves()) {
      c.strokeStyle = c.fillStyle = scene.colour(cls);
      this.drawCurve(c, levels, y);
    }
    const level = Math.round(y(scene.settings.threshold)) + 0.5;
    c.setLineDash([5, 4]);
    c.strokeStyle = theme.ink;
    c.beginPath();
    line(c, gutter, level, width, level);
    c.stroke();
    c.setLineDash([]);
    this.nameCurves(c, y);
    c.restore();
    if (gutter) {
      c.fillStyle = theme.muted;
      c.textAlign = "right";
      c.fillText("1", gutter - 5, y(1) + 5);
      c.fillText("0", gutter - 5, y(0) - 5);
      c.textAlign = "left";
    }
  }

  /** The visible part of a curve: the level of its pyramid that has about one run per pixel. */
  visible(levels) {
    const { scale, view } = this.timeline;
    const level = clamp(Math.floor(Math.log2(1 / scale)), 0, levels.length - 1);
    const run = 2 ** level;
    const first = Math.max(0, Math.floor(view.from / run) - 1);
    const last = Math.min(levels[level].min.length - 1, Math.ceil(view.to / run) + 1);
    return { level, run, first, last };
  }

  /** Each curve's name at its highest visible point: for readers who cannot tell the colours apart. */
  nameCurves(c, y) {
    const { timeline } = this;
    const { theme, gutter, width } = timeline;
    const taken = [];
    for (const { name, levels } of this.curves()) {
      const { level, run, first, last } = this.visible(levels);
      const { max } = levels[level];
      let at = -1;
      for (let i = first; i <= last; i++)
        if (max[i] !== MISSING && (at < 0 || max[i] > max[at])) at = i;
      const score = at < 0 ? 0 : max[at] / (MISSING - 1);
      if (score < 0.15) continue; // at the foot of the lane the curves coincide
      const wide = c.measureText(name).width;
      const left = clamp(timeline.x((at + 0.5) * run) + 4, gutter + 2, width - wide - 2);
      const top = Math.max(y(score), y(1) + 6);
      if (taken.some((t) => left < t.right && t.left < left + wide && Math.abs(top - t.top) < 11)) continue;
      taken.push({ left, right: left + wide, top });
      c.lineWidth = 3;
      c.strokeStyle = theme.surface;
      c.strokeText(name, left, top);
      c.lineWidth = 1;
      c.fillStyle = theme.ink;
      c.fillText(name, left, top);
    }
  }

  /** One curve, with a band where a pixel stands for many frames. */
  drawCurve(c, levels, y) {
    const { level, run, first, last } = this.visible(levels);
    const { min, max } = levels[level];
    const x = (i) => this.timeline.x((i + 0.5) * run);
    if (level) this.fillBand(c, levels[level], first, last, x, y);
    c.lineWidth = 1.3;
    c.beginPath();
    let open = false;
    for (let i = first; i <= last; i++) {
      const top = y(max[i] / (MISSING - 1));
      if (max[i] !== MISSING && open) c.lineTo(x(i), top);
      else c.moveTo(x(i), top);
      open = max[i] !== MISSING;
    }
    c.stroke();
    c.lineWidth = 1;
  }

  /** From the lowest to the highest score of each run, as one shape. */
  fillBand(c, { min, max }, first, last, x, y) {
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
}
