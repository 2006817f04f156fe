// The whole video in one strip below the lanes, with the window that the lanes show.

const MINIMAP = 28; // its height, pixels

class Minimap {
  constructor(timeline) {
    this.timeline = timeline;
    this.canvas = h("canvas", { className: "fx-mini" });
    this.cache = null;
  }

  x(frame) {
    const { gutter, plotWidth, scene } = this.timeline;
    return gutter + (frame / scene.n) * plotWidth;
  }

  frameAt(x) {
    const { gutter, plotWidth, scene } = this.timeline;
    return ((x - gutter) / plotWidth) * scene.n;
  }

  draw(state) {
    const { timeline } = this;
    const { theme, scene, view, gutter, width } = timeline;
    const c = timeline.context(this.canvas);
    if (!this.cache) this.cache = this.paint();
    c.drawImage(this.cache, 0, 0, width, MINIMAP);
    const [a, b] = [this.x(view.from), this.x(view.to)];
    c.globalAlpha = 0.55;
    c.fillStyle = theme.surface;
    c.fillRect(gutter, 2, a - gutter, MINIMAP - 4);
    c.fillRect(b, 2, width - b, MINIMAP - 4);
    c.globalAlpha = 1;
    outline(c, theme.accent, a, 1, Math.max(4, b - a), MINIMAP - 2, 1.5);
    c.fillStyle = theme.accent;
    c.fillRect(this.x(state.frame) - 0.75, 0, 1.5, MINIMAP);
    if (gutter) {
      c.fillStyle = theme.muted;
      c.fillText(clock(scene.n / scene.fps, 0), 6, MINIMAP / 2);
    }
  }

  /** The whole video once; it stays until intervals or settings change. */
  paint() {
    const { timeline } = this;
    const { scene, theme } = timeline;
    const ratio = window.devicePixelRatio || 1;
    const cache = h("canvas", { width: this.canvas.width, height: this.canvas.height });
    const c = cache.getContext("2d");
    c.scale(ratio, ratio);
    c.fillStyle = theme.raised;
    c.fillRect(timeline.gutter, 2, timeline.plotWidth, MINIMAP - 4);
    const rows = [["truth", 4, 5], ["prediction", 11, 5], ["review", 18, 5]];
    for (const [key, y, tall] of rows)
      if (key === "review" ? !scene.data.review.hidden : timeline.trackOf(key)) this.paintRow(c, key, y, tall);
    c.fillStyle = theme.ink;
    c.globalAlpha = 0.35;
    for (const gap of scene.missing)
      c.fillRect(this.x(gap.s), MINIMAP - 4, Math.max(1, this.x(gap.e) - this.x(gap.s)), 2);
    return cache;
  }

  paintRow(c, key, y, tall) {
    const { scene } = this.timeline;
    let painted = -1;
    for (const item of this.timeline.trackOf(key).items) {
      if (!scene.shows(key, item) || (key === "review" && item.status === "open")) continue;
      const a = Math.round(this.x(item.s));
      const b = Math.max(Math.round(this.x(item.e)), a + 1);
      if (b <= painted) continue;
      painted = b;
      c.fillStyle = scene.colour(item.cls);
      const low = item.status === "rejected" ? 3 : 0;
      c.fillRect(a, y + low, b - a, tall - low);
    }
  }
}
