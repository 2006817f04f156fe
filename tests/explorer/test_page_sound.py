"""A saved page holds its sound."""

import base64

import numpy as np
import pytest
from explorer_data import frames, predicted
from lab import new_page, open_browser

from fedet.explorer import messages
from fedet.explorer.sound_server import companded
from fedet.explorer.widget import Explorer
from fedet.video.writer import write_video


@pytest.fixture
def explorer(tmp_path):
    rate = 48_000
    sound = np.zeros(4 * rate, np.float32)
    sound[rate : 2 * rate] = 0.5 * np.sin(np.arange(rate) * 2 * np.pi * 300 / rate)
    write_video(tmp_path / "clip.mp4", frames(120), 30.0, sound=(sound, rate))
    rows = predicted().query("offset < 120")
    return Explorer(tmp_path / "clip.mp4", rows, name="clip", autosave=False)


def expanded(data: bytes) -> np.ndarray:
    curve = np.frombuffer(data, np.uint8) / 127.5 - 1
    return np.sign(curve) * np.expm1(np.abs(curve) * np.log(256)) / 255


def test_mu_law_keeps_quiet_and_loud_alike():
    wave = np.concatenate([level * np.sin(np.arange(400) / 9) for level in (0.01, 0.1, 0.9)])
    back = expanded(companded((32767 * wave).astype(np.int16)))
    assert (np.abs(back - wave) <= 0.04 * np.abs(wave) + 0.001).all()


def test_a_page_has_the_sound_up_to_its_limit(explorer, monkeypatch):
    data = messages.page_data(explorer)["soundtrack"]
    heard = expanded(base64.b64decode(data["samples"]))
    loud = np.flatnonzero(np.abs(heard) > 0.2) / 16_000
    assert loud[0] == pytest.approx(1, abs=0.05) and loud[-1] == pytest.approx(2, abs=0.05)
    assert data["notice"] == ""
    monkeypatch.setattr(messages, "PAGE_SOUND_S", 1.5)
    short = messages.page_data(explorer)["soundtrack"]
    assert len(base64.b64decode(short["samples"])) == 24_000 and "first 1.5 s" in short["notice"]
    assert short["peaks"] == data["peaks"]


@pytest.mark.browser
@pytest.mark.slow
def test_the_page_plays_it(explorer, tmp_path):
    page_file = explorer.to_html(tmp_path / "page.html")
    with open_browser() as browser:
        page = new_page(browser, viewport={"width": 1366, "height": 768})
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(page_file.as_uri())
        page.locator(".fx-transport").wait_for()
        page.wait_for_function("document.querySelector('.fx').explorer.sound.waves !== null")
        assert page.get_by_role("button", name="Sound").is_visible()
        page.evaluate("document.querySelector('.fx').explorer.sound.samples(1, 1.5)")
        page.wait_for_function("document.querySelector('.fx').explorer.sound.samples(1, 1.5) !== null")
        peak = page.evaluate("Math.max(...document.querySelector('.fx').explorer.sound.samples(1.1, 1.5))")
        assert peak == pytest.approx(0.5, abs=0.06) and problems == []
