// The playhead: where it is, playing, repeating, and which pictures it needs.

const LATE_S = 0.5; // of pictures behind the sound, before both wait

class Player {
  constructor(view) {
    this.view = view;
    this.direction = 1;
  }

  seek(frame, { follow = true } = {}) {
    const { view } = this;
    const { state, scene, timeline } = view;
    const to = clamp(Math.floor(frame), 0, scene.n - 1);
    const before = state.frame;
    if (to !== before) this.direction = to > before ? 1 : -1;
    state.frame = to;
    if (follow && (to < timeline.view.from || to >= timeline.view.to)) {
      const span = timeline.view.to - timeline.view.from;
      const share = state.playing ? 0.1 : 0.5;
      timeline.setView(to - span * share, to + span * (1 - share));
      view.mark("base");
    }
    this.requestFrames();
    if (!state.playing && to !== before) view.sound.snippet(to);
    view.mark("over");
    clearTimeout(this.reportTimer);
    this.reportTimer = setTimeout(() => view.link.set({ frame: state.frame }), 200);
  }

  step(by) {
    this.pause();
    this.seek(this.view.state.frame + by);
  }

  // ---- pictures

  requestFrames() {
    const { state, scene, frames } = this.view;
    if (!scene.data.picture.available || !frames.key) return;
    frames.request(state.frame, this.direction, this.stride());
  }

  /** Once the window rests; not while playing, which needs the decoder. */
  requestFilm() {
    const { state, scene, timeline } = this.view;
    if (!scene.data.picture.available) return;
    clearTimeout(this.filmTimer);
    this.filmTimer = setTimeout(() => state.playing || timeline.film.request(timeline.view, timeline.scale), 250);
  }

  async pictureArrived(content, buffer) {
    const { frames, timeline, state } = this.view;
    if (!content.key.startsWith("film")) return frames.receive(content, buffer, state.frame);
    if (await timeline.film.receive(content, buffer)) this.view.mark("film");
  }

  /** Which picture is shown: the whole one, the face, or the face with its points. */
  shown() {
    const { state } = this.view;
    return state.points ? "points" : state.face ? "face" : "whole";
  }

  /** The next of them. */
  toggleFace() {
    const { view } = this;
    const { state } = view;
    const { face, points } = view.scene.data.picture;
    if (!face) return;
    const withPoints = state.face && !state.points && Boolean(points);
    state.face = !state.face || withPoints;
    state.points = withPoints;
    view.transport.update();
    view.timeline.film.configure(state.face);
    view.mark("base");
    view.resized();
  }

  // ---- playing

  /** Frames from one picture to the next: fast playing leaves some out. */
  stride() {
    const { state } = this.view;
    return state.playing ? Math.max(1, Math.round(state.speed)) : 1;
  }

  toggle() {
    const { view } = this;
    const { state } = view;
    if (state.playing) return this.pause();
    state.playing = true;
    this.direction = 1;
    if (state.frame >= view.scene.n - 1) this.seek(0);
    view.transport.update();
    this.begin(performance.now());
    this.playedTo = state.frame;
    requestAnimationFrame((now) => this.tick(now));
  }

  pause() {
    if (!this.view.state.playing) return;
    this.view.state.playing = false;
    this.view.sound.stop();
    this.view.transport.update();
    this.requestFrames();
  }

  /** Plays from the current frame, with the sound from there. */
  begin(now) {
    const { state, sound } = this.view;
    this.start = { frame: state.frame, at: now };
    sound.play(state.frame, state.speed);
  }

  /** Plays in real time or, where frames come slower, as fast as they come: none is skipped at 1x. */
  tick(now) {
    const { state, scene, frames, sound } = this.view;
    if (!state.playing) return;
    if (state.frame !== this.playedTo || this.speed !== state.speed) this.begin(now); // jumped, or another speed
    this.speed = state.speed;
    if (sound.audible(state.speed)) return this.follow(now);
    const due = this.start.frame + ((now - this.start.at) / 1000) * scene.fps * state.speed;
    const next = state.frame + this.stride();
    const waits = scene.data.picture.available && !frames.has(Math.min(next, scene.n - 1));
    if (due >= next && !waits) this.advance(scene.data.picture.available ? next : Math.floor(due), now);
    if (due - state.frame > 2 * this.stride()) this.start = { frame: state.frame, at: now };
    this.playedTo = state.frame;
    if (waits) this.requestFrames();
    requestAnimationFrame((t) => this.tick(t));
  }

  /** With sound: the picture is that of what is heard. Both wait where one of them is late. */
  follow(now) {
    const { state, scene, frames, sound } = this.view;
    const due = sound.frame();
    const ready = (frame) => !scene.data.picture.available || frames.has(Math.min(frame, scene.n - 1));
    if (due === null) {
      if (ready(state.frame)) sound.play(state.frame, state.speed); // was waiting
    } else if (due > state.frame && ready(due)) this.advance(due, now);
    else if (due - state.frame > scene.fps * LATE_S) sound.stop();
    this.playedTo = state.frame;
    this.requestFrames();
    requestAnimationFrame((t) => this.tick(t));
  }

  advance(target, now) {
    const { state, scene, selection } = this.view;
    const loop = state.loop ? selection.item() : null;
    if (loop && target >= loop.e + scene.fps * 0.3) {
      this.seek(loop.s - scene.fps * 0.3);
      this.begin(now);
    } else if (target >= scene.n - 1) {
      this.seek(scene.n - 1);
      this.pause();
    } else this.seek(target);
  }

  toggleLoop() {
    this.view.state.loop = !this.view.state.loop;
    this.view.transport.update();
  }

  destroy() {
    clearTimeout(this.filmTimer);
    clearTimeout(this.reportTimer);
    this.view.state.playing = false;
    this.view.sound.stop();
  }
}
