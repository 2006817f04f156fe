import json
from dataclasses import asdict, replace

import pandas as pd
import pytest
from typer.testing import CliRunner

from fedet.cli.main import app
from fedet.errors import InputError
from fedet.intervals import AU_INDEX, EMOTIONS
from fedet.synthetic.benchmark import DIFFICULTIES, benchmark_config, benchmark_name, name_of
from fedet.synthetic.families import FAMILIES, HELD_OUT
from fedet.synthetic.generator import SynthConfig, claim, draw_frames, synthesize, write_script


def test_difficulties_show_the_same_events_and_differ_in_how_hard_they_are_to_see():
    scripts = {
        name: write_script(replace(benchmark_config(name), seconds=30.0), 3, 1) for name in DIFFICULTIES
    }
    easy, default, hard = (scripts[name].events for name in ("easy", "default", "hard"))
    for other in (default, hard):
        columns = ["onset", "offset", "emotion", "expression_type", "subject", "video"]
        assert easy[columns].equals(other[columns])
    configs = [benchmark_config(name) for name in ("easy", "default", "hard")]
    assert configs[0].intensity > configs[1].intensity > configs[2].intensity
    for config in configs:
        assert (config.subjects, config.videos, config.seconds) == (20, 3, 60.0)


def test_names_have_versions_and_are_known_again(tmp_path):
    names = {benchmark_name(d) for d in DIFFICULTIES}
    assert len(names) == 3 and all("-v" in name for name in names)
    claim(tmp_path / "b", benchmark_config("hard"))
    assert name_of(tmp_path / "b") == (benchmark_name("hard"), True)
    place = tmp_path / "b" / "synthetic.json"
    old = {k: v for k, v in json.loads(place.read_text()).items() if k != "held_share"}
    place.write_text(json.dumps(old))  # made before there was such a field
    assert name_of(tmp_path / "b") == (benchmark_name("hard"), True)
    claim(tmp_path / "c", replace(benchmark_config("hard"), seed=1))
    name, synthetic = name_of(tmp_path / "c")
    assert synthetic and "benchmark" not in name and "seed 1" in name
    (tmp_path / "real").mkdir()
    assert name_of(tmp_path / "real") == ("real", False)


def test_unseen_people_are_of_the_family_that_no_network_knows(tmp_path):
    config = benchmark_config("unseen")
    assert config.renderer in HELD_OUT and (config.subjects, config.seconds) == (24, 40.0)
    events = pd.concat(write_script(config, s, 0).events for s in range(config.subjects))
    assert set(events["emotion"]) == set(EMOTIONS) and len(events) > 80
    assert 0.15 < (events["expression_type"] == "micro").mean() < 0.45
    claim(tmp_path / "u", config)
    assert name_of(tmp_path / "u") == (benchmark_name("unseen"), True)


def test_the_people_of_a_headline_are_drawn_anew_and_known_by_their_seed(tmp_path):
    config = benchmark_config("people60", 7001)
    assert (config.subjects, config.videos, config.seconds) == (60, 1, 60.0)
    families = [config.of_subject(s).renderer for s in range(60)]
    assert {name: families.count(name) for name in FAMILIES} == dict.fromkeys(FAMILIES, 20)
    assert not set(families) & set(HELD_OUT)
    claim(tmp_path / "a", config)
    assert name_of(tmp_path / "a") == (benchmark_name("people60", 7001), True)
    one, other = (write_script(benchmark_config("people60", seed), 0, 0) for seed in (7001, 7002))
    assert not one.events["onset"].equals(other.events["onset"])
    short = replace(config, seconds=20.0)
    talking = [
        float((write_script(short, s, 0).aus[:, 0, AU_INDEX[25]] > 0.05).float().mean()) for s in range(6)
    ]
    assert sum(talking) / 6 > 0.25
    for name, seed, word in (("people60", 12, "from 7000"), ("easy", 7001, "are fixed")):
        with pytest.raises(InputError, match=word):
            benchmark_config(name, seed)


def test_people_of_several_families_are_written_as_each_family_draws_them(tmp_path):
    mixed = SynthConfig(subjects=2, seconds=1.0, size=48, renderer="shapes,relief", seed=5)
    synthesize(tmp_path / "mixed", mixed, jobs=1, progress=False)
    for subject, name in ((0, "shapes"), (1, "relief")):
        alone = replace(mixed, renderer=name)
        assert write_script(alone, subject, 0).events.equals(write_script(mixed, subject, 0).events)
        drawn = next(draw_frames(write_script(alone, subject, 0), alone, 1))
        of_mixed = mixed.of_subject(subject)
        assert (drawn == next(draw_frames(write_script(mixed, subject, 0), of_mixed, 1))).all()
    with pytest.raises(InputError, match="renderer is 'clay'"):
        SynthConfig(renderer="shapes,clay")


def test_the_switch_sets_everything(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr("fedet.synthetic.generator.synthesize", lambda out, config, jobs: made.append(config))
    result = CliRunner().invoke(app, ["synth", str(tmp_path / "b"), "--benchmark", "easy"])
    assert result.exit_code == 0 and "60 videos" in result.output
    assert asdict(made[0]) == asdict(benchmark_config("easy"))
    for options, word in (
        (["--benchmark", "easy", "--seconds", "5"], "leave the other options out"),
        (["--benchmark", "people60", "--seed", "7001", "--size", "96"], "leave the other options out"),
        (["--benchmark", "brutal"], "one of easy, default, hard"),
    ):
        result = CliRunner().invoke(app, ["synth", str(tmp_path / "c"), *options])
        assert isinstance(result.exception, InputError) and word in str(result.exception)
    assert len(made) == 1


def test_a_plain_set_is_no_benchmark():
    assert benchmark_config() != SynthConfig()
    with pytest.raises(InputError, match="benchmark 'x'"):
        benchmark_config("x")
