// Icons, buttons, and the list of all keys.

const ICONS = { // 16 x 16, drawn as paths
  play: "M4 2.5v11l9-5.5z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
  back: "M11 3v10L5 8zM4 3h1.5v10H4z",
  forward: "M5 3v10l6-5zM10.500 3H12v10h-1.500z",
  earlier: "M8 3v10L2 8zM14 3v10L8 8z",
  later: "M8 3v10l6-5zM2 3v10l6-5z",
  closer: "M7 3h2v4h4v2H9v4H7V9H3V7h4z",
  wider: "M3 7h10v2H3z",
  whole: "M2 3h1.500v10H2zM12.500 3H14v10h-1.500zM4.500 8l3-3v2h1V5l3 3-3 3V9h-1v2z",
  undo: "M6 2L2 6l4 4V7.500h3.500a2.250 2.250 0 0 1 0 4.500H6v2h3.500a4.250 4.250 0 0 0 0-8.500H6z",
  redo: "M10 2l4 4-4 4V7.500H6.500a2.250 2.250 0 0 0 0 4.500H10v2H6.500a4.250 4.250 0 0 1 0-8.500H10z",
  loop: "M4 4h7V2l3.500 3L11 8V6H6v2H4zM12 12H5v2l-3.500-3L5 8v2h5V8h2z",
  sound: "M2 6h2.500L8 2.500v11L4.500 10H2zM10 5.200c1.800 1.200 1.800 4.400 0 5.600V9.400c.6-.8.6-2 0-2.800zM12 3c3.200 2.400 3.200 7.600 0 10v-1.800c2-1.800 2-4.600 0-6.400z",
  face: "M8 1.500a6.500 6.500 0 1 0 0 13 6.500 6.500 0 0 0 0-13zM8 3a5 5 0 1 1 0 10A5 5 0 0 1 8 3zM5.250 6h1.500v2h-1.500zM9.250 6h1.500v2h-1.500zM5 9.500h6a3.100 3.100 0 0 1-6 0z",
};

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button with a label for those who cannot see the icon, and its key. */
function button(label, key, onclick, { text = null, iconName = null, className = "" } = {}) {
  return h("button", {
    type: "button", onclick, className: "fx-button " + className,
    title: key ? `${label} (${key})` : label, "aria-label": label,
    ...(key ? { "aria-keyshortcuts": key } : {}),
  }, iconName ? icon(iconName) : text ?? label);
}

const HELP = [
  ["Look", [
    ["Space", "play, pause"],
    ["← →", "one frame; with Shift ten"],
    ["↑ ↓", "previous, next interval of the lane"],
    ["PgUp PgDn", "previous, next open interval"],
    ["L", "next lane: truth, prediction, review"],
    ["+ −", "zoom; 0 the whole video; F the selection"],
    [", .", "half a window to the left, right"],
    ["Home End", "first, last frame"],
    ["M", "repeat the selected interval while playing"],
    ["V", "whole picture, face, face with points"],
    ["X", "sound on, off"],
    ["[ ]", "score threshold down, up"],
  ]],
  ["Review", [
    ["Enter", "accept, go to the next"],
    ["Backspace", "reject, go to the next"],
    ["A R U", "accept, reject, open again"],
    ["I O P", "onset, offset, apex to this frame"],
    ["1 2 3 …", "emotion"],
    ["N", "new interval at this frame"],
    ["S", "split at this frame"],
    ["Delete", "delete"],
    ["T", "write a note (Esc: back)"],
    ["Q", "next of the queue; with Shift the one before"],
    ["Z Y", "undo, redo (also Ctrl+Z, Ctrl+Y)"],
  ]],
  ["Pointer", [
    ["wheel", "zoom, once the lanes have the focus (or with Ctrl); Shift moves"],
    ["drag an edge", "onset or offset; the diamond is the apex", "edits"],
    ["drag elsewhere", "move along; on the ruler: scrub"],
    ["Shift + drag", "draw a new interval in the review lane", "edits"],
    ["drag the dashed line", "score threshold"],
    ["double click", "zoom to the interval"],
  ]],
  ["Marks", [
    ["● ○", "matched, not matched by the other side"],
    ["◆", "apex"],
    ["✓ ✎ +", "accepted, corrected, added"],
    ["╱", "rejected; a dashed outline: still open"],
    ["▁", "a prediction below the threshold"],
  ]],
];

function helpDialog(readonly) {
  const parts = (title, key) => (title === "Pointer" ? [key] : key.split(" "));
  const table = ([title, keys]) =>
    h("section", { className: title === "Pointer" ? "fx-gestures" : "" }, h("h3", {}, title),
      h("dl", {}, ...keys.filter(([, , edits]) => !edits || !readonly).flatMap(([key, what]) =>
        [h("dt", {}, ...parts(title, key).map((k) => h("kbd", {}, k))), h("dd", {}, what)])));
  const close = h("button", { type: "button", className: "fx-button", onclick: () => dialog.close() }, "Close");
  const dialog = h("dialog", { className: "fx-help", "aria-label": "Keys and pointer" },
    h("header", {}, h("h2", {}, "Keys and pointer"), close),
    h("div", { className: "fx-help-body" }, ...HELP.filter(([title]) => !readonly || title !== "Review").map(table)));
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "?" || event.key === "Escape") {
      event.preventDefault();
      dialog.close();
    }
    event.stopPropagation();
  });
  return dialog;
}
