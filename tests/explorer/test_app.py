"""The explorer as an app, as somebody uses it who has never seen a notebook."""

import asyncio
import json
import os
import re
import signal
import struct
import subprocess
import sys
import threading
from contextlib import contextmanager

import pandas as pd
import pytest
from explorer_data import N_FRAMES, predicted, write_clip
from lab import new_page, open_browser

from fedet.annotations.table import write_csv
from fedet.errors import InputError
from fedet.explorer.app import packed, serve
from fedet.explorer.widget import Explorer
from fedet.review.review import read_review


@pytest.fixture
def explorer(tmp_path):
    return Explorer(
        None, predicted(), name="clip", duration_s=N_FRAMES / 30, autosave=tmp_path / "clip.review.jsonl",
        reviewer="Ann",
    )  # fmt: skip


@contextmanager
def served(explorer, **options):
    """The address of an explorer that is served in a thread."""
    ready, address = threading.Event(), []
    thread = threading.Thread(
        target=serve, args=(explorer,),
        kwargs={"on_ready": lambda text: (address.append(text), ready.set()), **options}, daemon=True,
    )  # fmt: skip
    thread.start()
    assert ready.wait(30)
    yield address[0], thread
    if thread.is_alive():
        asyncio.run(talk(address[0], {"method": "finish"}))
    thread.join(30)
    assert not thread.is_alive()


async def talk(address, *messages, answers=0):
    """Sends messages as the page does; returns so many answers as (data, buffers)."""
    from tornado.httpclient import HTTPRequest
    from tornado.websocket import websocket_connect

    link = await websocket_connect(HTTPRequest(address.replace("http://", "ws://").replace("/?", "/link?")))
    got = []
    for message in messages:
        await link.write_message(json.dumps(message))
    while len(got) < answers:
        whole = await link.read_message()
        length = struct.unpack("<I", whole[:4])[0]
        head = json.loads(whole[4 : 4 + length])
        got.append((head["data"], whole[4 + length :]))
    link.close()
    return got


def status(address: str, host: str = "") -> int:
    import urllib.error
    import urllib.request

    request = urllib.request.Request(address, headers={"Host": host} if host else {})
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    try:
        with opener.open(request) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_only_a_page_of_this_machine_with_the_token_is_answered(explorer):
    with served(explorer) as (address, _):
        assert address.startswith("http://127.0.0.1:")
        assert status(address) == 200
        assert status(address.partition("?")[0]) == 403
        assert status(address[:-1] + "~") == 403
        assert status(address, host="evil.example:80") == 403  # a name that was pointed here


def test_an_edit_goes_the_way_of_a_widgets_and_is_in_the_journal(explorer, tmp_path):
    with served(explorer) as (address, _):
        hello = {"method": "custom", "content": {"kind": "hello", "from": "x", "pending": []}}
        edit = {"kind": "edit", "command": {"op": "accept", "id": "1", "row": "p0"}}
        answers = asyncio.run(talk(address, hello, {"method": "custom", "content": edit}, answers=3))
        assert answers[0][0]["state"]["reviewer"] == "Ann"
        assert [data["content"]["kind"] for data, _ in answers[1:]] == ["state", "ack"]
        change = {"method": "update", "state": {"threshold": 0.25, "_esm": "x"}, "buffer_paths": []}
        asyncio.run(talk(address, change, hello, answers=2))
        assert explorer.threshold == 0.25 and explorer._esm != "x"
    assert read_review(tmp_path / "clip.review.jsonl")["status"].tolist() == ["accepted"]


