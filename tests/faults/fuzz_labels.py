"""A fuzzer of the readers of label files, released sets and OpenFace: what reaches new lines changes again.

`python tests/faults/fuzz_labels.py --seconds 300 --record` runs it and writes its counts into `counts.json`.
A file either survives (every event is sound, and what is no event is in the report) or is refused with one
line; anything else counts as lost, and its bytes are kept in a folder that is printed.
"""

import argparse
import csv
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from types import FrameType

from openpyxl import Workbook
from openpyxl.utils.exceptions import IllegalCharacterError

from fedet.annotations.formats import read_labels
from fedet.annotations.table import LabelFile
from fedet.datasets.dataset import read_dataset
from fedet.errors import InputError
from fedet.video.side_signals import OPENFACE_AUS, read_openface

HERE = Path(__file__).parent
SEEDS = sorted((HERE / "seeds").iterdir())
COUNTS = HERE / "counts.json"
PAGE = HERE.parents[1] / "SECURITY.md"
LIMIT_S = 20.0  # processor time; a small file that takes longer counts as lost
TOKENS = [
    b"", b",", b";", b"\t", b"|", b'"', b"'", b"\r", b"\n\n", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf",
    b"-1", b"0", b"1e308", b"-0.0", b"nan", b"inf", b"9" * 40, b"1,5", b"00:00:01:12", b"00:01:02.5",
    b"99:99:99,999", b"-->", b"{", b"}", b"[" * 30, b"]", b"null", b"true", b"[]", b"{}", b"<", b">",
    b"</TIER>", b"&amp;", b"&#0;", b"%20", b"%", b"#", b"?", b"\\", b"../", b"file:///", b"Not found",
    b"None", b"NA", b"START", b"STOP", b"POINT", b"happy", b"micro", b"30000/1001", b"\xf0\x9f\x98\x80",
    b"u\xcc\x88", b"\xed\xa0\x80", b"=1+1", b"TIME_VALUE=", b"ts1", b"a1",
]  # fmt: skip


RELEASES = {  # the name of a released workbook -> rows in the order of its columns, written as CSV
    "CAS(ME)^2code_final.xlsx": b"""1,anger1_1,557,563,609,4+5,negative,macro-expression,anger
1,disgust1_2,30,40,0,12,positive,micro-expression,happiness
--- next sheet
folder,s15,1
folder,s16,2
--- next sheet
0101,disgust1
0401,anger1
""",
    "SAMM_LongVideos_V2_Release.xlsx": b"""Subject,Filename,Inducement Code,Onset,Apex,Offset,Duration,Type
6,006_1_1,1,10,12,20,11,Micro - 1/2
007,007_3_2,3,100,0,400,301,Macro
""",
}
OPENFACE = "frames.openface.csv"
OPENFACE_ROWS = f"frame, face_id, timestamp, confidence, success, {', '.join(OPENFACE_AUS)}\n" + "\n".join(
    f"{i}, 0, {0.04 * i:.2f}, 0.98, {i != 2:d}" + len(OPENFACE_AUS) * [", 0.1", ", -nan(ind)"][i == 2]
    for i in range(4)
)


def put(folder: Path, suffix: str, data: bytes) -> Path:
    """Writes an input; the bytes of a workbook are its cells as CSV."""
    if not suffix.endswith(".xlsx"):
        path = folder / (suffix if suffix == OPENFACE else f"x{suffix}")
        path.write_bytes(data)
        return path
    path = folder / "release" / suffix if suffix in RELEASES else folder / f"x{suffix}"
    path.parent.mkdir(exist_ok=True)
    for old in path.parent.glob("*.xlsx"):
        old.unlink()
    book = Workbook()
    csv.field_size_limit(10**7)
    sheet = book.active
    for cells in csv.reader(data.decode("utf-8", "replace").replace("\0", "").splitlines()):
        if cells[:1] == ["--- next sheet"]:
            sheet = book.create_sheet()
            continue
        try:
            sheet.append([number(cell) for cell in cells])
        except (IllegalCharacterError, ValueError):
            continue  # what no workbook can hold
    book.save(path)
    return path


def number(cell: str) -> str | float:
    """A cell as a spreadsheet stores it."""
    return float(cell) if re.fullmatch(r"-?\d{1,15}(\.\d{1,15})?", cell) else cell[:30_000]


def fault_of_input(path: Path) -> str:
    """Reads an input by its kind; what is wrong with what was read."""
    if path.name == OPENFACE:
        frames, values = read_openface(path)
        return "" if len(frames) == len(values) else "frames and values differ in number"
    if path.parent.name == "release":
        events = read_dataset(path.parent).annotations
        return "" if (events["offset"] >= events["onset"]).all() else "an interval ends before it begins"
    return fault_of(read_labels(path, fps=25))


