// Figures against truth, and the queue of what is worth a look.

/** Figures against truth, and the queue. */
class Side {
  constructor(view) {
    this.view = view;
    this.figures = h("tbody");
    this.spark = h("canvas", { className: "fx-spark", role: "img" });
    this.queue = h("ol", { className: "fx-queue" });
    this.how = h("p", { className: "fx-how" });
    this.expect = h("p", { className: "fx-expect" });
    const head = ["", "TP", "FP", "FN", "Prec.", "Recall", "F1"].map((t) => h("th", { scope: "col" }, t));
    this.table = h("section", { className: "fx-figures", "aria-label": "Figures against truth" },
      h("table", {}, h("thead", {}, h("tr", {}, ...head)), this.figures),
      h("figure", {}, this.spark, h("figcaption", {}, "F1 by threshold")));
    this.queueHead = h("p", { className: "fx-queue-head", "aria-hidden": "true" },
      h("span", {}, "at"), h("span", {}, "why"), h("span", {}, "gain"));
    this.queueBox = h("section", { className: "fx-queue-box", "aria-label": "Queue" },
      h("header", {}, h("h3", { className: "fx-title" }, "Worth a look"), this.expect),
      this.queueHead,
      this.queue,
      h("details", {}, h("summary", {}, "How this is computed"), this.how));
    this.node = h("div", { className: "fx-side" }, this.table, this.queueBox);
    this.table.hidden = !view.scene.truth;
    this.queueBox.hidden = true;
    this.rows = new Map();
  }

  /** The same cells get other text; nothing is rebuilt. */
  updateFigures() {
    const { scene } = this.view;
    if (!scene.truth) return;
    const list = [...scene.table(), scene.reviewScore].filter(Boolean);
    if (!scene.reviewScore && !scene.data.review.hidden) this.reviewLater();
    const { emotion } = scene.settings;
    for (const name of ["macro", "micro"]) if (this.rows.has(name)) this.rows.get(name)[0].parentNode.hidden = emotion;
    for (const row of list) {
      if (!this.rows.has(row.name)) {
        const cells = Array.from({ length: 6 }, () => h("td"));
        this.rows.set(row.name, cells);
        this.figures.append(h("tr", {}, h("th", { scope: "row" }, row.name), ...cells));
      }
      const texts = [row.tp, row.fp, row.fn, percent(row.precision), percent(row.recall), percent(row.f1)];
      texts.forEach((text, i) => (this.rows.get(row.name)[i].textContent = text));
    }
    this.drawSpark();
  }

  /** The row of the review needs another matching: computed once the edits pause. */
  reviewLater() {
    clearTimeout(this.reviewTimer);
    this.reviewTimer = setTimeout(() => {
      this.view.scene.reviewScore = this.view.scene.reviewFigures();
      this.view.mark("figures");
    }, 120);
  }

  drawSpark() {
    const { scene, timeline } = this.view;
    const [width, height] = [this.spark.clientWidth, 34];
    if (!width) return;
    timeline.fit(this.spark, width, height);
    const c = timeline.context(this.spark);
    const { theme } = timeline;
    const y = (v) => height - 2 - v * (height - 4);
    c.strokeStyle = theme.muted;
    c.lineWidth = 1.5;
    c.beginPath();
    const { f1Curve: curve, matching } = scene;
    for (let i = 0; i <= 60; i++) {
      const count = bisect(matching.order.length, (k) => scene.scoreOf(k) < i / 60);
      const f1 = curve[count];
      if (f1 !== null) c.lineTo((i / 60) * width, y(f1));
    }
    c.stroke();
    const x = scene.settings.threshold * width;
    c.strokeStyle = c.fillStyle = theme.accent;
    c.beginPath();
    line(c, x, 0, x, height);
    c.stroke();
    const now = curve[scene.count];
    if (now !== null) {
      c.beginPath();
      c.arc(x, y(now), 3, 0, 2 * Math.PI);
      c.fill();
    }
    this.spark.setAttribute("aria-label",
      `F1 ${percent(now)} at threshold ${scene.settings.threshold.toFixed(2)}`);
  }

  showQueue(content) {
    const { view } = this;
    this.items = content.items;
    this.queueBox.hidden = !content.items.length && !content.note;
    this.how.textContent = content.note ?? "";
    this.queue.hidden = this.queueHead.hidden = !content.items.length;
    this.expect.textContent = content.items.length ? content.expect ?? "" : "nothing is left to look at";
    this.queue.replaceChildren(...content.items.slice(0, 60).map((item, i) => {
      const rate = h("b", {}, item.per_minute.toFixed(1));
      const where = h("span", { className: "fx-when" }, clock(item.s / view.scene.fps, 1));
      return h("li", {}, h("button", {
        type: "button", className: "fx-queue-item", onclick: () => view.selection.goQueue(i),
        title: `${item.mistakes.toFixed(2)} mistakes expected, ${item.minutes.toFixed(2)} min to review`,
      }, where, h("span", { className: "fx-why" }, item.why), rate));
    }));
    this.mark();
  }

  mark() {
    const at = this.view.state.queueAt;
    [...this.queue.children].forEach((li, i) => {
      const current = i === at;
      li.firstChild.setAttribute("aria-current", String(current));
      if (current) li.scrollIntoView?.({ block: "nearest" });
    });
  }
}
