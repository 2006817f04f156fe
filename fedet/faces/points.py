"""Names of the points of a face: 65 on brows, lids, nose, lips and jaw.

`left` and `right` are sides of the picture. Points of one side are numbered from the middle of the face
outwards, those of the lips from the picture's left to its right.
"""


def _of_one_side(side: str) -> list[str]:
    numbered = [f"{part}_{i + 1}" for part, n in (("brow", 5), ("upper_lid", 3), ("lower_lid", 3), ("jaw", 4))
                for i in range(n)]  # fmt: skip
    single = ["eye_inner", "eye_outer", "pupil", "nose_wing", "nostril", "mouth_corner"]
    return [f"{name}_{side}" for name in numbered + single]


LIPS = {"upper_lip": 5, "lower_lip": 5, "upper_lip_inner": 3, "lower_lip_inner": 3}  # points of each
POINTS = (
    *_of_one_side("left"), *_of_one_side("right"), *(f"nose_{i}" for i in range(1, 5)), "nose_base",
    *(f"{lip}_{i}" for lip, n in LIPS.items() for i in range(1, n + 1)), "under_lip", "chin",
)  # fmt: skip
POINT_INDEX = {name: i for i, name in enumerate(POINTS)}


def _mirrored(name: str) -> str:
    part, _, number = name.rpartition("_")
    if number in ("left", "right"):
        return f"{part}_{'right' if number == 'left' else 'left'}"
    return f"{part}_{LIPS[part] + 1 - int(number)}" if part in LIPS else name


MIRRORED = tuple(POINT_INDEX[_mirrored(name)] for name in POINTS)  # the point that each is in a mirror
