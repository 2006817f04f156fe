// Panels: the selected interval; threshold, filters and other settings.

/** Facts and buttons of the selected interval. */
class Inspector {
  constructor(view) {
    this.view = view;
    this.title = h("h3", { className: "fx-title" });
    this.chip = h("span", { className: "fx-chip" });
    this.facts = h("p", { className: "fx-facts" });
    this.body = h("div", { className: "fx-fields" });
    this.node = h("section", { className: "fx-inspector", "aria-label": "Selected interval" },
      h("header", {}, this.title, this.chip), this.facts, this.body);
    this.build();
  }

  build() {
    const { view } = this;
    const { scene } = view;
    this.emotions = scene.classes.map((name, i) => {
      return h("button", {
        type: "button", className: "fx-emotion", title: `${name} (${i + 1})`, "aria-pressed": "false",
        onclick: () => view.editor.edit("relabel", { emotion: name }),
      }, swatch(scene.colour(i)), name);
    });
    this.fields = {};
    const field = (name, key) => {
      const input = h("input", {
        type: "number", step: 1, min: 0, max: scene.n - 1, title: `${name} frame (${key} takes this one)`,
        onchange: () => input.value !== "" && view.editor.edit("move", { [name]: Number(input.value) }),
      });
      this.fields[name] = input;
      return h("label", { className: "fx-field" }, h("span", {}, name), input);
    };
    this.noteBox = h("textarea", {
      rows: 2, placeholder: "Note", "aria-label": "Note (T)",
      onchange: () => this.saveNote(),
      onkeydown: (event) => {
        if (event.key === "Escape" || (event.key === "Enter" && !event.shiftKey)) {
          event.preventDefault();
          view.focus();
        }
      },
    });
    const act = (text, key, op, className = "") =>
      button(text, key, () => view.editor.command(op), { text: `${text} ${key}`, className });
    this.actions = h("div", { className: "fx-actions" },
      act("Accept", "A", "accept", "fx-yes"), act("Reject", "R", "reject", "fx-no"),
      act("Split", "S", "split"), act("Delete", "Del", "delete"), act("New", "N", "new"));
    for (const b of this.actions.children) {
      const text = b.textContent.split(" ");
      b.replaceChildren(text[0], h("kbd", {}, text[1]));
    }
    this.emotionRow = h("div", { className: "fx-emotions", role: "group", "aria-label": "Emotion" }, ...this.emotions);
    this.frameRow = h("div", { className: "fx-frames" }, field("onset", "I"), field("apex", "P"), field("offset", "O"));
    this.person = h("select", {
      "aria-label": "Person",
      onchange: () => view.editor.edit("give", { person: this.person.value }),
    });
    this.rename = button("Rename or merge", "", () => this.renamePerson(), { text: "Rename…" });
    this.leaveOut = button("Leave this person out", "", () => this.ofPerson("leave_out"), { text: "Leave out" });
    this.personRow = h("div", { className: "fx-frames fx-person", hidden: true }, this.person, this.rename, this.leaveOut);
    this.body.append(this.actions, this.personRow, this.emotionRow, this.frameRow, this.noteBox);
  }

  hint() {
    const add = this.view.scene.data.readonly ? "" : " N makes a new one.";
    return `Click an interval, or use ↑ ↓.${add} Press ? for all keys.`;
  }

  ofPerson(op, values = {}) {
    const row = this.view.selection.row();
    if (row) this.view.editor.edit(op, { person: row.subject, ...values });
  }

  /** The name of somebody else makes both one person. */
  renamePerson() {
    const row = this.view.selection.row();
    const name = row && window.prompt(`Another name for ${row.subject}; the name of somebody else merges both`, row.subject);
    if (name?.trim()) this.ofPerson("name_person", { name });
  }

  saveNote() {
    const row = this.view.selection.row();
    if (row && this.noteBox.value !== row.note) this.view.editor.edit("note", { text: this.noteBox.value });
  }

