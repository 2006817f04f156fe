"""One notebook and its report, from end to end: what `make test` runs of the suite of notebooks."""

import json

from fedet.report.make import make_report
from fedet.report.markdown import external_references


def test_the_quickstart_runs_on_a_video_into_a_page_that_opens_offline(small_set, tmp_path):
    video = small_set / "videos" / "s02_01.mp4"
    values = [f"video={video}", f"folder={tmp_path / 'data'}"]
    outcome = make_report(tmp_path / "out", only=["00"], values=values, say=lambda _: None)
    assert outcome == {"00_quickstart": "done"}
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert 'id="c-00_quickstart"' in page and not external_references(page)
    chapter = json.loads((tmp_path / "out" / "results.json").read_text("utf-8"))["notebooks"]["00_quickstart"]
    found = {figure["name"]: figure["value"] for figure in chapter["results"]}
    assert chapter["complete"] and found["expressions"] >= 1
