// The lanes of intervals: truth is hatched, a prediction filled, a reviewed interval outlined.

const NARROW = 4; // pixels below which an interval is a plain bar
const STATUS_MARKS = { accepted: "✓", corrected: "✎", added: "+", rejected: "×" };

/** Paints one lane of intervals. */
class TrackPainter {
  constructor(timeline) {
    this.timeline = timeline;
  }

  /** The intervals in view; very narrow ones are painted once per pixel. */
  draw(c, lane, state) {
    const { timeline } = this;
    const { scene, view } = timeline;
    const { items } = timeline.trackOf(lane.key);
    const [first, last] = timeline.trackOf(lane.key).range(view.from, view.to);
    const painted = new Map();
    c.save();
    timeline.clipPlot(c);
    if (lane.key === "review") this.drawSeen(c, lane);
    let chosen = null;
    for (let i = first; i < last; i++) {
      const item = items[i];
      if (item.e <= view.from) continue;
      if (state.selected?.id === item.id && state.selected.lane === lane.key) chosen = item;
      else if (scene.shows(lane.key, item)) this.paint(c, lane, item, painted);
      else if (lane.key === "prediction" && scene.passes(item)) this.paintGhost(c, lane, item, painted);
    }
    if (chosen) {
      const moved = state.preview?.id === chosen.id ? { ...chosen, ...state.preview } : chosen;
      this.paintItem(c, lane, moved, timeline.x(moved.s), timeline.x(moved.e), true);
    }
    c.restore();
  }

  paint(c, lane, item, painted) {
    const [a, b] = [this.timeline.x(item.s), this.timeline.x(item.e)];
    if (b - a >= NARROW) return this.paintItem(c, lane, item, a, b, false);
    const span = pixels(a, b, painted, item.row);
    if (span) this.paintNarrow(c, lane, item, ...span);
  }

  /** Too narrow for a pattern: filled; what is not decided in the review is low. */
  paintNarrow(c, lane, item, a, b) {
    const { y, h: tall } = this.timeline.box(lane, item);
    const low = lane.key === "review" && (item.status === "open" || item.status === "rejected");
    c.fillStyle = this.timeline.scene.colour(item.cls);
    c.fillRect(a, low ? y + tall / 2 - 3 : y, b - a, low ? 6 : tall);
  }

  /** What the threshold hides is still hinted at, as a thin line at the lane's foot. */
  paintGhost(c, lane, item, painted) {
    const span = pixels(this.timeline.x(item.s), this.timeline.x(item.e), painted, -1);
    if (!span) return;
    c.fillStyle = this.timeline.scene.colour(item.cls);
    c.fillRect(span[0], lane.y + lane.h - 2, span[1] - span[0], 2);
  }

  paintItem(c, lane, item, a, b, selected) {
    const { timeline } = this;
    const { theme, scene } = timeline;
    const kind = lane.key.startsWith("seed") ? "seed" : lane.key;
    const colour = scene.colour(item.cls);
    const { y, h: tall } = timeline.box(lane, item);
    const wide = b - a;
    if (kind === "truth") this.paintTruth(c, colour, a, y, wide, tall);
    else if (kind === "review") this.paintReview(c, item, colour, a, y, wide, tall);
    else this.paintPrediction(c, colour, a, y, wide, tall);
    if (kind !== "seed") this.paintText(c, kind, item, a, y, wide, tall, colour);
    if (kind === "truth") this.paintVerdict(c, lane, item, a, y, wide, tall, theme.ink, theme.surface);
    if (kind === "prediction") this.paintVerdict(c, lane, item, a, y, wide, tall, inkOn(colour), colour);
    if (selected) {
      outline(c, theme.accent, a - 2, y - 1, wide + 4, tall + 2, 2);
      if (kind === "review" && !scene.data.readonly) this.paintHandles(c, a, b, y, tall);
    }
    if (item.apex !== null && timeline.scale > 0.4 && kind !== "seed")
      this.paintApex(c, kind, timeline.x(item.apex + 0.5), y, tall);
  }

