// Which interval is selected, and the ways to the next one: by lane, by status, by queue.

class Selection {
  constructor(view) {
    this.view = view;
  }

  /** The intervals of a lane that the settings leave. */
  visible(lane) {
    const { scene, timeline } = this.view;
    return (timeline.trackOf(lane)?.items ?? []).filter((item) => scene.shows(lane, item));
  }

  /** The selected interval, of any lane. */
  item() {
    const { scene, timeline, state: { selected } } = this.view;
    if (!selected) return null;
    if (selected.lane === "review") return scene.rows.get(selected.id) ?? null;
    return timeline.trackOf(selected.lane)?.items.find((item) => item.id === selected.id) ?? null;
  }

  /** The review row that edits go to: the selected one, or the one a prediction stands for. */
  row() {
    const { scene, state: { selected } } = this.view;
    if (!selected || scene.data.review.hidden) return null;
    if (selected.lane === "review" || selected.lane === "prediction") return scene.rows.get(selected.id) ?? null;
    return null;
  }

  /** The selected interval's lane and rank. */
  title() {
    const { selected } = this.view.state;
    const items = this.visible(selected.lane);
    const rank = items.findIndex((item) => item.id === selected.id) + 1;
    const name = LANE_NAMES[selected.lane] ?? "Prediction";
    return rank ? `${name} ${rank} of ${items.length}` : `${name}, hidden by the settings`;
  }

  select(lane, item, { seek = true } = {}) {
    const { view } = this;
    const { state, inspector } = view;
    if (document.activeElement === inspector.noteBox) inspector.saveNote();
    state.selected = item ? { lane, id: item.id } : null;
    view.remark("");
    if (item) {
      state.lane = lane;
      if (seek) view.player.seek(view.scene.apexOf(item));
      this.reveal(item);
      view.say(`${this.title()}: ${item.status ?? ""} ${view.scene.describe(item)} ${item.note}`);
    }
    view.link.set({ selected: item ? item.id : "" });
    view.mark("base", "over", "panel");
  }

  /** After edits: where the selected row is gone, the changed one that overlaps it most. */
  keep(before, changed) {
    const { scene, state } = this.view;
    if (state.selected || !before) return;
    const rows = changed.map((id) => scene.rows.get(id)).filter((row) => row && row.status !== "seen");
    const next = rows.sort((a, b) => sharedFrames(b, before) - sharedFrames(a, before))[0];
    if (next) this.select("review", next, { seek: false });
  }

  /** Moves the window as little as needed to show the interval. */
  reveal(item) {
    const { timeline } = this.view;
    const { from, to } = timeline.view;
    const span = to - from;
    if (item.e - item.s > span) this.view.fitItem(item);
    else if (item.s < from) timeline.setView(item.s - span * 0.15, item.s + span * 0.85);
    else if (item.e > to) timeline.setView(item.e - span * 0.85, item.e + span * 0.15);
    this.view.mark("base");
  }

  /** The next (1) or previous (-1) interval of the lane for which the test holds. */
  jump(direction, test = () => true) {
    const { view } = this;
    const { state } = view;
    const items = this.visible(state.lane).filter(test);
    if (!items.length) return view.remark("No interval there");
    const current = state.selected?.lane === state.lane ? this.item() : null;
    const at = items.indexOf(current);
    const from = current ?? { s: state.frame, e: state.frame };
    let to;
    if (at >= 0) to = items[at + direction];
    else if (direction > 0) to = items.find((item) => item.s > from.s || (item.s === from.s && item.e > from.e));
    else to = items.findLast((item) => item.s < from.s);
    if (to) this.select(state.lane, to);
    else view.remark(direction > 0 ? "That was the last one" : "That was the first one");
  }

  /** The same among the open ones; the selected one counts, so that the way goes on from there. */
  jumpOpen(direction) {
    this.jump(direction, (item) => item.status === "open" || item.id === this.view.state.selected?.id);
  }

  nextLane() {
    const { view } = this;
    const keys = view.timeline.lanes.map((lane) => lane.key).filter((key) => LANE_NAMES[key]);
    view.state.lane = keys[(keys.indexOf(view.state.lane) + 1) % keys.length];
    view.say(`Lane ${LANE_NAMES[view.state.lane]}`);
    view.mark("base");
  }

  // ---- the queue

  goQueue(index) {
    const { view } = this;
    const { scene, side, timeline } = view;
    const items = side.items ?? [];
    const item = items[index];
    if (!item && !items.length) return view.remark("The queue is empty");
    if (!item) return view.remark(index < 0 ? "That was the first one" : "That was the last one");
    view.state.queueAt = index;
    side.mark();
    const row = item.row_id ? scene.rows.get(item.row_id) : null;
    this.select("review", row);
    if (row) return view.fitItem(row);
    timeline.setView(item.s, item.e);
    view.player.seek(item.s);
    view.say(`Stretch from ${clock(item.s / scene.fps, 0)}: ${item.why}`);
    view.mark("base");
  }

  /** The next one to decide: of the queue if that is being worked through, else of the lane. */
  nextOpen() {
    const { scene, side, state } = this.view;
    const open = (item) => item.kind === "stretch" || scene.rows.get(item.row_id)?.status === "open";
    const items = state.queueAt >= 0 ? side.items ?? [] : [];
    const next = items.findIndex((item, i) => i > state.queueAt && open(item));
    if (next >= 0) this.goQueue(next);
    else this.jumpOpen(1);
  }
}