  update() {
    const { view } = this;
    const { scene } = view;
    const item = view.selection.item();
    const row = view.selection.row();
    const editable = Boolean(row) && !scene.data.readonly;
    this.body.classList.toggle("fx-off", !editable);
    this.body.hidden = scene.data.readonly;
    this.title.textContent = item ? view.selection.title() : "Nothing selected";
    const status = item?.status ?? "";
    this.chip.textContent = status;
    this.chip.className = "fx-chip fx-" + (status || "none");
    this.facts.textContent = item ? scene.describe(item) : this.hint();
    this.emotions.forEach((b, i) => {
      b.disabled = !editable;
      b.setAttribute("aria-pressed", String(Boolean(item) && item.cls === i));
    });
    for (const [name, input] of Object.entries(this.fields)) {
      input.disabled = !editable;
      const value = item === null ? null : { onset: item.s, offset: item.e - 1, apex: item.apex }[name];
      if (document.activeElement !== input) input.value = value === null ? "" : Math.round(value);
    }
    this.personRow.hidden = scene.people.length < 2;
    this.person.replaceChildren(...scene.people.map((name) => h("option", { value: name }, name)));
    this.person.value = row?.subject ?? "";
    for (const node of this.personRow.children) node.disabled = !editable;
    this.noteBox.disabled = !editable;
    if (document.activeElement !== this.noteBox) this.noteBox.value = item?.note ?? "";
    for (const b of this.actions.children) b.disabled = !editable && b.getAttribute("aria-label") !== "New";
  }
}

const SLIDERS = { // label, what it does, lowest value
  threshold: ["Threshold", "Predictions with a lower score are hidden", 0],
  nms: ["Hide duplicates from overlap", "Of two predictions of one emotion that overlap by more than this, the one with the lower " +
    "score is hidden; 1 hides none (non-maximum suppression, NMS)", 0],
  tiou: ["A match needs overlap", "From this overlap on, a prediction counts as right (temporal IoU, tIoU)", 0.01],
};

/** Threshold and filters; what only experts need is folded away. */
class Settings {
  constructor(view) {
    this.view = view;
    const { scene } = view;
    this.sliders = {};
    this.filters = [];
    const types = ["macro", "micro"];
    const filter = (...choice) => this.filter(...choice);
    this.node = h("div", { className: "fx-settings", role: "group", "aria-label": "Settings" },
      this.slider("threshold"),
      h("span", { className: "fx-filters", role: "group", "aria-label": "Filter" }, "Show",
        ...scene.classes.map((name, i) => filter("classes", scene.classes, name, scene.colour(i))),
        ...types.map((name) => filter("types", types, name, null))),
      h("details", { className: "fx-more" }, h("summary", {}, "More settings"), h("div", { className: "fx-pop" }, ...this.more())));
  }

  /** For experts; without truth there is nothing to match with. */
  more() {
    const { view } = this;
    const { truth, data } = view.scene;
    this.emotion = h("input", { type: "checkbox", onchange: () => view.set({ emotion: this.emotion.checked }) });
    this.name = h("input", { type: "text", onchange: () => view.set({ reviewer: this.name.value }) });
    return [
      ...(data.readonly ? [] : [h("label", {}, h("span", {}, "Reviewer"), this.name)]),
      this.slider("nms"),
      ...(truth ? [this.slider("tiou"), h("label", {}, this.emotion, "A match needs the same emotion")] : []),
    ];
  }

  slider(name) {
    const [label, title, min] = SLIDERS[name];
    const output = h("output");
    const input = h("input", {
      type: "range", min, max: 1, step: 0.01, "aria-label": label,
      oninput: () => this.view.set({ [name]: Number(input.value) }),
    });
    this.sliders[name] = { input, output };
    return h("label", { className: "fx-slider", title }, h("span", {}, label), input, output);
  }

  filter(trait, every, value, colour) {
    const { view } = this;
    const input = h("input", {
      type: "checkbox",
      onchange: () => {
        const now = new Set(view.scene.settings[trait]);
        if (!now.delete(value)) now.add(value);
        view.set({ [trait]: every.filter((v) => now.has(v)) });
      },
    });
    this.filters.push({ input, trait, value });
    return h("label", { className: "fx-filter" }, input, ...(colour ? [swatch(colour)] : []), value);
  }

  update() {
    const { settings } = this.view.scene;
    for (const [name, { input, output }] of Object.entries(this.sliders)) {
      input.value = settings[name];
      output.textContent = settings[name].toFixed(2);
    }
    this.emotion.checked = settings.emotion;
    if (document.activeElement !== this.name) this.name.value = settings.reviewer ?? "";
    for (const { input, trait, value } of this.filters) input.checked = settings[trait].includes(value);
  }
}