  paintTruth(c, colour, a, y, wide, tall) {
    c.fillStyle = this.timeline.hatch(colour, 0.75, 5);
    c.fillRect(a, y, wide, tall);
    outline(c, colour, a, y, wide, tall, 1.5);
  }

  paintPrediction(c, colour, a, y, wide, tall) {
    c.fillStyle = colour;
    c.fillRect(a, y, wide, tall);
    if (wide <= 6) return;
    c.strokeStyle = this.timeline.theme.surface;
    c.strokeRect(a + 0.5, y + 0.5, wide - 1, tall - 1);
  }

  paintReview(c, item, colour, a, y, wide, tall) {
    const { theme } = this.timeline;
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
    outline(c, colour, a, y, wide, tall, 2);
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

  /** Status, emotion and score, as much of them as has room. */
  paintText(c, kind, item, a, y, wide, tall, colour) {
    if (wide < 13) return;
    const { scene, theme, gutter, width } = this.timeline;
    const left = Math.max(a, gutter) + 5;
    const dot = kind !== "review" && scene.truth ? 10 : 0;
    const room = Math.min(a + wide, width) - left - 4 - dot;
    const mark = STATUS_MARKS[item.status] ?? "";
    const name = item.cls < 0 ? "?" : scene.classes[item.cls];
    if (tall < 11) return; // three on top of each other
    const who = scene.people.length > 1 ? item.subject : "";
    const full = [mark, who, name, kind === "prediction" ? score2(item.score) : ""].filter(Boolean).join(" ");
    const short = (mark ? mark + " " : "") + name.slice(0, 1).toUpperCase();
    const text = c.measureText(full).width <= room ? full : c.measureText(short).width <= room ? short : mark;
    if (!text || room < 6) return;
    const middle = y + tall / 2 + 0.5;
    if (kind === "truth") { // letters on hatching need a plain ground
      c.fillStyle = theme.surface;
      c.fillRect(left - 2, middle - 6, c.measureText(text).width + 4, 12);
    }
    c.fillStyle = kind === "prediction" ? inkOn(colour) : theme.ink;
    c.textAlign = "left";
    c.fillText(text, left, middle);
  }

  /** A full dot: matched; a ring: not matched. At the right end; one pen, so that no theme turns them round. */
  paintVerdict(c, lane, item, a, y, wide, tall, pen, ground) {
    const { scene, width } = this.timeline;
    const verdict = scene.verdict(lane.key, item);
    if (!verdict || wide < 9) return;
    const [x, middle] = [Math.min(a + wide, width) - 6, y + tall / 2];
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
    const { theme } = this.timeline;
    c.beginPath();
    c.moveTo(x, y + tall - 7);
    c.lineTo(x + 4, y + tall - 3);
    c.lineTo(x, y + tall + 1);
    c.lineTo(x - 4, y + tall - 3);
    c.closePath();
    c.fillStyle = kind === "review" ? theme.accent : theme.ink;
    c.fill();
    c.strokeStyle = theme.surface;
    c.lineWidth = 1;
    c.stroke();
  }

  paintHandles(c, a, b, y, tall) {
    c.fillStyle = this.timeline.theme.accent;
    for (const x of [a - 2, b - 2]) c.fillRect(x, y - 1, 4, tall + 2);
  }

  /** Stretches that were watched and hold nothing. */
  drawSeen(c, lane) {
    const { timeline } = this;
    c.fillStyle = timeline.theme.muted;
    for (const span of timeline.scene.seen) {
      const [a, b] = [timeline.x(span.s), timeline.x(span.e)];
      if (b > timeline.gutter && a < timeline.width)
        c.fillRect(a, lane.y + lane.h - 3, Math.max(1, b - a), 1.5);
    }
  }
}

/** Whole pixels, each of them once in each row: thousands of intervals cost no more than these. */
function pixels(a, b, painted, row) {
  const [left, right] = [Math.round(a), Math.max(Math.round(b), Math.round(a) + 1)];
  if (right <= (painted.get(row) ?? -1)) return null;
  painted.set(row, right);
  return [left, right];
}
