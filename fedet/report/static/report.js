// The report's page: one view at a time, light or dark, code shown or folded. Works from a file.

const root = document.documentElement;
const views = [...document.querySelectorAll(".view")];
root.classList.add("scripted");

/** Shows the view that holds the address's target; #all shows every view. */
function show() {
  const name = decodeURIComponent(location.hash.slice(1));
  const target = name && name !== "all" ? document.getElementById(name) : null;
  const view = target ? target.closest(".view") : views[0];
  root.classList.toggle("all", name === "all");
  for (const each of views) each.classList.toggle("shown", name === "all" || each === view);
  for (const link of document.querySelectorAll("nav a")) {
    const here = name === "all" ? link.hash === "#all" : view !== null && link.hash === "#" + view.id;
    link.classList.toggle("here", here);
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  hint();
  if (target && target !== view) target.scrollIntoView();
  else window.scrollTo(0, 0);
}

/** Says below every table and picture that is cut off at the side that it scrolls. */
function hint() {
  for (const box of document.querySelectorAll(".shown .scroll, .shown .cell figure, .shown .prose table")) {
    const next = box.nextElementSibling;
    const hinted = next !== null && next.classList.contains("sideways");
    const wide = box.scrollWidth > box.clientWidth + 4;
    if (hinted && !wide) next.remove();
    if (hinted || !wide) continue;
    const note = document.createElement("p");
    note.className = "note sideways";
    note.textContent = root.lang === "ja" ? "横にスクロールできます →" : "scrolls sideways →";
    box.after(note);
  }
}

document.getElementById("theme").addEventListener("click", () => {
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

document.getElementById("code").addEventListener("click", (event) => {
  const cells = [...document.querySelectorAll("details.code")];
  const open = !cells.every((cell) => cell.open);
  for (const cell of cells) cell.open = open;
  event.target.textContent = open ? "Fold all code" : "Show all code";
});

if (matchMedia("(max-width: 820px)").matches) document.querySelector("nav details").open = false;
window.addEventListener("hashchange", show);
window.addEventListener("resize", hint);
show();
