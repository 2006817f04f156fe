import json
from dataclasses import asdict, replace

import pandas as pd
import pytest
from typer.testing import CliRunner

from fedet.cli.main import app
from fedet.errors import InputError
from fedet.intervals import EMOTIONS
from fedet.synthetic.benchmark import DIFFICULTIES, benchmark_config, benchmark_name, name_of
from fedet.synthetic.families import HELD_OUT
from fedet.synthetic.generator import SynthConfig, claim, write_script


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


def test_the_switch_sets_everything(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr("fedet.synthetic.generator.synthesize", lambda out, config, jobs: made.append(config))
    result = CliRunner().invoke(app, ["synth", str(tmp_path / "b"), "--benchmark", "easy"])
    assert result.exit_code == 0 and "60 videos" in result.output
    assert asdict(made[0]) == asdict(benchmark_config("easy"))
    for options, word in (
        (["--benchmark", "easy", "--seconds", "5"], "leave the other options out"),
        (["--benchmark", "brutal"], "one of easy, default, hard"),
    ):
        result = CliRunner().invoke(app, ["synth", str(tmp_path / "c"), *options])
        assert isinstance(result.exception, InputError) and word in str(result.exception)
    assert len(made) == 1


def test_a_plain_set_is_no_benchmark():
    assert benchmark_config() != SynthConfig()
    with pytest.raises(InputError, match="benchmark 'x'"):
        benchmark_config("x")
