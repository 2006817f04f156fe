"""`fedet agree`: how far coders of the same videos agree."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedet.cli.app import Fps, Report, app, report_repairs
from fedet.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@app.command()
def agree(
    files: Annotated[
        list[Path],
        typer.Argument(help="A file for each coder, or one with a column coder or a tier for each."),
    ],
    tiou: Annotated[float, typer.Option(help="Overlap from which two events are the same.")] = 0.5,
    video: Annotated[
        Path | None, typer.Option(help="The video: its rate, name and length, where the files lack them.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the figures of all pairs as CSV here.")] = None,
    fps: Fps = None,
    as_written: Annotated[
        bool, typer.Option(show_default=False, help="The files' own labels, not mapped to four emotions.")
    ] = False,
    report: Report = None,
) -> None:
    """Compares coders: Cohen's kappa of each pair, Krippendorff's alpha of all.

    kappa_emotions compares the emotions of events that both coders marked; kappa_events also counts an
    event that only one marked as a disagreement; kappa_frames and alpha compare frame by frame, frames
    without expressions included.
    """
    from fedet.annotations.formats import read_labels
    from fedet.annotations.repairs import join_repairs
    from fedet.annotations.spellings import AS_WRITTEN
    from fedet.evaluation.coders import coders_agreement
    from fedet.files import atomic_write
    from fedet.video.reader import open_video

    if not 0 < tiou <= 1:
        raise InputError(f"--tiou {tiou}: an overlap is above 0 and at most 1")
    if out is not None and any(out.exists() and out.samefile(path) for path in files if path.exists()):
        raise InputError(f"--out {out}: is one of the files to be compared; name another file")
    opened = None if video is None else open_video(video)
    rate = fps or (opened.fps if opened else None)
    name = None if video is None else video.stem
    labels = {}
    for path in files:
        read = read_labels(path, fps=rate, video=name, emotion_map=AS_WRITTEN if as_written else None)
        read.refuse_if_nothing_is_left(path)
        labels[path] = read
    report_repairs(join_repairs(*(one.repairs for one in labels.values())), report)
    tables = coders_in({path: one.events for path, one in labels.items()})
    length = None
    if opened is not None and opened.n_frames_estimate:
        length = {name: opened.n_frames_estimate}
    found = coders_agreement(tables, tiou, length)
    print(", ".join(f"{coder}: {n} events" for coder, n in found.coders.items()))
    print(found.pairs.to_string(index=False))
    print(f"Krippendorff's alpha: {'not defined' if found.alpha is None else format(found.alpha, '.3f')}")
    if out is not None:
        with atomic_write(out) as draft:
            found.pairs.assign(alpha=found.alpha).to_csv(draft, index=False)
        print(f"written: {out}")


def coders_in(files: "dict[Path, pd.DataFrame]") -> "dict[str, pd.DataFrame]":
    """Coder -> the rows: each file is a coder, named after it, unless it holds several."""
    from fedet.evaluation.coders import coder_of

    tables = {}
    for path, table in files.items():
        coder = coder_of(table)
        several = coder.nunique() > 1
        for one in dict.fromkeys(coder) if several or len(files) == 1 else [None]:
            rows = table if one is None else table[coder == one].reset_index(drop=True)
            known = [path.stem] if one is None else [str(one), f"{path.stem}: {one}"]
            free = [label for label in (*known, str(path)) if label not in tables]
            if not free:
                raise InputError(f"{path}: is named twice; name each file once")
            tables[free[0]] = rows
    return tables
