"""The explorer in a real browser: saved pages, and JupyterLab with a kernel."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from explorer_data import FPS, N_FRAMES, curves, frames, predicted, truth, write_clip
from lab import PATIENCE_MS, new_page, open_browser, open_lab, run_notebook, write_notebook

from fedet.annotations.table import read_csv
from fedet.explorer.widget import Explorer
from fedet.review.review import read_review
from fedet.video.writer import write_video

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=\"document.title='hacked'\"></script><script>document.title='hacked'"
DUPLICATES, OVERLAP = "Hide duplicates from overlap", "A match needs overlap"
FIGURES = """() => [...document.querySelectorAll('.fx-figures tbody tr')]
    .map(tr => [...tr.children].map(cell => cell.textContent))"""


@pytest.fixture(scope="module")
def browser():
    with open_browser() as browser:
        yield browser


# ---- a saved page


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A page of an explorer with names and notes that are markup, and that explorer."""
    folder = tmp_path_factory.mktemp("page")
    labels = predicted()["emotion"].where(predicted()["onset"] != 400, HOSTILE)
    explorer = Explorer(
        None, predicted().assign(emotion=labels, note=HOSTILE), truth(), curves(), [(400, 419)],
        name="clip", duration_s=N_FRAMES / 30, autosave=False, reviewer=HOSTILE,
    )  # fmt: skip
    explorer.review.accept("p5")
    return explorer, explorer.to_html(folder / "page.html")


@pytest.fixture(scope="module")
def page(browser, saved):
    page = new_page(browser, viewport={"width": 1200, "height": 800})
    page.requests, page.problems = [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda m: m.type == "error" and page.problems.append(m.text))
    page.goto(saved[1].as_uri())
    page.locator(".fx-figures tbody tr").first.wait_for()
    page.get_by_text("More settings").click()
    return page


def set_slider(page, label: str, value: float) -> None:
    page.get_by_role("slider", name=label).fill(str(value))
    page.evaluate("() => new Promise(requestAnimationFrame)")
    page.evaluate("() => new Promise(requestAnimationFrame)")


def test_a_saved_page_asks_the_network_for_nothing(page, saved):
    assert [url for url in page.requests if not url.startswith(("data:", "blob:"))] == [saved[1].as_uri()]
    assert page.problems == []


@pytest.mark.parametrize(
    ("threshold", "nms", "overlap"),
    [(0.5, 1, 0.5), (0.3, 1, 0.5), (0.3, 0.5, 0.5), (0.3, 0.5, 0.9), (0.7, 0.5, 0.2), (1, 0, 0.5)],
)
def test_the_browsers_figures_are_those_of_python(page, saved, threshold, nms, overlap):
    explorer = saved[0]
    explorer.threshold, explorer.nms, explorer.tiou = threshold, nms, overlap
    for label, value in (("Threshold", threshold), (DUPLICATES, nms), (OVERLAP, overlap)):
        set_slider(page, label, value)
    shown = {row[0]: row[1:] for row in page.evaluate(FIGURES)}
    for name, row in explorer.metrics().iterrows():
        assert [int(x) for x in shown[name][:3]] == row[["tp", "fp", "fn"]].tolist()
        for text, value in zip(shown[name][3:], row[["precision", "recall", "f1"]], strict=True):
            assert (text == "–") == (value != value)
            assert text == "–" or float(text) == pytest.approx(value, abs=5.1e-4)


def test_the_browsers_detection_figures_are_those_of_python(page, saved):
    explorer = saved[0]
    explorer.threshold, explorer.nms, explorer.tiou, explorer.emotion = 0.3, 1, 0.5, True
    for label, value in (("Threshold", 0.3), (DUPLICATES, 1), (OVERLAP, 0.5)):
        set_slider(page, label, value)
    page.get_by_label("same emotion").click()
    set_slider(page, "Threshold", 0.3)
    shown = {row[0]: row[1:4] for row in page.evaluate(FIGURES)}
    assert [int(x) for x in shown["all"]] == explorer.metrics().loc["all", ["tp", "fp", "fn"]].tolist()
    assert not page.get_by_role("row", name="macro").is_visible()
    page.get_by_label("same emotion").click()
    explorer.emotion = False


