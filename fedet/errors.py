"""The one error that a user's input can cause, and what to install where a library is missing."""

import re
from importlib import metadata

DISTRIBUTIONS = {
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "cv2": "opencv-python-headless",
    "yaml": "pyyaml",
}


class InputError(ValueError):
    """Bad input: the message quotes the value and the file and says what to do, in one line."""


def missing_library(error: ModuleNotFoundError) -> str | None:
    """What to install for a library that one of the package's extras brings; None for other modules."""
    module = (error.name or "").split(".")[0]
    library = DISTRIBUTIONS.get(module, module)
    try:
        lines = metadata.requires("fedet") or []
    except metadata.PackageNotFoundError:  # run from a folder of source files
        return None
    pairs = [re.match(r"([\w.-]+).*extra == ['\"](\w+)", line) for line in lines]
    extras = [pair[2] for pair in pairs if pair and pair[1] == library]
    if not extras:
        return None
    sizes = {extra: sum(pair[2] == extra for pair in pairs if pair) for extra in extras}
    smallest = min(extras, key=sizes.__getitem__)
    return f"{library} is not installed, which this needs: pip install 'fedet[{smallest}]'"