@pytest.mark.browser
def test_two_people_are_told_apart_given_and_renamed_in_the_browser(tmp_path):
    both = pd.concat([predicted(subject="left"), predicted(subject="right")], ignore_index=True)
    options = {"duration_s": N_FRAMES / 30, "autosave": tmp_path / "r.jsonl", "threshold": 0.0}
    write_clip(tmp_path / "clip.mp4")
    explorer = Explorer(tmp_path / "clip.mp4", both, **options)
    changed = threading.Event()
    explorer.review.listeners.append(lambda *_: changed.set())
    with served(explorer) as (address, _), open_browser() as browser:
        page = new_page(browser, viewport={"width": 1366, "height": 768})
        page.goto(address)
        page.locator(".fx-inspector").wait_for()
        height = page.evaluate("document.documentElement.scrollHeight")
        page.locator(".fx-lanes").focus()
        page.keyboard.press("ArrowDown")
        person = page.get_by_label("Person", exact=True)
        person.wait_for()
        first = person.input_value()
        other = {"left": "right", "right": "left"}[first]
        person.select_option(other)
        assert changed.wait(10)
        changed.clear()
        page.on("dialog", lambda dialog: dialog.accept("Ann"))
        page.get_by_role("button", name="Rename or merge").click()
        assert changed.wait(10)
        page.locator(".fx-facts", has_text="Ann").wait_for()
        assert page.evaluate("document.documentElement.scrollHeight") == height <= 768
        rows = explorer.review.table("all")
        assert rows["subject"].value_counts().to_dict() == {
            "Ann": len(both) // 2 + 1,
            first: len(both) // 2 - 1,
        }


def test_a_message_keeps_its_buffers():
    whole = packed({"method": "custom", "content": {"kind": "é"}}, [b"ab", memoryview(b"c")])
    length = struct.unpack("<I", whole[:4])[0]
    assert json.loads(whole[4 : 4 + length])["sizes"] == [2, 1]
    assert whole[4 + length :] == b"abc"


def test_a_port_that_is_taken_is_named(explorer, tmp_path):
    with served(explorer) as (address, _):
        port = int(re.search(r":(\d+)/", address)[1])
        other = Explorer(None, predicted(), name="clip", duration_s=N_FRAMES / 30, autosave=False)
        with pytest.raises(InputError, match=f"--port {port}: .*leave it out"):
            serve(other, port=port)


# ---- from the command line, in a browser


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    write_clip(folder / "clip.mp4")
    write_csv(predicted(), folder / "found.csv")
    return folder / "clip.mp4"


@contextmanager
def reviewing(video):
    """`fedet review` in a process of its own: its address."""
    command = [sys.executable, "-m", "fedet", "review", str(video), "--no-browser", "--reviewer", "Ann",
               "--detections", str(video.with_name("found.csv")), "--threshold", "0.3"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
    try:
        address = next(m[0] for line in process.stdout if (m := re.search(r"http://\S+", line)))
        yield address, process
    finally:
        process.kill()


def first_rows(page, count=2):
    page.locator(".fx-lanes").focus()
    for _ in range(count):
        page.keyboard.press("ArrowDown")


@pytest.mark.browser
@pytest.mark.slow
def test_open_accept_correct_close_and_reopen(video):
    journal = video.with_name("clip.review.jsonl")
    with open_browser() as browser:
        with reviewing(video) as (address, process):
            page = new_page(browser, viewport={"width": 1366, "height": 768})
            problems = []
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.goto(address)
            page.locator(".fx-transport").wait_for()
            assert "token" not in page.url
            assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
            first_rows(page, 1)
            page.get_by_role("button", name="Accept").click()
            page.get_by_text("1 edit saved in clip.review.jsonl").wait_for()
            page.keyboard.press("ArrowDown")
            page.locator(".fx-emotion", has_text="surprise").click()
            page.get_by_text("2 edits saved in clip.review.jsonl").wait_for()
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0 and str(journal) in process.stdout.read()
            page.get_by_text("this tab can be closed").wait_for()
            assert problems == []
        kept = read_review(journal)
        assert sorted(kept["status"]) == ["accepted", "corrected"]
        with reviewing(video) as (address, process):
            page = new_page(browser, viewport={"width": 390, "height": 844})
            page.goto(address)
            page.get_by_text("2 of").wait_for()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            page.get_by_role("button", name="Finish").click()
            assert process.wait(30) == 0
            page.get_by_text("this tab can be closed").wait_for()
    assert read_review(journal).equals(kept)
