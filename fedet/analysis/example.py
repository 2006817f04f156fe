"""A video to look at, the user's or a generated one; for notebooks 00, 04 and 05."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fedet.annotations.table import read_csv
from fedet.errors import InputError
from fedet.video.reader import open_video


@dataclass(frozen=True)
class Example:
    """One video and, where there are any, its annotations."""

    video: Path
    truth: pd.DataFrame | None  # canonical; None: not annotated
    synthetic: bool

    @property
    def label(self) -> str:
        """For titles: generated pictures are always called so."""
        return f"{self.video.name} (generated face)" if self.synthetic else self.video.name


def open_example(
    video: str | Path = "", folder: str | Path = "../data/quickstart", seconds: float = 40.0, seed: int = 7
) -> Example:
    """The given video with the annotations.csv next to it (or one folder up), or a generated one.

    Args:
        video: a video file; empty generates one of `seconds` with `seed` below `folder`.

    Raises:
        InputError: the video or its annotations cannot be read.
    """
    if not str(video):
        from fedet.synthetic.generator import GENERATOR_VERSION, SynthConfig, synthesize

        config = SynthConfig(subjects=1, seconds=seconds, seed=seed, events_per_minute=12, silent_share=0)
        name = f"generated_v{GENERATOR_VERSION}_{seed}_{seconds:g}s"
        root = synthesize(Path(folder) / name, config, jobs=1)
        truth, _ = read_csv(root / "annotations.csv")
        # not a hidden file: a killed run may have left one, incomplete
        return Example(next((root / "videos").glob("[!.]*")), truth, True)
    path = Path(video)
    if not path.exists():
        raise InputError(f"no such video: {path}; give a path, or leave it empty for a generated one")
    for labels in (path.parent / "annotations.csv", path.parent.parent / "annotations.csv"):
        if labels.is_file():
            table, _ = read_csv(labels, fps=open_video(path).fps)
            truth = table[table["video"].isin([path.name, path.stem])]
            return Example(path, truth.assign(video=path.stem).reset_index(drop=True), False)
    return Example(path, None, False)
