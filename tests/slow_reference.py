"""The protocol once more, in plain loops over rows, written apart from the package.

A row is a dict with subject, video, onset, offset, emotion (None: unknown), type and, if it is a
prediction, score. Intervals are sets of frames, thresholds and overlaps are fractions.
"""

from collections import Counter
from fractions import Fraction


def frames_of(row, inclusive=True):
    return set(range(row["onset"], row["offset"] + (1 if inclusive else 0)))


def slow_tiou(a, b, inclusive=True):
    one, other = frames_of(a, inclusive), frames_of(b, inclusive)
    return Fraction(len(one & other), len(one | other)) if one | other else Fraction(0)


def place(row):
    return row["subject"], row["video"]


def emotion_key(row, classes):
    return classes.index(row["emotion"]) if row["emotion"] is not None else -1


def slow_match(predictions, truths, threshold, classes, allowed=lambda p, t: True, **switches):
    """Pairs (prediction index, truth index) of the greedy matching."""
    inclusive = switches.get("inclusive", True)
    strict = switches.get("strict_greater", False)
    one_to_one = switches.get("one_to_one", True)
    order = sorted(
        range(len(predictions)),
        key=lambda i: (
            -predictions[i]["score"],
            predictions[i]["onset"],
            predictions[i]["offset"],
            emotion_key(predictions[i], classes),
        ),
    )
    free, pairs = set(range(len(truths))), []
    for i in order:
        p = predictions[i]
        reached = []
        for j in sorted(free):
            t = truths[j]
            if place(p) != place(t) or not allowed(p, t):
                continue
            overlap = slow_tiou(p, t, inclusive)
            if overlap > 0 and (overlap > threshold if strict else overlap >= threshold):
                tie = t["onset"], t["offset"], emotion_key(t, classes), t["type"] == "micro"
                reached.append((-overlap, *tie, j))
        for *_, j in sorted(reached)[: 1 if one_to_one else None]:
            free.discard(j)
            pairs.append((i, j))
    return pairs


def same_emotion(p, t):
    return t["emotion"] is not None and p["emotion"] == t["emotion"]


def slow_detect(predictions, truths, threshold, classes, **switches):
    """Pairs that agree in the emotion, and the predictions that count neither way."""
    pairs = slow_match(predictions, truths, threshold, classes, same_emotion, **switches)
    taken = {i for i, _ in pairs}
    rest = [i for i in range(len(predictions)) if i not in taken]
    unknown = [t for t in truths if t["emotion"] is None]
    left = [predictions[i] for i in rest]
    ignored = {rest[i] for i, _ in slow_match(left, unknown, threshold, classes, **switches)}
    return pairs, ignored


def duration_type(row, fps):
    return (
        "micro" if Fraction(row["offset"] - row["onset"] + 1) / Fraction(fps) <= Fraction(1, 2) else "macro"
    )


def slow_counts(predictions, truths, threshold, classes, fps, kind=None, **switches):
    """tp, fp, fn of spotting, overall or of one type."""
    pairs = slow_match(predictions, truths, threshold, classes, **switches)
    tp = fn = fp = 0
    for j, t in enumerate(truths):
        if kind in (None, t["type"]):
            if any(j == found for _, found in pairs):
                tp += 1
            else:
                fn += 1
    for i, p in enumerate(predictions):
        if all(i != finder for finder, _ in pairs) and kind in (None, duration_type(p, fps)):
            fp += 1
    return tp, fp, fn


def slow_f1(tp, fp, fn):
    """F1 by way of precision and recall; None where undefined."""
    if tp + fp + fn == 0:
        return None
    if tp == 0:
        return 0.0
    p, r = tp / (tp + fp), tp / (tp + fn)
    return 2 * p * r / (p + r)


def slow_detection_counts(predictions, truths, threshold, classes, **switches):
    pairs, ignored = slow_detect(predictions, truths, threshold, classes, **switches)
    labelled = sum(t["emotion"] is not None for t in truths)
    wrong = len(predictions) - len({i for i, _ in pairs}) - len(ignored)
    return len(pairs), wrong, labelled - len(pairs)


def slow_recognition(answers):
    """uf1, uar, accuracy, macro precision and STRS's F1 of a list of (true, predicted)."""
    present = sorted({true for true, _ in answers})
    if not present:
        return None
    f1s, recalls, precisions = [], [], []
    for name in present:
        hit = sum(t == name and p == name for t, p in answers)
        shown = sum(p == name for _, p in answers)
        there = sum(t == name for t, _ in answers)
        precisions.append(hit / shown if shown else 0.0)
        recalls.append(hit / there)
        f1s.append(slow_f1(hit, shown - hit, there - hit))
    p, r = sum(precisions) / len(present), sum(recalls) / len(present)
    return {
        "uf1": sum(f1s) / len(present),
        "uar": r,
        "accuracy": sum(t == p for t, p in answers) / len(answers),
        "precision": p,
        "recognition_f1": 2 * p * r / (p + r) if p + r else 0.0,
    }


def slow_typed_counts(predictions, truths, threshold, classes, fps, kind=None):
    """As `slow_counts`, where a prediction finds only events of the type of its duration."""
    pairs = slow_match(
        predictions, truths, threshold, classes, lambda p, t: duration_type(p, fps) == t["type"]
    )
    found, finding = {j for _, j in pairs}, {i for i, _ in pairs}
    of_t = [j for j, t in enumerate(truths) if kind in (None, t["type"])]
    of_p = [i for i, p in enumerate(predictions) if kind in (None, duration_type(p, fps))]
    return len(found & set(of_t)), len(set(of_p) - finding), len(set(of_t) - found)


