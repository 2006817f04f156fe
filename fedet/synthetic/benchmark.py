"""The generated benchmarks: 20 people, three minutes of each, in three difficulties; and unseen people.

Intensity, confounders and noise are set so that the best method is not at its ceiling (overall spotting
F1 about 0.9, 0.7 and 0.5). A change of the generator or of a row of the table below is another benchmark
and gets another name. `unseen` measures something else: how well a detector works on the family of faces
that no network here has learned from (`fedet.synthetic.families.HELD_OUT`), 24 people with 40 seconds each.

`people60` is for headlines: 60 people with a minute each (as many frames as the difficulties have, narrower
intervals), the families that networks learn from in turn, 20 people of each, talking for almost half of the
time with faces that also move at rest. Once its figures were seen, or anything was chosen on them, these
people are a development set: each headline draws new people with a seed that is in no line of LOOKED_AT.
"""

from dataclasses import replace
from pathlib import Path

from fedet.errors import InputError
from fedet.synthetic.families import FAMILIES, HELD_OUT
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
PEOPLE60 = SynthConfig(
    subjects=60, seconds=60.0, seed=0, renderer=",".join(FAMILIES),
    confounders=Confounders(talking=3.0, fidgets=1.0),
)  # fmt: skip
FIRST_SEED, LAST_SEED = 7000, 7999  # of people60; no other set of this project uses them
# Seeds of people60 on which anything was run, and what for; add yours when you have looked.
LOOKED_AT: dict[int, str] = {7000: "development: tests and the timing of a share"}
VERSIONS = {name: row["version"] for name, row in DIFFICULTIES.items()} | {"unseen": "1", "people60": "1"}


def benchmark_config(name: str = "default", seed: int | None = None) -> SynthConfig:
    """What `fedet synth --benchmark` generates.

    Args:
        seed: of people60, FIRST_SEED to LAST_SEED; None: FIRST_SEED, the development people.

    Raises InputError on another name, and on a seed where the people are fixed.
    """
    if name not in VERSIONS:
        raise InputError(f"benchmark {name!r}: one of {', '.join(VERSIONS)}")
    if name == "people60":
        chosen = FIRST_SEED if seed is None else seed
        if not FIRST_SEED <= chosen <= LAST_SEED:
            raise InputError(f"seed {chosen}: people60 has those from {FIRST_SEED} to {LAST_SEED}")
        return replace(PEOPLE60, seed=chosen)
    if seed is not None:
        raise InputError(f"seed {seed}: the people of the benchmark {name} are fixed; leave it out")
    if name == "unseen":
        return UNSEEN
    row = DIFFICULTIES[name]
    confounders = Confounders(**row["confounders"])
    # The same people and events in all three: only how hard they are to see differs.
    return SynthConfig(**SIZE, seed=SEED, intensity=row["intensity"], confounders=confounders)


def benchmark_name(name: str = "default", seed: int | None = None) -> str:
    """The name with the versions of the generator and of the benchmark, and the seed of people60."""
    drawn = f"-seed{FIRST_SEED if seed is None else seed}" if name == "people60" else ""
    return f"fedet-benchmark-{name}-v{GENERATOR_VERSION}.{VERSIONS[name]}{drawn}"


def name_of(root: str | Path) -> tuple[str, bool]:
    """What a folder of videos is called in a results table, and whether its faces are generated."""
    root = Path(root)
    path = (root if root.is_dir() else root.parent) / "synthetic.json"
    if not path.is_file():
        return root.resolve().name, False
    config = read_config(path)
    for name in VERSIONS:
        drawn = name == "people60" and FIRST_SEED <= config["seed"] <= LAST_SEED
        seed = config["seed"] if drawn else None
        if config == config_to_json(benchmark_config(name, seed)):
            return benchmark_name(name, seed), True
    people, videos, length = config["subjects"], config["videos"], config["seconds"]
    each = f"{videos} video{'s' * (videos != 1)} of {length:g} s each"
    return f"{people} generated people, {each}, seed {config['seed']}", True
