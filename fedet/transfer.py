"""What was learned on one family of generated faces and tested on the other: a small stored table."""

from pathlib import Path

import pandas as pd

from fedet.errors import InputError

COLUMNS = ["family_trained", "family_tested", "emotion_or_type", "metric", "value", "low", "high", "weights"]


def read_transfer(path: str | Path | None = None) -> pd.DataFrame | None:
    """The table `COLUMNS`, the shipped one if None; None if there is none.

    Raises InputError if a column is missing or a value is no number.
    """
    path = Path(__file__).parent / "weights" / "transfer.csv" if path is None else Path(path)
    if not path.is_file():
        return None
    table = pd.read_csv(path)
    if missing := [c for c in COLUMNS if c not in table]:
        raise InputError(f"{path}: no column {missing[0]!r}; it needs {', '.join(COLUMNS)}")
    for column in ("value", "low", "high"):
        numbers = pd.to_numeric(table[column], errors="coerce")
        bad = table.index[numbers.isna() & table[column].notna()]
        if len(bad):
            cell = table.loc[bad[0], column]
            raise InputError(f"{path}: line {bad[0] + 2}, column {column!r}: {cell!r} is no number")
        table[column] = numbers
    return table[COLUMNS]