def test_pointing_tells_frame_time_and_scores(page):
    set_slider(page, "Threshold", 0.5)
    at = page.evaluate("""() => {
        const { timeline } = document.querySelector('.fx').explorer;
        const lane = timeline.lane('prediction');
        return [timeline.x(70.5), lane.y + 5];
    }""")
    page.locator(".fx-lanes").hover(position={"x": at[0], "y": at[1]})
    tip = page.locator(".fx-tip")
    tip.wait_for()
    text = tip.inner_text()
    assert "0:02.333" in text and "frame 70" in text
    assert "positive 0.92" in text or "positive 0.55" in text


def test_names_and_notes_with_markup_are_shown_as_text(page):
    page.locator(".fx-lanes").focus()
    for _ in range(3):
        page.keyboard.press("l")
    for _ in range(8):
        page.keyboard.press("ArrowDown")
    assert page.title() == "clip"
    assert page.locator(".fx img").count() == 0
    assert page.locator(".fx script").count() == 0
    assert page.get_by_text(HOSTILE).count() >= 1
    assert page.problems == []


def test_matched_and_unmatched_look_the_same_in_light_and_dark(browser, saved):
    """A full dot in the interval's ink or a ring around its colour, whatever the theme."""
    marks = {}
    for scheme in ("light", "dark"):
        page = new_page(browser, viewport={"width": 1200, "height": 800}, color_scheme=scheme)
        page.goto(saved[1].as_uri())
        page.locator(".fx-figures tbody tr").first.wait_for()
        set_slider(page, "Threshold", 0.5)
        marks[scheme] = page.evaluate("""() => {
            const { timeline, scene } = document.querySelector('.fx').explorer;
            const lane = timeline.lane('prediction');
            const pen = timeline.base.getContext('2d');
            return Object.fromEntries(['p0', 'p1'].map((id) => {
                const item = scene.predictions.items.find((x) => x.id === id);
                const { y, h } = timeline.box(lane, item);
                return [id, [...pen.getImageData(timeline.x(item.e) - 6, y + h / 2, 1, 1).data.slice(0, 3)]];
            }));
        }""")
    assert marks["light"] == marks["dark"]
    assert max(marks["light"]["p0"]) < 60 < max(marks["light"]["p1"])  # found, and the same once more


def test_without_a_picture_the_queue_stays_clear_of_the_buttons_below(browser, tmp_path):
    explorer = Explorer(None, predicted(), truth(), curves(), name="clip", autosave=False)
    page = new_page(browser, viewport={"width": 1200, "height": 800})
    page.set_default_timeout(20_000)
    page.goto(explorer.to_html(tmp_path / "blind.html").as_uri())
    page.get_by_text("How this is computed").click()
    page.get_by_text("expected mistakes corrected per minute").click()


def test_the_picture_goes_from_whole_to_face_to_points_and_back(browser, saved):
    page = new_page(browser, viewport={"width": 1200, "height": 800})
    page.goto(saved[1].as_uri())
    page.locator(".fx-figures tbody tr").first.wait_for()
    for points, views in ((True, ["face", "points", "whole"]), (False, ["face", "whole", "face"])):
        shown = page.evaluate(
            """(points) => {
                const view = document.querySelector('.fx').explorer;
                view.scene.data.picture = { available: false, width: 640, face: true, points };
                view.state.face = view.state.points = false;
                view.timeline.film ??= { configure() {} }; // a saved page without pictures has none
                return [1, 2, 3].map(() => { view.player.toggleFace(); return view.player.shown(); });
            }""",
            points,
        )
        assert shown == views
    page.close()


def test_the_height_does_not_depend_on_the_settings_and_all_is_in_view(browser, saved):
    page = new_page(browser, viewport={"width": 1366, "height": 768})
    page.goto(saved[1].as_uri())
    page.locator(".fx-lanes").wait_for()
    heights = set()
    for threshold in (0.0, 0.5, 1.0):
        set_slider(page, "Threshold", threshold)
        heights.add(page.locator(".fx").bounding_box()["height"])
    assert len(heights) == 1
    box = page.locator(".fx-timeline").bounding_box()
    assert box["y"] + box["height"] < 768


def test_a_page_is_usable_on_a_phone(browser, saved):
    options = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}
    page = new_page(browser, **options)
    page.goto(saved[1].as_uri())
    page.locator(".fx-lanes").wait_for()
    widths = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1]
    page.locator(".fx-lanes").tap(position=spot(page, 520, "truth"))
    page.get_by_role("heading", name="Truth 5 of 5").wait_for()


