// Panels: the selected interval, and the settings of pages without ipywidgets.

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
    this.body.append(this.emotionRow, this.frameRow, this.noteBox, this.actions);
  }

  hint() {
    const add = this.view.scene.data.readonly ? "" : " N makes a new one.";
    return `Click an interval, or use ↑ ↓.${add} Press ? for all keys.`;
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
    this.noteBox.disabled = !editable;
    if (document.activeElement !== this.noteBox) this.noteBox.value = item?.note ?? "";
    for (const b of this.actions.children) b.disabled = !editable && b.getAttribute("aria-label") !== "New";
  }
}

/** Threshold and filters for pages without ipywidgets. */
class Settings {
  constructor(view) {
    this.view = view;
    const { scene } = view;
    this.inputs = {};
    const slider = (name, label, min, max) => {
      const output = h("output");
      const input = h("input", {
        type: "range", min, max, step: 0.01, "aria-label": label,
        oninput: () => view.set({ [name]: Number(input.value) }),
      });
      this.inputs[name] = { input, output };
      const hidden = name === "tiou" && !scene.truth; // nothing to match with
      return h("label", { className: "fx-slider", hidden }, h("span", {}, label), input, output);
    };
    const toggle = (trait, value, label, colour) => {
      const box = h("button", {
        type: "button", className: "fx-toggle", "aria-pressed": "true",
        onclick: () => {
          const now = new Set(scene.settings[trait]);
          if (!now.delete(value)) now.add(value);
          view.set({ [trait]: (trait === "classes" ? scene.classes : ["macro", "micro"]).filter((v) => now.has(v)) });
        },
      }, ...(colour ? [swatch(colour)] : []), label);
      (this.inputs[trait] ??= []).push({ box, value });
      return box;
    };
    this.node = h("div", { className: "fx-settings", role: "group", "aria-label": "Settings" },
      slider("threshold", "Threshold", 0, 1), slider("nms", "NMS tIoU", 0, 1), slider("tiou", "Match tIoU", 0.05, 1),
      h("span", { className: "fx-toggles" },
        ...scene.classes.map((name, i) => toggle("classes", name, name, scene.colour(i)))),
      h("span", { className: "fx-toggles" }, ...["macro", "micro"].map((t) => toggle("types", t, t))),
      this.sameEmotion());
  }

  sameEmotion() {
    const { view } = this;
    this.emotion = h("button", {
      type: "button", className: "fx-toggle fx-switch", title: "a match needs the same emotion",
      hidden: !view.scene.truth, onclick: () => view.set({ emotion: !view.scene.settings.emotion }),
    }, "same emotion");
    return this.emotion;
  }

  update() {
    const { settings } = this.view.scene;
    for (const name of ["threshold", "nms", "tiou"]) {
      this.inputs[name].input.value = settings[name];
      this.inputs[name].output.textContent = settings[name].toFixed(2);
    }
    this.emotion.setAttribute("aria-pressed", String(settings.emotion));
    for (const trait of ["classes", "types"])
      for (const { box, value } of this.inputs[trait])
        box.setAttribute("aria-pressed", String(settings[trait].includes(value)));
  }
}
