// Around the lanes: ground, ruler, names, spans without a face, playhead.

/** Colours and fonts of the page (a theme of JupyterLab, or the explorer's). */
function readTheme(root) {
  const probe = root.appendChild(h("span", { hidden: true })); // resolves every notation of CSS
  const get = (name) => {
    probe.style.color = `var(--fx-${name})`;
    return getComputedStyle(probe).color;
  };
  const names = ["surface", "raised", "line", "ink", "muted", "accent", "grid"];
  const theme = Object.fromEntries(names.map((name) => [name, get(name)]));
  probe.remove();
  return { ...theme, font: getComputedStyle(root).fontFamily };
}

function line(c, x1, y1, x2, y2) {
  c.moveTo(x1, y1);
  c.lineTo(x2, y2);
}

function outline(c, colour, x, y, w, tall, width) {
  c.strokeStyle = colour;
  c.lineWidth = width;
  c.strokeRect(x + width / 2, y + width / 2, Math.max(0.5, w - width), Math.max(0.5, tall - width));
  c.lineWidth = 1;
}

function shorten(c, text, room) {
  if (c.measureText(text).width <= room) return text;
  let n = text.length;
  while (n > 1 && c.measureText(text.slice(0, n) + "…").width > room) n--;
  return text.slice(0, n) + "…";
}

/** Paints all of the time axis but the lanes of intervals, curves and pictures. */
class AxisPainter {
  constructor(timeline) {
    this.timeline = timeline;
  }

  drawGround(c) {
    const { timeline } = this;
    const { theme } = timeline;
    for (const lane of timeline.lanes) {
      c.fillStyle = theme.raised;
      c.fillRect(timeline.gutter, lane.y, timeline.plotWidth, lane.h);
    }
    c.save();
    timeline.clipPlot(c);
    c.fillStyle = timeline.hatch(theme.muted, 0.16, 7);
    for (const [a, b] of this.missing()) c.fillRect(a, RULER, b - a, timeline.height - GAP - RULER);
    c.restore();
  }

  drawRuler(c) {
    const { timeline } = this;
    const { theme, scene, view } = timeline;
    const step = tickStep(84 / timeline.scale, scene.fps);
    const small = step / (step <= 10 ? step : 5);
    c.save();
    timeline.clipPlot(c);
    c.strokeStyle = theme.line;
    c.lineWidth = 1;
    c.beginPath();
    if (small * timeline.scale > 5)
      for (let f = Math.ceil(view.from / small) * small; f <= view.to; f += small)
        line(c, timeline.x(f), RULER - 4, timeline.x(f), RULER);
    for (let f = Math.ceil(view.from / step) * step; f <= view.to; f += step)
      line(c, timeline.x(f), RULER - 9, timeline.x(f), RULER);
    line(c, timeline.gutter, RULER + 0.5, timeline.width, RULER + 0.5);
    c.stroke();
    c.fillStyle = theme.muted;
    c.textAlign = "left";
    const digits = step >= scene.fps ? 0 : 2;
    for (let f = Math.ceil(view.from / step) * step; f <= view.to; f += step) {
      const text = step < scene.fps ? `${clock(f / scene.fps, digits)} · ${f}` : clock(f / scene.fps, 0);
      c.fillText(text, timeline.x(f) + 4, RULER - 14);
    }
    c.restore();
  }

  drawLabels(c, state) {
    const { timeline } = this;
    const { theme } = timeline;
    c.textAlign = "left";
    for (const lane of timeline.lanes) {
      const active = state.lane === lane.key;
      c.font = `${active ? 600 : 400} 11px ${theme.font}`;
      c.fillStyle = active ? theme.ink : theme.muted;
      const y = timeline.gutter ? lane.y + Math.min(lane.h, 22) / 2 : lane.caption + 7;
      c.fillText(shorten(c, lane.label, timeline.gutter ? timeline.gutter - 12 : 200), 6, y);
      if (active) c.fillRect(0, timeline.gutter ? lane.y : lane.caption + 1, 3, timeline.gutter ? lane.h : 12);
    }
    c.font = `11px ${theme.font}`;
  }

  /** The spans without a face that are in view, pixels. */
  missing() {
    const { timeline } = this;
    const spans = timeline.scene.missing.map((gap) => [timeline.x(gap.s), timeline.x(gap.e)]);
    return spans.filter(([a, b]) => b >= timeline.gutter && a <= timeline.width)
      .map(([a, b]) => [a, Math.max(b, a + 1)]);
  }

  drawMissing(c, lane) {
    const { timeline } = this;
    c.save();
    timeline.clipPlot(c);
    c.fillStyle = timeline.hatch(timeline.theme.ink, 0.7, 4);
    for (const [a, b] of this.missing()) c.fillRect(a, lane.y + 1, b - a, lane.h - 2);
    c.restore();
  }

  /** The moving part: pointer, a new interval being drawn, playhead. */
  drawOver(state) {
    const { timeline } = this;
    const { theme } = timeline;
    const c = timeline.context(timeline.over);
    c.save();
    c.beginPath();
    c.rect(timeline.gutter - 6, 0, timeline.plotWidth + 12, timeline.height);
    c.clip();
    if (state.hover !== null) {
      c.strokeStyle = theme.muted;
      c.beginPath();
      line(c, state.hover, RULER, state.hover, timeline.height - GAP);
      c.stroke();
    }
    if (state.drawn) {
      const lane = timeline.lane("review");
      const [a, b] = [timeline.x(state.drawn.s), timeline.x(state.drawn.e)];
      c.setLineDash([4, 3]);
      outline(c, theme.accent, a, lane.y + 1, b - a, lane.h - 2, 2);
      c.setLineDash([]);
    }
    this.drawPlayhead(c, timeline.x(state.frame));
    c.restore();
  }

  drawPlayhead(c, x) {
    const { timeline } = this;
    c.strokeStyle = c.fillStyle = timeline.theme.accent;
    if (timeline.scale > 3) {
      c.globalAlpha = 0.16;
      c.fillRect(x, RULER, timeline.scale, timeline.height - RULER - 6);
      c.globalAlpha = 1;
    }
    if (x < timeline.gutter - 6 || x > timeline.width + 6) return;
    c.lineWidth = 1.5;
    c.beginPath();
    line(c, x, RULER - 8, x, timeline.height - GAP);
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
}
