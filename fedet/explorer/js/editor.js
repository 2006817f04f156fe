// Edits: shown at once, sent to Python, counted when Python confirms them.

const SILENCE_MS = 4000; // without an answer for so long, the kernel is busy or gone
const DECIDED = ["accepted", "corrected", "added"];
const WITHOUT_ROW = ["undo", "redo", "add", "seen", "name_person", "leave_out"];

class Editor {
  constructor(view) {
    this.view = view;
    this.outbox = new Outbox(view.scene.data.review.key);
  }

  /** An edit of the selected row. */
  edit(op, values = {}) {
    const { view } = this;
    const { scene } = view;
    if (scene.data.readonly) return;
    const row = WITHOUT_ROW.includes(op) ? null : view.selection.row();
    if (!row && !WITHOUT_ROW.includes(op)) return view.remark("Select an interval of the review first");
    if (op === "relabel" && scene.classes[row.cls] === values.emotion) return;
    const command = { id: newId(), op, ...values, ...(row ? { row: row.id } : {}) };
    if (row) this.predict(op, row, values);
    this.send(command);
  }

  send(command) {
    this.outbox.put(command);
    this.view.link.send({ kind: "edit", command });
  }

  /** Shows the row as the edit will leave it, without waiting for Python. */
  predict(op, row, values) {
    if (op === "delete" || op === "split") return;
    const touched = row.status === "added" ? "added" : "corrected";
    const next = { ...row };
    if (op === "accept") next.status = DECIDED.includes(row.status) ? row.status : "accepted";
    if (op === "reject") next.status = "rejected";
    if (op === "reopen") next.status = "open";
    if (op === "give") next.subject = values.person;
    if (op === "note") next.note = values.text;
    if (op === "relabel") Object.assign(next, { cls: this.view.scene.classes.indexOf(values.emotion), status: touched });
    if (op === "move") {
      const { onset = row.s, offset = row.e - 1, apex = row.apex } = values;
      if (onset > offset) return; // Python says no, in words
      const inside = apex === null ? null : clamp(apex, onset, offset);
      Object.assign(next, { s: onset, e: offset + 1, apex: inside, status: touched });
    }
    this.putRows({ [row.id]: next });
  }

  putRows(changes) {
    const { scene, state } = this.view;
    for (const [id, row] of Object.entries(changes)) {
      if (row) scene.rows.set(id, row);
      else scene.rows.delete(id);
    }
    scene.rebuild();
    if (state.selected?.lane === "review" && !scene.rows.has(state.selected.id)) state.selected = null;
    this.view.refresh();
  }

  command(op) {
    const { state, scene } = this.view;
    const { frame } = state;
    if (op === "split") return this.edit("split", { frame });
    if (op !== "new") return this.edit(op);
    const offset = Math.min(scene.n - 1, frame + Math.round(scene.fps * 0.5));
    const person = scene.personAt(frame, this.view.selection.item());
    this.edit("add", { onset: frame, offset, emotion: scene.likely(frame), person });
  }

  /** Accept or reject and go on; in an empty stretch: it was looked at. */
  decide(op) {
    const { side, state, selection } = this.view;
    const item = side.items?.[state.queueAt];
    if (!state.selected && item?.kind === "stretch") this.edit("seen", { onset: item.s, offset: item.e - 1 });
    else if (selection.row()) this.edit(op);
    selection.nextOpen();
  }

  // ---- Python's answers

  /** To edits of this view, of another one, or made in Python. */
  acknowledged(content) {
    const { view } = this;
    const { scene } = view;
    this.outbox.done(content.ids);
    const before = view.selection.item() ?? this.deleted;
    const items = itemsOf(content.rows, scene.classes, scene.fps, scene.data.micro_s);
    const changes = Object.fromEntries(items.map((item) => [item.id, item]));
    for (const id of content.gone) changes[id] = null;
    Object.assign(scene.data.review, { undo: content.undo, redo: content.redo });
    this.putRows(changes);
    const created = scene.rows.get(content.select);
    if (created && created.status !== "seen") view.selection.select("review", created, { seek: false });
    else view.selection.keep(before, items.map((item) => item.id));
    this.deleted = view.selection.item() ? null : before; // for an undo
    if (content.message) view.say(content.message);
    view.showSaved(content.saved);
    this.kernelAnswers();
    this.requestQueue();
  }

  refused(content) {
    this.acknowledged({ ...content, message: "" });
    this.view.banner(content.message, [["Close", () => this.view.banner("")]]);
    this.view.say(content.message);
  }

  requestQueue() {
    const { scene, link } = this.view;
    if (scene.data.readonly) return;
    clearTimeout(this.queueTimer);
    this.queueTimer = setTimeout(() => link.send({ kind: "queue" }), 400);
  }

  queueArrived(content) {
    const { side, state } = this.view;
    const current = side.items?.[state.queueAt];
    side.showQueue(content);
    const same = (item) => current && item.row_id === current.row_id && item.s === current.s;
    if (state.queueAt >= 0) state.queueAt = Math.max(0, content.items.findIndex(same));
    side.mark();
  }

  // ---- a kernel that is busy or dead

  checkKernel() {
    if (this.outbox.waitedMs() < SILENCE_MS || this.view.scene.data.readonly) return;
    this.silent = true;
    const n = this.outbox.list.length;
    const [waits, it, they] = n > 1 ? ["edits wait", "they", "They are"] : ["edit waits", "it", "It is"];
    this.view.banner(`The kernel has not answered: ${n} ${waits}. ${they} stored in this browser. If the kernel was ` +
      `restarted, run the cell again: ${it} will be offered there.`);
  }

  kernelAnswers() {
    if (!this.silent || this.outbox.list.length) return;
    this.silent = false;
    this.view.banner("");
  }

  /** Edits that an earlier page sent and no kernel confirmed. */
  offerLost(applied) {
    const { view, outbox } = this;
    const lost = Outbox.read(outbox.key).filter((command) => !applied.includes(command.id));
    if (!lost.length) return outbox.save();
    const apply = () => {
      view.banner("");
      lost.forEach((command) => this.send(command));
    };
    const forget = () => {
      view.banner("");
      outbox.save();
    };
    const n = lost.length;
    view.banner(`${n} edit${n > 1 ? "s" : ""} did not reach the kernel last time.`,
      [[n > 1 ? "Apply them" : "Apply it", apply], ["Forget", forget]]);
  }
}