# ---- JupyterLab

CELL = """
import sys
sys.path.insert(0, {tests!r})
from explorer_data import *
from fedet.explorer import Explorer
explorer = Explorer("clip.mp4", predicted(), truth(), curves(), [(400, 419)],
                    reviewer="Ann", autosave={journal!r})
explorer
"""
LATER = """
import json
from pathlib import Path
told = dict(threshold=explorer.threshold, rows=explorer.review.table("all").to_json())
Path({told!r}).write_text(json.dumps(told))
"""


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    write_clip(folder / "clip.mp4")
    with open_lab(folder) as url:
        yield new_page(browser, viewport={"width": 1400, "height": 1100}), url, folder


def show(lab, name: str) -> Path:
    """Opens a notebook with an explorer of its own and waits until it is there."""
    page, url, folder = lab
    journal = folder / f"{name}.review.jsonl"
    cell = CELL.format(tests=str(Path(__file__).parents[1]), journal=journal.name)
    write_notebook(folder, [cell], f"{name}.ipynb")
    run_notebook(page, url, f"{name}.ipynb")
    page.locator(".fx-lanes").wait_for(timeout=PATIENCE_MS)
    page.wait_for_function("() => document.querySelector('.fx')?.explorer?.timeline.width > 0")
    return journal


def spot(page, frame: float, lane: str = "review", id: str | None = None) -> dict:
    """Where a frame lies in a lane, in pixels of the lanes' box."""
    x, y = page.evaluate(
        """([frame, key, id]) => {
            const { timeline, scene } = document.querySelector('.fx').explorer;
            const lane = timeline.lane(key);
            const box = id ? timeline.box(lane, scene.rows.get(id)) : lane;
            return [timeline.x(frame), box.y + box.h / 2];
        }""",
        [frame, lane, id],
    )
    return {"x": x, "y": y}


def wait_for_edits(page, count: int) -> None:
    page.locator(".fx-saved", has_text=f"{count} edit").wait_for()


def drag(page, start: dict, end: dict) -> None:
    box = page.locator(".fx-lanes").bounding_box()
    page.mouse.move(box["x"] + start["x"], box["y"] + start["y"])
    page.mouse.down()
    for share in (0.3, 0.7, 1.0):
        page.mouse.move(box["x"] + start["x"] + share * (end["x"] - start["x"]),
                        box["y"] + start["y"])  # fmt: skip
    page.mouse.up()


def test_drag_threshold_undo_and_export_arrive_in_python(lab):
    page, _, folder = lab
    journal = show(lab, "mouse")
    page.locator(".fx-lanes").scroll_into_view_if_needed()
    page.locator(".fx-lanes").click(position=spot(page, 320.5, id="p4"))
    page.keyboard.press("f")
    page.get_by_role("heading", name="Review 4 of 5").wait_for()
    assert (
        page.evaluate("() => document.querySelector('.fx').explorer.state.frame") == 328
    )  # the middle: no apex

    # The offset from frame 352 to frame 341: the edge is the frame's right side.
    drag(page, spot(page, 353, id="p4"), spot(page, 342, id="p4"))
    wait_for_edits(page, 1)
    assert read_review(journal)[["onset", "offset"]].to_numpy().tolist() == [[305, 341]]

    set_slider(page, "Threshold", 0.3)
    page.wait_for_function("() => document.querySelector('.fx').explorer.scene.settings.threshold === 0.3")
    assert page.evaluate(FIGURES)[0][1:4] == ["4", "3", "1"]

    # A second edit by a field, taken back by the button.
    page.get_by_label("onset").fill("290")
    page.get_by_label("onset").press("Enter")
    wait_for_edits(page, 2)
    assert read_review(journal)["onset"].tolist() == [290]
    page.get_by_role("button", name="Undo").click()
    wait_for_edits(page, 3)
    page.get_by_role("button", name="Accept").click()
    wait_for_edits(page, 4)

    page.get_by_label("Format").select_option("csv")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    page.get_by_text("Wrote 1 reviewed intervals").first.wait_for()
    rows, _ = read_csv(folder / "clip.review.csv")
    assert Path(download.value.path()).read_bytes() == (folder / "clip.review.csv").read_bytes()
    assert rows[["onset", "offset", "emotion"]].to_numpy().tolist() == [[305, 341, "surprise"]]
    assert rows["source"].iloc[0].startswith("review by Ann at ")

    # What the kernel's own objects say.
    told = folder / "told.json"
    page.locator(".jp-Notebook").press("Escape")
    page.locator(".jp-Cell .jp-InputPrompt").first.click()
    page.keyboard.press("b")
    page.locator(".jp-Cell .cm-content").last.click()
    page.keyboard.insert_text(LATER.format(told=str(told)).strip())
    page.keyboard.press("Control+Enter")
    page.wait_for_function(
        "() => /\\[[0-9]+\\]/.test([...document.querySelectorAll('.jp-InputPrompt')].at(-1).textContent)"
    )
    values = json.loads(told.read_text())
    assert values["threshold"] == 0.3
    offsets = json.loads(values["rows"])["offset"]
    assert 341 in offsets.values() and 352 not in offsets.values()


