// Sound: chunks from Python, played with the picture; the lanes of waveform and speech.

const AHEAD_S = 0.4; // of sound that is scheduled
const PIECE_S = 0.5; // scheduled at once
const SNIPPET_S = 0.12; // heard at each step of scrubbing
const CHUNKS = 120; // in memory, of 160 kB
const AUDIBLE = [0.25, 2]; // speeds; slower and faster ones are silent

class Sound {
  constructor(view) {
    this.view = view;
    this.info = view.scene.data.sound ?? null;
    this.available = this.info !== null;
    this.muted = !this.available;
    this.chunks = new Map(); // number -> Float32Array, the oldest first
    this.requested = new Set();
    this.speech = [];
    this.waves = null;
    this.nodes = new Set();
    if (this.available) view.link.send({ kind: "sound" });
  }

  audible(speed) {
    return !this.muted && speed >= AUDIBLE[0] && speed <= AUDIBLE[1];
  }

  toggle() {
    if (!this.available) return;
    this.muted = !this.muted;
    const { state, player, transport } = this.view;
    this.stop();
    if (state.playing) player.begin(performance.now());
    transport.update();
  }

  // ---- from Python

  receiveTrack(content, buffer) {
    const bytes = buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength);
    const peaks = new Uint16Array(bytes);
    this.top = peaks.reduce((top, peak) => Math.max(top, peak), 1);
    this.waves = pyramid(peaks);
    this.perFrame = content.per_s / this.view.scene.fps;
    this.speech = content.speech;
    if (content.notice) this.view.banner(content.notice, [["Close", () => this.view.banner("")]]);
    this.view.mark("base");
  }

  receive({ chunk }, buffer) {
    const whole = new Int16Array(buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength));
    this.requested.delete(chunk);
    this.chunks.set(chunk, Float32Array.from(whole, (value) => value / 32768));
    if (this.chunks.size > CHUNKS) this.chunks.delete(this.chunks.keys().next().value);
  }

  /** Samples of [from, to) seconds, null if they are not here yet; then they are requested, and what follows. */
  samples(from, to) {
    const { rate, chunk_s: length } = this.info;
    const [first, last] = [Math.floor(from / length), Math.floor((to - 1e-6) / length)];
    const lacking = [];
    for (let k = first; k <= last + 1; k++) if (!this.chunks.has(k) && !this.requested.has(k)) lacking.push(k);
    lacking.forEach((k) => this.requested.add(k));
    if (lacking.length) this.view.link.send({ kind: "sound", chunks: lacking });
    const out = new Float32Array(Math.round((to - from) * rate));
    for (let k = first; k <= last; k++) {
      if (!this.chunks.has(k)) return null;
      const at = Math.round((k * length - from) * rate);
      const part = this.chunks.get(k).subarray(Math.max(0, -at), Math.max(0, out.length - at));
      out.set(part, Math.max(0, at));
    }
    return out;
  }

  // ---- playing

  context() {
    this.audio ??= new AudioContext();
    if (this.audio.state === "suspended") this.audio.resume();
    return this.audio;
  }

  play(frame, speed) {
    this.stop();
    if (!this.audible(speed)) return;
    const from = frame / this.view.scene.fps;
    if (!this.samples(from, from + PIECE_S)) return; // `frame` stays null until they are here
    this.run = { from, speed, next: from, at: this.context().currentTime + 0.03 };
    this.fill();
  }

  /** The frame that is heard now, null while nothing is. */
  frame() {
    if (!this.run) return null;
    this.fill();
    if (!this.run) return null;
    const { from, at, speed } = this.run;
    const seconds = from + Math.max(0, this.audio.currentTime - at) * speed;
    return Math.min(Math.floor(seconds * this.view.scene.fps + 1e-6), this.view.scene.n - 1);
  }

  /** Schedules what comes next; stops where it is not here yet. */
  fill() {
    const { run } = this;
    const when = () => run.at + (run.next - run.from) / run.speed;
    while (when() < this.audio.currentTime + AHEAD_S) {
      const samples = this.samples(run.next, run.next + PIECE_S);
      if (!samples && when() < this.audio.currentTime + 0.05) return this.stop();
      if (!samples) return;
      this.schedule(run.speed === 1 ? samples : stretch(samples, run.speed), when());
      run.next += PIECE_S;
    }
  }

  schedule(samples, at) {
    const buffer = this.audio.createBuffer(1, samples.length, this.info.rate);
    buffer.copyToChannel(samples, 0);
    const node = this.audio.createBufferSource();
    node.buffer = buffer;
    node.connect(this.audio.destination);
    node.onended = () => this.nodes.delete(node);
    node.start(at);
    this.nodes.add(node);
  }

  stop() {
    this.run = null;
    for (const node of this.nodes) node.stop();
    this.nodes.clear();
  }

  /** A moment of sound where the playhead was moved to. */
  snippet(frame) {
    if (this.muted) return;
    const from = frame / this.view.scene.fps;
    const samples = this.samples(from, from + SNIPPET_S);
    if (!samples || !navigator.userActivation?.hasBeenActive) return;
    this.stop();
    this.context();
    this.schedule(samples, this.audio.currentTime);
  }

  // ---- the lanes

  drawWave(c, lane, timeline) {
    if (!this.waves) return;
    const { view, theme } = timeline;
    const level = clamp(Math.floor(Math.log2(this.perFrame / timeline.scale)), 0, this.waves.length - 1);
    const { max } = this.waves[level];
    const frames = 2 ** level / this.perFrame; // of one peak
    const first = Math.max(0, Math.floor(view.from / frames));
    const last = Math.min(max.length, Math.ceil(view.to / frames) + 1);
    c.save();
    timeline.clipPlot(c);
    c.fillStyle = theme.muted;
    for (let i = first; i < last; i++) {
      const tall = Math.max(1, (lane.h * max[i]) / this.top);
      c.fillRect(timeline.x(i * frames), lane.y + (lane.h - tall) / 2, Math.max(1, frames * timeline.scale), tall);
    }
    c.restore();
  }

  drawSpeech(c, lane, timeline) {
    c.save();
    timeline.clipPlot(c);
    c.fillStyle = timeline.theme.ink;
    for (const [from, to] of this.speech) {
      const [a, b] = [timeline.x(from), timeline.x(to)];
      if (b >= timeline.gutter && a <= timeline.width) c.fillRect(a, lane.y + 1, Math.max(1, b - a), lane.h - 2);
    }
    c.restore();
  }
}

/** Slower or faster at the same pitch: overlapping grains, each where it continues the one before best (WSOLA). */
function stretch(samples, speed) {
  const [grain, hop, search] = [640, 320, 160]; // 40 ms, 20 ms, 10 ms at 16 kHz
  const out = new Float32Array(Math.round(samples.length / speed));
  let natural = 0; // where the last grain would go on
  for (let to = 0; to < out.length; to += hop) {
    const wanted = Math.round(to * speed);
    let [best, most] = [wanted, -Infinity];
    for (let at = Math.max(0, wanted - search); to && at <= wanted + search; at += 4) {
      let sum = 0;
      for (let i = 0; i < hop; i += 2) sum += (samples[at + i] ?? 0) * (samples[natural + i] ?? 0);
      if (sum > most) [best, most] = [at, sum];
    }
    for (let i = 0; i < grain && to + i < out.length; i++) {
      const fade = to === 0 && i < hop ? 1 : 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / grain);
      out[to + i] += (samples[best + i] ?? 0) * fade;
    }
    natural = best + hop;
  }
  return out;
}
