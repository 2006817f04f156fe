// The explorer as an app: a WebSocket in the place of a notebook's kernel.

const RETRY_MS = 1000;
const parent = document.getElementById("explorer");
const lost = document.getElementById("lost");
let finished = false;
let clean = null; // of the view that is shown

/** What `render` wants of a widget's model, over a WebSocket. */
class Model {
  constructor(socket) {
    this.socket = socket;
    this.state = {};
    this.changed = {};
    this.listeners = new Map();
  }

  get(name) {
    return this.state[name];
  }

  set(name, value) {
    this.state[name] = this.changed[name] = value;
  }

  save_changes() {
    this.post({ method: "update", state: this.changed, buffer_paths: [] });
    this.changed = {};
  }

  send(content) {
    this.post({ method: "custom", content });
  }

  post(data) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(data));
  }

  on(event, listener) {
    if (!this.listeners.has(event)) this.listeners.set(event, new Set());
    this.listeners.get(event).add(listener);
  }

  off(event, listener) {
    this.listeners.get(event)?.delete(listener);
  }

  emit(event, ...values) {
    for (const listener of [...(this.listeners.get(event) ?? [])]) listener(...values);
  }

  receive(bytes) {
    const length = new DataView(bytes).getUint32(0, true);
    const { data, sizes } = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
    let at = 4 + length;
    const buffers = sizes.map((size) => new DataView(bytes, (at += size) - size, size));
    if (data.method === "custom") return this.emit("msg:custom", data.content, buffers);
    Object.assign(this.state, data.state);
    for (const name of Object.keys(data.state)) this.emit("change:" + name);
  }
}

function connect() {
  const socket = new WebSocket(`ws://${location.host}/link`);
  socket.binaryType = "arraybuffer";
  const model = new Model(socket);
  let shown = false;
  socket.onmessage = ({ data }) => {
    model.receive(data);
    if (shown) return; // the first message is the state
    shown = true;
    lost.hidden = true;
    clean?.();
    parent.replaceChildren();
    clean = widget.render({ model, el: parent });
  };
  socket.onclose = ({ reason }) => {
    finished ||= reason === "finished";
    lost.hidden = false;
    lost.textContent = finished
      ? "Finished. Your review is saved, and this tab can be closed."
      : "fedet does not answer. What you do now is kept in this browser and sent when fedet review runs again.";
    if (finished) parent.inert = true;
    else setTimeout(connect, RETRY_MS);
  };
}

document.getElementById("finish").onclick = (event) => {
  event.target.disabled = finished = true;
  const socket = new WebSocket(`ws://${location.host}/link`);
  socket.onopen = () => socket.send(JSON.stringify({ method: "finish" }));
};
connect();
