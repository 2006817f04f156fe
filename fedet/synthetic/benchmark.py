"""The generated benchmarks: 20 people, three minutes of each, in three difficulties; and unseen people.

Intensity, confounders and noise are set so that the best method is not at its ceiling (overall spotting
F1 about 0.9, 0.7 and 0.5). A change of the generator or of a row of the table below is another benchmark
and gets another name. `unseen` asks another question: how a detector does on the family of faces that no
network here has learned from (`fedet.synthetic.families.HELD_OUT`), 24 people with 40 seconds each.
"""

from pathlib import Path

from fedet.errors import InputError
from fedet.synthetic.families import HELD_OUT
from fedet.synthetic.generator import GENERATOR_VERSION, Confounders, SynthConfig, config_to_json, read_config

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

UNSEEN = SynthConfig(subjects=24, seconds=40.0, seed=6200, renderer=HELD_OUT[0], events_per_minute=9.0)
VERSIONS = {name: row["version"] for name, row in DIFFICULTIES.items()} | {"unseen": "1"}


def benchmark_config(name: str = "default") -> SynthConfig:
    """What `fedet synth --benchmark` generates. Raises InputError on another name."""
    if name not in VERSIONS:
        raise InputError(f"benchmark {name!r}: one of {', '.join(VERSIONS)}")
    if name == "unseen":
        return UNSEEN
    row = DIFFICULTIES[name]
    confounders = Confounders(**row["confounders"])
    # The same people and events in all three: only how hard they are to see differs.
    return SynthConfig(**SIZE, seed=SEED, intensity=row["intensity"], confounders=confounders)


def benchmark_name(name: str = "default") -> str:
    """The name with the versions of the generator and of the benchmark."""
    return f"fedet-benchmark-{name}-v{GENERATOR_VERSION}.{VERSIONS[name]}"


def name_of(root: str | Path) -> tuple[str, bool]:
    """What a folder of videos is called in a results table, and whether its faces are generated."""
    root = Path(root)
    path = (root if root.is_dir() else root.parent) / "synthetic.json"
    if not path.is_file():
        return root.resolve().name, False
    config = read_config(path)
    for name in VERSIONS:
        if config == config_to_json(benchmark_config(name)):
            return benchmark_name(name), True
    people, videos, length = config["subjects"], config["videos"], config["seconds"]
    each = f"{videos} video{'s' * (videos != 1)} of {length:g} s each"
    return f"{people} generated people, {each}, seed {config['seed']}", True
