"""The words of the pilot's brief, `static/pilot_<language>.yaml`; figures are filled in, never typed."""

from functools import lru_cache
from pathlib import Path

import yaml

from fedet.errors import InputError

FOLDER = Path(__file__).parent / "static"
LANGUAGES = ("en", "ja")


@lru_cache
def texts(language: str) -> dict:
    """The words of a language. Raises InputError if it is not there."""
    if language not in LANGUAGES:
        raise InputError(f"language={language!r}: choose {' or '.join(LANGUAGES)}")
    return yaml.safe_load((FOLDER / f"pilot_{language}.yaml").read_text("utf-8"))
