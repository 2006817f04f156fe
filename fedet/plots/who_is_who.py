"""The strip "who is who": each person of a video with a picture, how long they are seen, and when."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fedet.plots.style import INK
from fedet.plots.thumbnails import mosaic

if TYPE_CHECKING:
    from fedet.detection import Detections

ACROSS, LEAST = 8, 2  # people in a row, at most and at least
WIDTH = 1.55  # inches for each


def people_table(detections: "Detections") -> pd.DataFrame:
    """A row for each person: subject, video, seconds seen, their share of the video, first and last second
    seen, the number of expressions, and whether the face never moves."""
    rows = []
    for one in detections.people:
        seen = np.flatnonzero(one.person.faces.mask) / 30
        rows.append({
            "video": detections.video, "subject": one.name, "seen_s": round(one.person.seconds, 2),
            "share": round(one.person.seconds / max(detections.seconds, 1e-9), 3),
            "first_s": round(float(seen.min(initial=np.inf)), 2), "last_s": round(float(seen.max()), 2),
            "expressions": len(one.detections), "never_moves": one.person.seems_still,
        })  # fmt: skip
    return pd.DataFrame(rows)


def plot_who_is_who(detections: "Detections", blur: bool = False) -> Axes:
    """Draws the strip; returns the first person's axes.

    Args:
        detections: with `people`, as `fedet.detect(..., people="all")` gives them.
        blur: makes the faces unrecognisable.
    """
    import matplotlib.pyplot as plt

    people = people_table(detections)
    across = max(LEAST, min(ACROSS, len(people)))
    down = -(-len(people) // across)
    fig, axes = plt.subplots(
        down * 2, across, squeeze=False, figsize=(across * WIDTH, down * 2.2 + 0.25), layout="constrained",
        height_ratios=[1, 0.06] * down,
    )  # fmt: skip
    fig.get_layout_engine().set(w_pad=0.05, h_pad=0.02, wspace=0, hspace=0)
    for ax in axes.flat:
        ax.set_axis_off()
    for number, (one, row) in enumerate(zip(detections.people, people.itertuples(), strict=True)):
        place = divmod(number, across)
        _draw_person(axes[2 * place[0], place[1]], axes[2 * place[0] + 1, place[1]], one, row, blur)
    fig.suptitle(f"Who is who in {detections.video}", x=0.01, ha="left", fontsize=10, color=INK)
    return axes[0, 0]


def _draw_person(picture: Axes, bar: Axes, one, row, blur: bool) -> None:
    """A face with its name, seconds and share, and below it when it is seen."""
    picture.imshow(mosaic(one.person.thumb, 8, 8) if blur else one.person.thumb)
    name = one.name if len(one.name) <= 18 else one.name[:17] + "…"
    count = f"{row.expressions} expression{'s' * (row.expressions != 1)}"
    doubt = "\nnever moves: a picture?" if row.never_moves else ""
    picture.set_title(f"{name}\n{row.seen_s:.0f} s, {row.share:.0%}\n{count}{doubt}", fontsize=8, color=INK)
    seen = one.person.faces.mask.astype(float)
    pieces = np.array([piece.mean() for piece in np.array_split(seen, min(len(seen), 160))])
    bar.imshow(pieces[None], aspect="auto", cmap="Greys", vmin=0, vmax=1.4)
    bar.set_title("when seen", fontsize=6, color=INK, pad=2)
