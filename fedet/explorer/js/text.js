// The interval explorer: what a browser shows of one video's intervals.
//
// A module without dependencies, build step or network: Python joins the chapters of this folder in
// the order of `fedet.explorer.html_page.CHAPTERS`. It runs in two places: as the view of an
// anywidget (`render`), where Python serves frames and keeps the review, and in a saved page
// (`mount` with embedded data), where everything but frames and edits works without a kernel.
//
// Positions are in frames. An interval is half-open here, [s, e) with e = offset + 1, so that its
// length is e - s and a pixel edge is a frame edge.
//
// Every text that comes from data is put on the page with textContent or fillText, never as HTML.

// Numbers, text and elements.

const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

/** Seconds as 1:02:03.456, hours only if there are any. */
function clock(seconds, digits = 3) {
  const scale = 10 ** digits;
  let rest = Math.round(Math.max(0, seconds) * scale);
  const fraction = rest % scale;
  rest = (rest - fraction) / scale;
  const [h, m, s] = [Math.floor(rest / 3600), Math.floor(rest / 60) % 60, rest % 60];
  const two = (n) => String(n).padStart(2, "0");
  const end = digits ? "." + String(fraction).padStart(digits, "0") : "";
  return (h ? h + ":" + two(m) : String(m)) + ":" + two(s) + end;
}

const percent = (x) => (x === null ? "–" : x.toFixed(3).replace(/^0/, ""));
const score2 = (x) => (x === null ? "" : x.toFixed(2));

/** The step for ruler ticks: the smallest round one of at least `least` frames. */
function tickStep(least, fps) {
  const frames = [1, 2, 5, 10];
  const seconds = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];
  const steps = [...frames.filter((n) => n < fps), ...seconds.map((s) => s * fps)];
  return steps.find((step) => step >= least) ?? steps[steps.length - 1];
}

/** An element with properties, and children that are elements or plain text. */
function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && name !== "list") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Dark or white, whichever reads better on a #rrggbb colour (WCAG relative luminance). */
function inkOn(colour) {
  const linear = (i) => {
    const v = parseInt(colour.slice(i, i + 2), 16) / 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  };
  const luminance = 0.2126 * linear(1) + 0.7152 * linear(3) + 0.0722 * linear(5);
  return luminance > 0.179 ? "#111" : "#fff";
}

const round1 = (x) => (Number.isInteger(x) ? x : x.toFixed(1));

/** A small square in a colour. */
function swatch(colour) {
  const node = h("span", { className: "fx-swatch" });
  node.style.background = colour;
  return node;
}