@pytest.mark.slow
def test_a_whole_review_by_keyboard_alone(lab):
    """From the run notebook to the exported file without a pointer."""
    page, _, folder = lab
    journal = show(lab, "keys")
    keys = page.keyboard
    page.evaluate("() => document.activeElement.blur()")
    for _ in range(150):  # Tab leads to the lanes, whatever lies before them
        keys.press("Tab")
        if page.evaluate("() => document.activeElement.className") == "fx-lanes":
            break
    assert page.evaluate("() => document.activeElement.matches(':focus-visible')")

    keys.press("a")  # nothing is selected yet
    page.get_by_text("Select an interval of the review first").last.wait_for()
    keys.press("ArrowDown")  # 58-95, positive
    keys.press("a")
    wait_for_edits(page, 1)
    keys.press("ArrowDown")  # 62-99, the same again
    keys.press("Backspace")  # reject, go to the next: 210-240, negative
    wait_for_edits(page, 2)
    for _ in range(5):  # from its middle
        keys.press("ArrowLeft")
    keys.press("i")  # onset 220
    wait_for_edits(page, 3)
    for _ in range(5):
        keys.press("ArrowRight")
    keys.press("p")  # apex 225
    keys.press("Shift+ArrowRight")
    keys.press("o")  # offset 235
    keys.press("3")  # surprise
    wait_for_edits(page, 6)
    keys.press("t")
    keys.type("talks <b>here</b>")
    keys.press("Enter")
    wait_for_edits(page, 7)
    keys.press("PageDown")  # 305-352
    for key in ("Shift+ArrowLeft", *["ArrowLeft"] * 3):
        keys.press(key)
    keys.press("s")  # split at 315
    wait_for_edits(page, 8)
    keys.press("Delete")  # the second half
    wait_for_edits(page, 9)
    keys.press("End")
    for _ in range(5):
        keys.press("Shift+ArrowLeft")
    keys.press("n")  # a new one at 549
    wait_for_edits(page, 10)
    keys.press("4")
    keys.press("z")  # no: it stays as it was made
    wait_for_edits(page, 12)
    keys.press("y")
    wait_for_edits(page, 13)
    keys.press("]")  # threshold 0.51
    assert page.evaluate("() => document.querySelector('.fx').explorer.scene.settings.threshold") == 0.51
    keys.press("?")
    page.get_by_role("dialog").wait_for()
    keys.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")

    rows = read_review(journal)
    found = rows[["onset", "apex", "offset", "emotion", "status"]].astype(object)
    assert found.where(found.notna(), None).to_numpy().tolist() == [
        [58, None, 95, "positive", "accepted"],
        [220, 225, 235, "surprise", "corrected"],
        [305, None, 314, "surprise", "corrected"],
        [549, None, 564, "others", "added"],
    ]
    assert rows["note"].tolist()[1] == "talks <b>here</b>"
    assert read_review(journal, "rejected")["onset"].tolist() == [62]
    # The notebook's own keys did nothing meanwhile: one cell, still there.
    assert page.locator(".jp-Cell").count() == 1

    page.get_by_role("button", name="Export").focus()
    keys.press("Enter")
    page.get_by_text("Wrote 4 reviewed intervals").first.wait_for()
    assert len(read_csv(folder / "clip.review.csv")[0]) == 4


