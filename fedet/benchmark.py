"""The generated benchmark: 20 people, three minutes of each, in three difficulties.

Intensity, confounders and noise are set so that the best method is not at its ceiling (overall spotting
F1 about 0.9, 0.7 and 0.5). A change of the generator or of a row of the table below is another benchmark
and gets another name.
"""

from pathlib import Path

from fedet.errors import InputError
from fedet.synthetic import GENERATOR_VERSION, Confounders, SynthConfig, noted, plain

# Easy, version 2: with intensity 1.3 and talking, head and hand at 0.5 alone, F1 was 0.78 on ten people.
_CALM = {"talking": 0.25, "head": 0.25, "hand": 0.25, "noise": 0.5, "compression": 0.5}
DIFFICULTIES = {
    "easy": {"version": "2", "intensity": 1.5, "confounders": _CALM},
    "default": {"version": "1", "intensity": 1.0, "confounders": {}},
    "hard": {
        "version": "1",
        "intensity": 0.75,
        "confounders": {"talking": 1.5, "noise": 1.5, "compression": 2.0},
    },
}
SIZE = {"subjects": 20, "videos": 3, "seconds": 60.0, "events_per_minute": 6.0, "size": 144}
SEED = 4000  # far from the seeds of the shipped weights' training set: nobody is in both


def benchmark_config(difficulty: str = "default") -> SynthConfig:
    """What `fedet synth --benchmark` generates. Raises InputError on another difficulty."""
    if difficulty not in DIFFICULTIES:
        raise InputError(f"benchmark {difficulty!r}: one of {', '.join(DIFFICULTIES)}")
    told = DIFFICULTIES[difficulty]
    confounders = Confounders(**told["confounders"])
    # The same people and events in all three: only how hard they are to see differs.
    return SynthConfig(**SIZE, seed=SEED, intensity=told["intensity"], confounders=confounders)


def benchmark_name(difficulty: str = "default") -> str:
    """With the version of the generator and that of its row of the table above."""
    return f"fedet-benchmark-{difficulty}-v{GENERATOR_VERSION}.{DIFFICULTIES[difficulty]['version']}"


def name_of(root: str | Path) -> tuple[str, bool]:
    """What a folder of videos is called in a results table, and whether its faces are generated."""
    root = Path(root)
    place = (root if root.is_dir() else root.parent) / "synthetic.json"
    if not place.is_file():
        return root.resolve().name, False
    note = noted(place)
    for difficulty in DIFFICULTIES:
        if note == plain(benchmark_config(difficulty)):
            return benchmark_name(difficulty), True
    people, videos, length = note["subjects"], note["videos"], note["seconds"]
    each = f"{videos} video{'s' * (videos != 1)} of {length:g} s each"
    return f"{people} generated people, {each}, seed {note['seed']}", True