def slow_strs_metric(predictions, truths):
    """What the program of Liong, See and Chan counts, from its description: in the order of the rows a
    prediction takes every free event of its video at tIoU 0.5; only videos with events and subjects with
    predictions exist; recognition averages over all annotated emotions. Predictions need no score."""
    people = {p["subject"] for p in predictions}
    known = [t for t in truths if t["subject"] in people]
    films = {place(t) for t in known}
    free, answers, wrong = list(known), [], 0
    for p in predictions:
        if place(p) not in films:
            continue
        hits = [t for t in free if place(t) == place(p) and slow_tiou(p, t) >= Fraction(1, 2)]
        answers += [(t["emotion"], p["emotion"]) for t in hits]
        free = [t for t in free if all(t is not hit for hit in hits)]
        wrong += not hits
    counts = len(answers), wrong, len(free)
    named = [(t, p) for t, p in answers if t is not None]
    present = {t["emotion"] for t in known} - {None}
    rows = []
    for name in present:
        hit = sum(t == p == name for t, p in named)
        shown, there = (sum(a[side] == name for a in named) for side in (1, 0))
        rows.append(
            (hit / shown if shown else 0, hit / there if there else 0, 2 * hit / max(1, shown + there))
        )
    if not named:
        return counts, None
    p, r, uf1 = (sum(column) / len(present) for column in zip(*rows, strict=True))
    return counts, {"uf1": uf1, "uar": p, "recognition_f1": 2 * p * r / (p + r) if p + r else 0.0}


def slow_ap(predictions, truths, emotion, threshold, classes, points=False, best=None, **switches):
    """Interpolated average precision of one emotion, or of all regardless of it ("spotting").

    `points`: the mean over 101 recalls. `best`: so many predictions of each video are known."""
    if emotion == "spotting":
        pairs, ignored = slow_match(predictions, truths, threshold, classes, **switches), set()
        there = len(truths)
        ours = range(len(predictions))
    else:
        pairs, ignored = slow_detect(predictions, truths, threshold, classes, **switches)
        there = sum(t["emotion"] == emotion for t in truths)
        ours = [i for i, p in enumerate(predictions) if p["emotion"] == emotion]
    if not there:
        return None
    finds = Counter(i for i, _ in pairs)

    def pooled(i):
        p = predictions[i]
        name = p["video"][0]  # that of the copied video, if it is a copy
        spot = -p["score"], p["onset"], p["offset"], p["subject"], name
        return *spot, emotion_key(p, classes), p.get("row", 0), p.get("copy", 0)

    precisions, recalls, hits, shown = [0.0], [0.0], 0, 0
    seen = Counter()
    for i in sorted(ours, key=pooled):
        seen[place(predictions[i])] += 1
        if i in ignored or (best and seen[place(predictions[i])] > best):
            continue
        hits += finds[i]
        shown += max(finds[i], 1)
        precisions.append(hits / shown)
        recalls.append(Fraction(hits, there) if points else hits / there)
    if points:
        reached = [
            [p for p, r in zip(precisions[1:], recalls[1:], strict=True) if 100 * r >= j] for j in range(101)
        ]
        return sum(max(some, default=0.0) for some in reached) / 101
    area = 0.0
    for k in range(1, len(recalls)):
        area += (recalls[k] - recalls[k - 1]) * max(precisions[k:])
    return area


def slow_kappa(answers):
    """Cohen's kappa of a list of pairs of labels; None where undefined."""
    n = len(answers)
    if not n:
        return None
    observed = Fraction(sum(a == b for a, b in answers), n)
    first, second = Counter(a for a, _ in answers), Counter(b for _, b in answers)
    chance = sum(Fraction(first[name] * second[name], n * n) for name in first)
    return None if chance == 1 else float((observed - chance) / (1 - chance))


def slow_diagnosis(predictions, truths, threshold, classes):
    """The error kind of each prediction, and the indices of the missed events."""
    pairs, ignored = slow_detect(predictions, truths, threshold, classes)
    right = {i for i, _ in pairs}
    found = {j for _, j in pairs}
    kinds, claimed = [], set()
    for i, p in enumerate(predictions):
        if i in right or i in ignored:
            kinds.append("right" if i in right else "ignored")
            continue
        near = []
        for j, t in enumerate(truths):
            if place(p) == place(t) and t["emotion"] is not None:
                overlap = slow_tiou(p, t)
                if overlap >= Fraction(1, 10):
                    tie = t["onset"], t["offset"], emotion_key(t, classes), t["type"] == "micro"
                    near.append((-overlap, p["emotion"] != t["emotion"], *tie, j))
        if not near:
            kinds.append("background")
            continue
        overlap, other, *_, j = min(near)
        if -overlap >= threshold:
            kinds.append("wrong label" if other else "double")
        else:
            kinds.append("both" if other else "localisation")
        if kinds[-1] in ("wrong label", "localisation"):
            claimed.add(j)
    missed = [
        j for j, t in enumerate(truths) if t["emotion"] is not None and j not in found and j not in claimed
    ]
    return kinds, missed


def drawn(rows, weights):
    """The rows of a resample: each subject's as often as it was drawn, in videos of their own."""
    copies = []
    for i, row in enumerate(rows):
        for k in range(int(weights[row["subject"]])):
            copies.append(row | {"video": (row["video"], k), "row": i, "copy": k})
    return copies
