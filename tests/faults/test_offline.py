"""No network: sockets to anything but this machine are refused, in every process, and nothing misses them."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
# Python reads a module of this name at its start, in kernels and workers too.
GUARD = """
import os, socket

def _note(address):
    host = address[0] if isinstance(address, tuple) else address
    if isinstance(host, (str, bytes)) and str(host) not in ("", "localhost", "127.0.0.1", "::1", "0.0.0.0"):
        if isinstance(address, tuple):
            with open(os.environ["FEDET_TEST_CALLS"], "a") as file:
                file.write(f"{address!r}\\n")
            raise OSError(101, "Network is unreachable")

def _guarded(inner):
    def call(self, address, *rest):
        _note(address)
        return inner(self, address, *rest)
    return call

for _name in ("connect", "connect_ex"):
    setattr(socket.socket, _name, _guarded(getattr(socket.socket, _name)))

_look_up = socket.getaddrinfo
def _getaddrinfo(host, *rest, **options):
    if host not in (None, socket.gethostname(), b"localhost"):
        _note((host, 0))
    return _look_up(host, *rest, **options)
socket.getaddrinfo = _getaddrinfo
"""


@pytest.fixture
def offline(tmp_path, monkeypatch) -> Path:
    """The file that lists what was called; it is there only if something was."""
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "guard"), str(ROOT)]))
    monkeypatch.setenv("FEDET_TEST_CALLS", str(tmp_path / "calls.txt"))
    return tmp_path / "calls.txt"


def run(*words) -> str:
    result = subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, cwd=ROOT, timeout=900
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


def test_the_guard_sees_a_call(offline):
    call = "import socket; socket.create_connection(('192.0.2.1', 80), 1)"
    result = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True)
    assert "Network is unreachable" in result.stderr and "192.0.2.1" in offline.read_text()


def test_detect_works_offline(offline, small_set, tmp_path):
    video = small_set / "videos" / "s01_01.mp4"
    run("-m", "fedet", "detect", video, "--out", tmp_path / "out")
    assert (tmp_path / "out" / "detections.csv").is_file() and not offline.exists()


@pytest.mark.slow
def test_learn_works_offline(offline, small_set, small_vectors, tmp_path):
    words = ("--out", tmp_path / "out", "--epochs", 1, "--folds", 2, "--cache", small_vectors)
    run("-m", "fedet", "learn", small_set / "videos", small_set / "annotations.csv", *words)
    assert (tmp_path / "out" / "model.safetensors").is_file() and not offline.exists()


@pytest.mark.slow
def test_a_report_of_a_notebook_works_offline(offline, tmp_path):
    cells = [
        "seed: int = 0  # of the draws",
        "import fedet\nprint(fedet.load_detector().model.config.window)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.cells[0].metadata["tags"] = ["parameters"]
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell("# A title"))
    (tmp_path / "n").mkdir()
    nbformat.write(notebook, tmp_path / "n" / "00_first.ipynb")
    call = "from fedet.report.make import make_report; import sys; from pathlib import Path\n"
    call += "folder = Path(sys.argv[1]); make_report(folder / 'out', notebooks=folder / 'n')"
    run("-c", call, tmp_path)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert "256" in (tmp_path / "out" / "report.html").read_text() and results and not offline.exists()


@pytest.mark.slow
def test_lab_starts_as_make_lab_does_and_asks_nobody_for_updates_or_news(offline, tmp_path, monkeypatch):
    """Where JupyterLab is asked for news it does not call anybody either."""
    line = re.search(r"^lab: setup\n\t(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert line[1] == "cd notebooks && ../$(BIN)/jupyter lab --config=jupyter_lab_config.py"
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [
        "-m",
        "jupyterlab",
        "--config=jupyter_lab_config.py",
        "--no-browser",
        f"--port={port}",
        "--IdentityProvider.token=test",
    ]
    log = (tmp_path / "log.txt").open("w")
    lab = subprocess.Popen([sys.executable, *words], cwd=ROOT / "notebooks", stdout=log, stderr=log)
    try:
        page = wait_for(f"http://127.0.0.1:{port}/lab?token=test")
        assert '"disabled": true' in page and "127.0.0.1" in (tmp_path / "log.txt").read_text()
        for path in ("lab/api/news", "lab/api/update", "lab/api/extensions"):
            wait_for(f"http://127.0.0.1:{port}/{path}?token=test")
    finally:
        lab.terminate()
        lab.wait(60)
        log.close()
    assert not offline.exists(), offline.read_text()


def wait_for(address: str, seconds: float = 180) -> str:
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address, timeout=20) as page:
                return page.read().decode()
        except urllib.error.HTTPError as error:
            return error.reason  # an answer, if not the page: it is off
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.5)
