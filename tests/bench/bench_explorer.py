"""How quickly the explorer answers, with 10,000 intervals over one hour at 30 fps.

    python tests/bench/bench_explorer.py [intervals] [minutes]

In the browser (a saved page, the same module as in JupyterLab): the time of the script's work for
one answer, from the input to the last drawing command; one frame at 60 Hz is 16.7 ms. In Python:
the time to answer a message. On a busy machine the quickest of the runs says most; the first line
times a plain loop, for comparison between machines.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from lab import new_page, open_browser

from fedet.annotations.table import validate
from fedet.explorer.widget import Explorer
from fedet.intervals import EMOTIONS

FPS = 30.0
FRAME_MS = 1000 / 60

# Runs an action many times with drawing forced at once; returns least, median and 95th percentile, ms.
TIMED = """([action, times]) => {
    const view = document.querySelector('.fx').explorer;
    const act = new Function('view', 'i', action);
    const spent = [];
    for (let i = 0; i < times; i++) {
        const start = performance.now();
        act(view, i);
        cancelAnimationFrame(view.pendingDraw);
        view.draw();
        spent.push(performance.now() - start);
    }
    spent.sort((a, b) => a - b);
    return [spent[0], spent[Math.floor(times / 2)], spent[Math.floor(times * 0.95)]];
}"""

ZOOMED = "view.timeline.setView(N / 2, N / 2 + {frames}); view.mark('base');"
ACTIONS = {
    "3 million square roots": "let x = 0; for (let k = 0; k < 3e6; k++) x += Math.sqrt(k + i);"
    "view.ballast = x;",
    "threshold, whole video": "view.fitAll(); view.set({ threshold: 0.3 + (i % 40) / 100 });",
    "threshold, one minute": ZOOMED.format(frames=1800) + "view.set({ threshold: 0.3 + (i % 40) / 100 });",
    "match tIoU": "view.fitAll(); view.set({ tiou: 0.3 + (i % 40) / 100 });",
    "NMS strength": "view.fitAll(); view.set({ nms: 0.2 + (i % 60) / 100 });",
    "emotion on and off": "view.set({ classes: i % 2 ? view.scene.classes : ['positive'] });",
    "pan, whole hour": "view.fitAll(); view.zoom(0.9, N / 2); view.pan(0.01);",
    "pan, ten minutes": ZOOMED.format(frames=18000) + "view.pan(i / 1000);",
    "pan, ten seconds": ZOOMED.format(frames=300) + "view.pan(i / 100);",
    "zoom": "view.zoom(i % 2 ? 0.5 : 2, N / 3);",
    "playhead": "view.player.seek(1000 + i);",
    "hover": "view.pointer.showTip(200 + i, 60, view.timeline.hit(200 + i, 60, view.state));",
    "one edit": "const id = 'p' + (100 + i), row = view.scene.rows.get(id);"
    "view.editor.putRows({ [id]: { ...row, e: row.e + 1, status: 'corrected' } });",
}


def table(count: int, n_frames: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    onset = np.sort(rng.integers(0, n_frames - 130, count))
    cells = {"onset": onset, "offset": onset + rng.integers(9, 120, count), "video": "clip",
             "subject": "s", "fps": FPS, "emotion": rng.choice(EMOTIONS, count),
             "score": rng.random(count).round(4)}  # fmt: skip
    return validate(pd.DataFrame(cells))[0]


def in_python(explorer) -> list[tuple]:
    explorer.send = lambda *args, **kwargs: None
    rows = list(explorer.review.rows)

    def edit(i):
        explorer.review.apply("move", row=rows[i], offset=explorer.review.rows[rows[i]]["offset"])

    messages = {
        "edit, on the disk": edit,
        "all data for a view": lambda i: explorer._handle_custom_msg({"kind": "hello"}, []),
        "queue": lambda i: explorer._handle_custom_msg({"kind": "queue"}, []),
        "figures by fedet.metrics": lambda i: explorer.metrics(),
    }
    found = []
    for name, act in messages.items():
        spent = []
        for i in range(15):
            start = time.perf_counter()
            act(i)
            spent.append((time.perf_counter() - start) * 1000)
        found.append((name, min(spent), float(np.median(spent)), float(np.quantile(spent, 0.95))))
    return found


def in_browser(page_file: Path, n_frames: int) -> list[tuple]:
    with open_browser() as browser:
        page = new_page(browser, viewport={"width": 1200, "height": 800})
        page.goto(page_file.as_uri())
        page.locator(".fx-figures tbody tr").first.wait_for()
        found = []
        for name, action in ACTIONS.items():
            act = action.replace("N ", f"{n_frames} ")
            page.evaluate(TIMED, [act, 5])  # once, so that the engine has compiled it
            found.append((name, *page.evaluate(TIMED, [act, 40])))
        return found


def main(count: int = 10_000, minutes: float = 60.0) -> None:
    n_frames = int(minutes * 60 * FPS)
    rng = np.random.default_rng(0)
    curves = rng.random((n_frames, len(EMOTIONS)), dtype=np.float32) * 0.3
    with tempfile.TemporaryDirectory() as folder:
        explorer = Explorer(None, table(count, n_frames, 0), table(count // 5, n_frames, 1), curves,
                            name="clip", autosave=Path(folder) / "clip.jsonl")  # fmt: skip
        explorer.review.accept("p0")  # so that the page shows the lane of the review
        file = explorer.to_html(Path(folder) / "page.html", thumbnails=0)
        print(f"{count} predictions, {count // 5} events, {minutes:g} min, "
              f"page {file.stat().st_size / 1e6:.1f} MB")  # fmt: skip
        print(f"{'in the browser, ms':28}{'least':>9}{'median':>9}{'95 %':>9}{'frames':>9}")
        for name, *times in in_browser(file, n_frames):
            print(f"{name:28}" + "".join(f"{t:9.1f}" for t in times) + f"{times[0] / FRAME_MS:9.2f}")
        print(f"{'in Python, ms':28}{'least':>9}{'median':>9}{'95 %':>9}")
        for name, *times in in_python(explorer):
            print(f"{name:28}" + "".join(f"{t:9.1f}" for t in times))


if __name__ == "__main__":
    main(*(float(x) if "." in x else int(x) for x in sys.argv[1:]))
