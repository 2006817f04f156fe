"""The documentation site: it builds, its links lead somewhere, and it asks nothing of the network."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[1]
LINK = re.compile(r'<(?:a|link)\b[^>]*?\bhref="([^"#?]+)|<(?:img|script)\b[^>]*?\bsrc="([^"#?]+)')
LOADED = re.compile(r'<(?:link|img|script|iframe)\b[^>]*?\b(?:href|src)="(?:https?:)?//[^"]*"')


def lost_links(site: Path) -> list[str]:
    """Links of the site's pages to files that are not there."""
    lost = []
    for page in site.rglob("*.html"):
        for found in LINK.findall(page.read_text("utf-8")):
            link = unquote(found[0] or found[1])
            if re.match(r"[a-z]+:|//", link) or (page.parent / link).exists():
                continue
            lost.append(f"{page.relative_to(site)}: {link}")
    return lost


@pytest.mark.slow
def test_the_site_builds_and_its_links_lead_somewhere(tmp_path):
    pytest.importorskip("myst_nb")
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-c", "docs", ".", str(tmp_path / "html")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-2000:]
    site = tmp_path / "html"
    assert not lost_links(site)
    for name in ("index", "README", "fedet/README", "notebooks/00_quickstart", "docs/api/core", "CHANGELOG"):
        assert (site / f"{name}.html").is_file()
    outside = {m for page in site.rglob("*.html") for m in LOADED.findall(page.read_text("utf-8"))}
    assert not {tag for tag in outside if "x.org" not in tag}, "x.org stands in a docstring's example"
    assert "soft_nms" in (site / "searchindex.js").read_text("utf-8")
