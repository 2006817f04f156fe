"""Small random tables for the tests of the metrics: empty, tied, nested and repeated intervals."""

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from fedet.intervals import EMOTIONS
from fedet.matching import Aligned, Events

FPS = 10.0  # so that 5 frames are micro and 6 are macro
CLASSES = list(EMOTIONS[:3])
THRESHOLDS = (0.1, 0.3, 1 / 3, 0.5, 0.7, 1.0)


PLACES = [("s1", "a"), ("s1", "a"), ("s1", "b"), ("s2", "a"), ("s3", "b")]


@st.composite
def _row(draw, predicted: bool, emotions: list):
    subject, video = draw(st.sampled_from(PLACES))
    onset = draw(st.integers(0, 8))
    made = {"subject": subject, "video": video, "onset": onset}
    made["offset"] = onset + draw(st.integers(0, 9))
    made["emotion"] = draw(st.sampled_from(emotions))
    made["type"] = draw(st.sampled_from(["macro", "micro"]))
    return made | ({"score": draw(st.sampled_from([0.0, 0.25, 0.5, 1.0]))} if predicted else {})


def rows(predicted: bool, max_size: int = 12, unknown: bool = True):
    """Lists of rows; few values of everything, so that ties and overlaps abound."""
    emotions = [*CLASSES, None] if unknown else CLASSES
    return st.integers(0, max_size).flatmap(
        lambda size: st.lists(_row(predicted, emotions), min_size=size, max_size=size)
    )


def table(made) -> pd.DataFrame:
    """Rows as a canonical table, as far as scoring reads it."""
    columns = ["subject", "video", "onset", "offset", "emotion", "type", "score"]
    frame = pd.DataFrame(made, columns=columns)
    return frame.rename(columns={"type": "expression_type"}).assign(fps=FPS)


def videos() -> pd.DataFrame:
    """All six videos, so that tables without a common video can be scored."""
    names = [(subject, video) for subject in ("s1", "s2", "s3") for video in ("a", "b")]
    return pd.DataFrame(names, columns=["subject", "video"]).assign(fps=FPS)


def aligned(predictions, truths) -> Aligned:
    """What `align` makes of the tables of these rows and `videos`, without their cost."""
    listed = videos()
    code = {(v.subject, v.video): i for i, v in enumerate(listed.itertuples())}
    true = {t["emotion"] for t in truths} - {None}
    extra = {p["emotion"] for p in predictions} - true - {None}
    classes = [e for e in EMOTIONS if e in true] + sorted(extra)
    sides = []
    for made, predicted in ((predictions, True), (truths, False)):
        video = np.array([code[r["subject"], r["video"]] for r in made], int)
        onset, offset = (np.array([r[c] for r in made], int) for c in ("onset", "offset"))
        short = [
            2 * (r["offset"] - r["onset"] + 1) <= FPS if predicted else r["type"] == "micro" for r in made
        ]
        emotion = [-1 if r["emotion"] is None else classes.index(r["emotion"]) for r in made]
        score = np.array([r["score"] if predicted else np.nan for r in made], float)
        sides.append(
            Events(
                video,
                video // 2,
                onset,
                offset,
                np.array(emotion, int),
                np.array(short, bool),
                score,
            )
        )
    return Aligned(sides[0], sides[1], listed, ("s1", "s2", "s3"), tuple(classes), ())
