// Mounting: in a saved page, or as the view of an anywidget.

/** In a saved page: everything is in `data`; nothing is edited, nothing is sent. */
function mount(root, data) {
  let scores = null;
  if (data.scores) {
    const bytes = Uint8Array.from(atob(data.scores.base64), (c) => c.charCodeAt(0));
    scores = new Uint16Array(bytes.buffer);
  }
  const sound = data.soundtrack ? embeddedSound(data) : null;
  const send = (message) => sound && message.kind === "sound" && setTimeout(() => sound(view, message));
  const view = new Explorer(root, data, scores, { get: () => null, set() {}, send });
  if (data.queue) view.side.showQueue(data.queue);
  root.explorer = view; // for a console, and for tests
  return view;
}

/** Answers for the sound of a saved page, in the place of Python. */
function embeddedSound({ sound, soundtrack }) {
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  let samples = null;
  return (view, { chunks }) => {
    if (!chunks) return view.sound.receiveTrack(soundtrack, bytes(soundtrack.peaks));
    samples ??= Int16Array.from(bytes(soundtrack.samples), (value) => {
      const curve = value / 127.5 - 1;
      return 32767 * Math.sign(curve) * Math.expm1(Math.abs(curve) * Math.log(256)) / 255;
    });
    const size = sound.rate * sound.chunk_s;
    for (const chunk of chunks) view.sound.receive({ chunk }, samples.subarray(chunk * size, (chunk + 1) * size));
  };
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
  const traitChanged = () => view?.settingsChanged(Object.fromEntries(TRAITS.map((t) => [t, model.get(t)])));
  const frameChanged = () => view && model.get("frame") !== view.state.frame && view.player.seek(model.get("frame"));
  const handlers = {
    state(content, buffers) {
      const lost = view === null;
      view?.destroy();
      const bytes = buffers[0];
      const scores = content.data.scores
        ? new Uint16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)) : null;
      view = root.explorer = new Explorer(root, content.data, scores, link);
      if (lost) view.editor.offerLost(content.applied);
      view.editor.requestQueue();
      frameChanged();
    },
    ack: (content) => view?.editor.acknowledged(content),
    refused: (content) => view?.editor.refused(content),
    queue: (content) => view?.editor.queueArrived(content),
    frame: (content, buffers) => view?.player.pictureArrived(content, buffers[0]),
    sound: (content, buffers) => view?.sound.receive(content, buffers[0]),
    soundtrack: (content, buffers) => view?.sound.receiveTrack(content, buffers[0]),
    exported: (content, buffers) => view?.transport.exported(content, buffers[0]),
  };
  const onMessage = (content, buffers) => {
    // All views receive all answers; a view must not be rebuilt by another one's greeting.
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