@pytest.mark.slow
def test_the_selection_survives_split_undo_redo_and_delete(lab):
    page, _, _ = lab
    show(lab, "selection")
    selected = "() => document.querySelector('.fx').explorer.selection.item()?.s ?? null"
    page.locator(".fx-lanes").click(position=spot(page, 320.5, id="p4"))
    for count, (key, onset) in enumerate(
        [("s", 328), ("z", 305), ("y", 305), ("Delete", None), ("z", 305)], start=1
    ):
        page.keyboard.press(key)
        wait_for_edits(page, count)
        page.wait_for_function(f"onset => ({selected})() === onset", arg=onset)


def test_edits_that_a_dead_kernel_never_got_are_offered_again(lab):
    page, url, _folder = lab
    journal = show(lab, "dead")
    page.locator(".fx-lanes").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("a")
    wait_for_edits(page, 1)
    token = {"Authorization": "token test"}
    for kernel in page.request.get(f"{url}/api/kernels", headers=token).json():
        page.request.delete(f"{url}/api/kernels/{kernel['id']}", headers=token)
    page.keyboard.press("2")
    page.get_by_text("The kernel has not answered: 1 edit").wait_for()

    show(lab, "dead")
    page.get_by_text("1 edit did not reach the kernel").wait_for()
    page.get_by_role("button", name="Apply it").click()
    wait_for_edits(page, 2)
    assert read_review(journal)[["status", "emotion"]].to_numpy().tolist() == [["corrected", "negative"]]


@pytest.mark.slow
def test_the_frame_that_is_shown_is_the_frame_that_is_named(lab):
    page = lab[0]
    show(lab, "frames")
    page.locator(".fx-lanes").focus()
    page.keyboard.press("End")
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function(f"""() => {{
        const view = document.querySelector('.fx').explorer;
        return view.state.frame === {N_FRAMES - 4} && view.frames.cache.get({N_FRAMES - 4});
    }}""")
    page.evaluate("() => new Promise(done => setTimeout(done, 200))")
    shown = page.evaluate("""() => {
        const canvas = document.querySelector('.fx-picture');
        const block = canvas.width / 192 * 16;
        const pen = canvas.getContext('2d');
        let number = 0;
        for (let bit = 0; bit < 10; bit++)
            if (pen.getImageData((bit + 0.5) * block, block / 2, 1, 1).data[0] > 127) number |= 1 << bit;
        return number;
    }""")
    assert shown == N_FRAMES - 4
    # The video itself never went into the notebook or the browser.
    sizes = page.evaluate("""() => [...document.querySelector('.fx').explorer.frames.cache.values()]
        .map(b => b ? b.width : 0)""")
    assert max(sizes) <= 192 and len(sizes) < 120


def test_the_picture_is_that_of_the_sound_at_every_speed(lab):
    page, url, folder = lab
    tone = 0.3 * np.sin(2 * np.pi * 150 * np.arange(20 * 16000) / 16000)
    write_video(folder / "loud.mp4", frames(), FPS, sound=(tone.astype(np.float32), 16000))
    cell = CELL.format(tests=str(Path(__file__).parents[1]), journal="loud.jsonl").replace(
        "clip.mp4", "loud.mp4"
    )
    write_notebook(
        folder, [cell.replace("predicted()", "predicted(video='loud')").replace("truth()", "None")], "s.ipynb"
    )
    run_notebook(page, url, "s.ipynb")
    page.wait_for_function("() => document.querySelector('.fx')?.explorer?.sound.waves", timeout=PATIENCE_MS)
    page.set_viewport_size({"width": 1366, "height": 768})
    assert page.locator(".fx").bounding_box()["height"] < 650  # what JupyterLab leaves of 768
    page.locator(".fx-lanes").focus()
    for speed in (1, 0.5):
        page.evaluate(f"() => (document.querySelector('.fx').explorer.state.speed = {speed})")
        page.keyboard.press("Home")
        page.keyboard.press(" ")
        page.wait_for_function("() => document.querySelector('.fx').explorer.state.frame >= 15")
        seen, heard, nodes = page.evaluate("""() => {
            const { state, sound } = document.querySelector('.fx').explorer;
            return [state.frame, sound.frame(), sound.nodes.size];
        }""")
        assert nodes and abs(seen - heard) <= 3
        page.keyboard.press(" ")
    assert page.evaluate("() => document.querySelector('.fx').explorer.sound.nodes.size") == 0


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-x", "-s"]))
