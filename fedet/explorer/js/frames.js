// The picture: frames around the playhead, and the film of small pictures along the time axis.

const WIDTHS = [160, 240, 320, 480, 640, 960];
const AHEAD = 24; // frames asked for beyond the playhead
const BEHIND = 4;
const FILM = 32; // height of the film, pixels
const FILM_WIDTH = 160; // of its pictures
const FILM_CACHE = 400;
const CACHE_PIXELS = 24e6; // of decoded frames, about 100 MB

/** Frames as bitmaps: requested around the playhead, cached while there is room. */
class Frames {
  constructor(send, onArrival, n) {
    Object.assign(this, { send, onArrival, n, client: newId() });
    this.cache = new Map(); // frame -> ImageBitmap, or null where the video has no picture
    this.requested = new Set();
    this.key = "";
    this.pixels = 0;
  }

  /** Another size or another crop: what is here becomes useless. */
  configure(width, view) {
    const key = `${WIDTHS.find((w) => w >= width) ?? WIDTHS[WIDTHS.length - 1]}:${view}`;
    if (key === this.key) return;
    this.key = key;
    for (const bitmap of this.cache.values()) bitmap?.close();
    this.cache.clear();
    this.requested.clear();
    this.pixels = 0;
  }

  /** Asks for the frame and its surroundings, unless enough of them are here or on the way. */
  request(frame, direction, stride) {
    const list = [];
    for (let i = 0; i <= AHEAD; i++) list.push(frame + direction * stride * i);
    for (let i = 1; i <= BEHIND; i++) list.push(frame - direction * i);
    const inside = list.filter((f) => f >= 0 && f < this.n);
    const lacking = inside.filter((f) => !this.cache.has(f));
    const urgent = inside.slice(0, AHEAD / 2).some((f) => !this.cache.has(f) && !this.requested.has(f));
    if (!lacking.length || !urgent) return;
    this.requested = new Set(lacking);
    const [width, view] = this.key.split(":");
    this.send({ kind: "frames", frames: lacking, width: Number(width), view, key: this.key, client: this.client });
  }

  async receive(content, buffer, playhead) {
    if (content.key !== this.key) return;
    let bitmap = null;
    if (buffer) bitmap = await createImageBitmap(new Blob([buffer], { type: "image/jpeg" }));
    if (content.key !== this.key) return bitmap?.close();
    this.requested.delete(content.frame);
    if (!this.cache.has(content.frame)) {
      this.cache.set(content.frame, bitmap);
      this.pixels += bitmap ? bitmap.width * bitmap.height : 0;
    }
    this.trim(playhead);
    this.onArrival(content.frame);
  }

  /** Drops the frames furthest from the playhead. */
  trim(playhead) {
    while (this.pixels > CACHE_PIXELS && this.cache.size > AHEAD + BEHIND + 2) {
      let furthest = playhead;
      for (const f of this.cache.keys())
        if (Math.abs(f - playhead) > Math.abs(furthest - playhead)) furthest = f;
      const bitmap = this.cache.get(furthest);
      this.cache.delete(furthest);
      this.pixels -= bitmap ? bitmap.width * bitmap.height : 0;
      bitmap?.close();
    }
  }

  has(frame) {
    return this.cache.has(frame);
  }
}

/** Small pictures along the time axis. */
class Film {
  constructor(scene, send, thumbs) {
    Object.assign(this, { scene, send, thumbs, client: "film " + newId() });
    this.cache = new Map(); // frame -> ImageBitmap, the oldest first
    this.view = "whole";
    const { picture } = scene.data;
    this.tile = Math.round(clamp(FILM * (picture.aspect ?? 16 / 9), FILM * 0.7, FILM * 2.4));
  }

  get key() {
    return `film ${this.view} ${FILM_WIDTH}`;
  }

  configure(face) {
    this.view = face ? "face" : "whole";
    for (const bitmap of this.cache.values()) bitmap.close();
    this.cache.clear();
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

  request(view, scale) {
    const lacking = this.frames(view, scale).filter((f) => !this.cache.has(f));
    if (lacking.length)
      this.send({ kind: "frames", frames: lacking, width: FILM_WIDTH, view: this.view, key: this.key, client: this.client });
  }

  async receive(content, buffer) {
    if (content.key !== this.key || !buffer || this.cache.has(content.frame)) return false;
    const bitmap = await createImageBitmap(new Blob([buffer], { type: "image/jpeg" }));
    this.cache.set(content.frame, bitmap);
    if (this.cache.size > FILM_CACHE) {
      const [oldest] = this.cache.keys();
      this.cache.get(oldest).close();
      this.cache.delete(oldest);
    }
    return true;
  }

  /** The picture for [frame, frame + step): a served one, or a stored one that lies in there. */
  picture(frame, step) {
    const bitmap = this.cache.get(frame);
    if (bitmap) return [bitmap, bitmap.width, bitmap.height];
    const stored = this.thumbs.find((t) => t.frame >= frame && t.frame < frame + step && t.image.naturalWidth);
    return stored ? [stored.image, stored.image.naturalWidth, stored.image.naturalHeight] : null;
  }

  draw(c, lane, timeline) {
    const step = this.step(timeline.scale);
    c.save();
    timeline.clipPlot(c);
    for (const frame of this.frames(timeline.view, timeline.scale)) {
      const picture = this.picture(frame, step);
      if (!picture) continue;
      const [image, width, height] = picture;
      // The picture covers its stretch; what does not fit is cut off on both sides alike.
      const wide = Math.min(step * timeline.scale - 1, this.tile * 1.5);
      const zoom = Math.max(wide / width, lane.h / height);
      const [w, tall] = [wide / zoom, lane.h / zoom];
      const left = timeline.x(frame);
      c.drawImage(image, (width - w) / 2, (height - tall) / 2, w, tall, left, lane.y, wide, lane.h);
    }
    c.restore();
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
    const bitmap = frames.cache.get(frame);
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