def mutated(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """The bytes with one to four changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((1, 2, 4, 16, 64)))
        change = rng.randrange(7)
        if change == 0:
            data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        elif change == 1:
            data = data[:at] + data[end:]
        elif change == 2:
            data = data[:end] + data[at:end] * rng.choice((1, 2, 50)) + data[end:]
        elif change in (3, 4):
            data = data[:at] + rng.choice(TOKENS) + data[end if change == 3 else at :]
        elif change == 5:
            other = rng.choice(others)
            start = rng.randrange(len(other) + 1)
            data = data[:at] + other[start : start + rng.choice((8, 40, 200))] + data[at:]
        else:
            data = re.sub(rb"\d+", lambda m: rng.choice((m.group(), rng.choice(TOKENS))), data, count=8)
    return data[:20_000]


class Lines:
    """Collects which lines of the readers run one after the other."""

    def __init__(self) -> None:
        self.seen: set[tuple[int, int]] = set()
        self.last = 0

    def __call__(self, frame: FrameType, event: str, _: object):
        if not re.search("annotations|datasets|side_signals", frame.f_code.co_filename):
            return None
        here = hash((frame.f_code.co_filename, frame.f_lineno))
        self.seen.add((self.last, here))
        self.last = here
        return self


def fault_of(labels: LabelFile) -> str:
    """What is wrong with labels that were read, "" if nothing is."""
    events, n = labels.events, labels.n_annotations
    if events[["onset", "offset"]].isna().any().any() or (events["offset"] < events["onset"]).any():
        return "an interval without frames, or that ends before it begins"
    if (events["onset"] < 0).any() or events["video"].isna().any():
        return "a frame before the first, or no video"
    if n > len(events) and not len(labels.repairs):
        return f"{n} annotations, {len(events)} events and no report"
    return ""


def outcome(path: Path) -> tuple[str, str]:
    """("survived", "refused" or "lost", why)."""
    started = time.process_time()
    try:
        fault = fault_of_input(path)
    except InputError as error:
        fault, name = "" if str(error) else "refused without a word", "refused"
    except Exception as error:  # what this script looks for
        fault, name = f"{type(error).__name__}: {error}", "lost"
    else:
        name = "survived"
    if time.process_time() - started > LIMIT_S:
        fault = f"took more than {LIMIT_S:g} s"
    return ("lost", fault) if fault else (name, "")


def fuzz(
    folder: Path, seconds: float, tries: int, seed: int, with_coverage: bool = True
) -> tuple[Counter, list]:
    """Counts of outcomes, and (why, suffix, bytes) of each input that was lost."""
    rng = random.Random(seed)
    corpus = [("".join(path.suffixes), path.read_bytes()) for path in SEEDS]
    corpus += [(".xlsx", data) for suffix, data in corpus if suffix == ".csv"]
    corpus += [*RELEASES.items(), (OPENFACE, OPENFACE_ROWS.encode())]
    counts: Counter = Counter()
    lost, known, end = [], set(), time.monotonic() + seconds
    while time.monotonic() < end and sum(counts.values()) < tries:
        suffix, data = rng.choice(corpus)
        data = mutated(data, [other for _, other in corpus[-200:]], rng)
        path = put(folder, suffix, data)
        lines = Lines()
        before = sys.gettrace()
        if with_coverage:
            sys.settrace(lines)
        try:
            name, why = outcome(path)
        finally:
            sys.settrace(before)
        counts[name] += 1
        if name == "lost":
            lost.append((why, suffix, data))
        if not lines.seen <= known:
            known |= lines.seen
            corpus.append((suffix, data))
    return counts, lost


def record(suite: str, counts: Counter) -> None:
    """Writes the counts of a suite into `counts.json`, next to those of the others, and into SECURITY.md."""
    known = json.loads(COUNTS.read_text()) if COUNTS.is_file() else {}
    outcomes = {name: counts[name] for name in ("survived", "refused", "lost")}
    known[suite] = (
        {"tried": sum(outcomes.values())} | outcomes | {"date": f"{datetime.now().astimezone():%Y-%m-%d}"}
    )
    COUNTS.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
    before, rest = PAGE.read_text().split("<!-- counts -->")
    after = rest.split("<!-- /counts -->")[1]
    PAGE.write_text(f"{before}<!-- counts -->\n{counts_table(known)}<!-- /counts -->{after}")


def counts_table(known: dict[str, dict]) -> str:
    """The counts of all suites as a table for SECURITY.md."""
    lines = [
        "| suite | tried | survived | refused | lost | last run |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for suite, counts in sorted(known.items()):
        cells = [f"{counts[name]:,}" for name in ("tried", "survived", "refused", "lost")]
        lines.append(f"| {' | '.join([suite, *cells, counts['date']])} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Runs the fuzzer and prints its counts; 1 where something was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts, lost = fuzz(Path(folder), options.seconds, sys.maxsize, options.seed)
    for i, (why, suffix, data) in enumerate(lost):
        place = Path(tempfile.gettempdir(), f"fuzzed-{options.seed}-{i}-{suffix}")
        place.write_bytes(data)
        print(f"{place}: {why[:200]}")
    print(dict(counts))
    if options.record:
        record("label files, workbooks, released sets and OpenFace, fuzzed", counts)
    return int(bool(lost))


if __name__ == "__main__":
    sys.exit(main())
