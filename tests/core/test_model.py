import json
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from fedet.errors import InputError
from fedet.model import FEDN, FEDNConfig, read_config

SMALL = FEDNConfig(
    input_features=12, channels=16, attention_heads=2, window=128, window_stride=64, dropout=0.3
)
VARIANTS = {
    "paper": {},
    "stride 2": {"first_stride": 2},
    "six levels": {"pyramid_levels": 6, "window_stride": 128},
    "coupled": {"head": "coupled"},
    "separate objectness": {"objectness": "separate"},
    "no attention": {"segment_attention": False, "window_attention": False},
    "motion": {"motion": 3},
    "spotter": {"emotions": ("expression",)},
}


def model_of(seed: int = 0, **changes) -> FEDN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = FEDN(replace(SMALL, **changes)).eval()
        for parameter in model.parameters():  # biases too, so that nothing is 0 by initialisation
            parameter.data += 0.1 * torch.randn(parameter.shape)
    return model


def video_of(frames: int, batch: int = 2, seed: int = 1) -> torch.Tensor:
    return torch.randn(batch, frames, 12, generator=torch.Generator().manual_seed(seed))


def full(x: torch.Tensor) -> torch.Tensor:
    return torch.ones(x.shape[:2], dtype=torch.bool)


def levels_of(output, frames: int, config: FEDNConfig):
    """Each level's (score, distances, mask), cut out of the P axis."""
    lengths = [-(-frames // stride) for stride in config.strides]
    parts = (output.scores(), output.distances, output.mask)
    return list(zip(*(part.split(lengths, dim=1) for part in parts), strict=True))


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("frames", [1, 100, 128, 300])
def test_every_level_answers_for_every_stride_of_frames(name, frames):
    model = model_of(**VARIANTS[name])
    x = video_of(frames)
    output = model(x, full(x))
    positions = sum(-(-frames // stride) for stride in model.config.strides)
    k = len(model.config.emotions)
    assert output.class_logits.shape == (2, positions, k)
    assert output.distances.shape == (2, positions, 2)
    assert (output.distances >= 0).all()
    assert output.mask.shape == (2, positions) and output.mask.all()
    assert (output.objectness is None) == (model.config.objectness == "max_class")
    scores = output.scores()
    assert ((scores > 0) & (scores < 1)).all()


@pytest.mark.parametrize("name", VARIANTS)
def test_what_lies_under_the_mask_is_irrelevant(name):
    model = model_of(**VARIANTS[name])
    x = video_of(128)
    mask = full(x)
    mask[0, 20:47] = False
    mask[1, 100:] = False
    other = x.clone()
    other[~mask] = float("nan")
    other[1, 105:] = 1e6
    before, after = model(x, mask), model(other, mask)
    for a, b in zip(before, after, strict=True):
        assert a is b is None or torch.equal(a, b)
    assert not torch.equal(before.class_logits, model(x, full(x)).class_logits)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("frames", [37, 100, 128])
def test_padding_behind_changes_no_position_that_was_there(name, frames):
    model = model_of(**VARIANTS[name])
    x = video_of(frames)
    padded = torch.cat([x, video_of(150, seed=2)], dim=1)
    mask = full(padded)
    mask[:, frames:] = False
    short = levels_of(model(x, full(x)), frames, model.config)
    long = levels_of(model(padded, mask), frames + 150, model.config)
    for a, b in zip(short, long, strict=True):
        n = a[0].shape[1]
        torch.testing.assert_close(b[0][:, :n], a[0], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(b[1][:, :n], a[1], rtol=1e-4, atol=1e-4)
        assert b[2][:, :n].all() and not b[2][:, n:].any()
        assert (b[0][:, n:] == 0).all()


def test_padding_in_front_shifts_by_whole_grids():
    model = model_of()
    grid = model.config.grid
    assert grid == 64
    x = video_of(128)
    shifted = torch.cat([video_of(grid, seed=2), x], dim=1)
    mask = full(shifted)
    mask[:, :grid] = False
    here = levels_of(model(x, full(x)), 128, model.config)
    there = levels_of(model(shifted, mask), 128 + grid, model.config)
    for (scores, distances, _), (s, d, _), stride in zip(here, there, model.config.strides, strict=True):
        torch.testing.assert_close(s[:, grid // stride :], scores, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(d[:, grid // stride :], distances, rtol=1e-4, atol=1e-4)


def test_a_window_does_not_notice_its_batch():
    model = model_of()
    x = video_of(128, batch=5)
    mask = full(x)
    mask[3, 50:] = False
    together = model(x, mask)
    for i in range(5):
        alone = model(x[i : i + 1], mask[i : i + 1])
        torch.testing.assert_close(alone.class_logits[0], together.class_logits[i])
        torch.testing.assert_close(alone.distances[0], together.distances[i])


def test_a_wholly_masked_window_is_finite_and_scores_nothing():
    model = model_of()
    x = video_of(128).requires_grad_()
    output = model(x, torch.zeros(2, 128, dtype=torch.bool))
    assert (output.scores() == 0).all() and not output.mask.any()
    (output.class_logits.sum() + output.distances.sum()).backward()
    assert (x.grad == 0).all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_window_attention_keeps_the_magnitude_whatever_the_length():
    model = model_of()
    torch.nn.init.zeros_(model.window.conv.weight)  # even attention
    for frames in (16, 64, 512):
        x = torch.randn(1, frames, 16)
        torch.testing.assert_close(model.window(x, full(x)), x)


def test_motion_is_the_change_of_visible_frames():
    model = model_of(motion=2)
    with torch.no_grad():
        model.embedding.project.weight.zero_()
        model.embedding.project.weight[0, 12] = 1  # passes the change of feature 0 through
        model.embedding.project.bias.zero_()
    x = torch.zeros(1, 8, 12)
    x[0, :, 0] = torch.tensor([0.0, 1, 3, 6, 10, 15, 21, 28])
    mask = full(x)
    mask[0, 3] = False
    change = model.embedding(x, mask)[0, :, 0]
    assert change.tolist() == [0, 0, 3, 0, 7, 0, 11, 13]  # 3 and 5 would need the masked frame


def test_every_parameter_is_used():
    for changes in VARIANTS.values():
        model = model_of(**changes)
        x = video_of(128)
        output = model(x, full(x))
        parts = [part.float().square().sum() for part in output[:3] if part is not None]
        sum(parts).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_saved_and_loaded_it_is_the_same(tmp_path):
    model = model_of(objectness="separate", cross_class_sigma=None)
    model.embedding.scale.fill_(0.5)
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    loaded = FEDN.from_pretrained(tmp_path)
    assert loaded.config == model.config and not loaded.training
    x = video_of(128)
    for a, b in zip(model(x, full(x)), loaded(x, full(x)), strict=True):
        assert torch.equal(a, b)


def test_half_precision_halves_the_file_and_little_else(tmp_path):
    model = model_of()
    model.save_pretrained(tmp_path / "full")
    model.save_pretrained(tmp_path / "half", dtype=torch.float16)
    sizes = [(tmp_path / f / "model.safetensors").stat().st_size for f in ("full", "half")]
    assert sizes[1] < 0.7 * sizes[0]
    loaded = FEDN.from_pretrained(tmp_path / "half")
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    x = video_of(128)
    difference = (model(x, full(x)).scores() - loaded(x, full(x)).scores()).abs().max()
    assert difference < 0.01


def test_weights_that_do_not_fit_are_named(tmp_path):
    model_of().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    state = load_file(path)
    del state["head.classes.bias"]
    state["head.interval.bias"] = torch.zeros(3)
    state["stray"] = torch.zeros(1)
    save_file(state, path)
    with pytest.raises(InputError) as raised:
        FEDN.from_pretrained(tmp_path)
    for part in (
        str(path),
        "head.classes.bias is missing",
        "stray is not of this model",
        "head.interval.bias has shape (3,), not (2,)",
    ):
        assert part in str(raised.value)


@pytest.mark.parametrize(
    "name, content",
    [
        ("model.safetensors", None),
        ("model.safetensors", b"no weights at all, only text that is long enough"),
        ("config.json", None),
        ("config.json", b"{"),
        ("config.json", b"[1]"),
        ("config.json", b'{"channel": 3}'),
    ],
)
def test_a_broken_model_folder_is_told_apart(tmp_path, name, content):
    model_of().save_pretrained(tmp_path)
    path = tmp_path / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match=name):
        FEDN.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "changes, word",
    [
        ({"head": "both"}, "decoupled"),
        ({"interval_loss": "giou"}, "diou"),
        ({"first_stride": 3}, "first_stride"),
        ({"channels": 30, "attention_heads": 4}, "attention_heads=4"),
        ({"window": 200}, "multiple of 64"),
        ({"window_stride": 100}, "multiple of 64"),
        ({"window_stride": 192}, "at most window=128"),
        ({"pyramid_levels": 7}, "multiple of 256"),
        ({"segment": 12}, "multiple of 192"),
        ({"pyramid_levels": 0}, "between 1 and 12"),
        ({"dropout": 1.0}, "dropout"),
        ({"default_threshold": 1.5}, "between 0 and 1"),
        ({"emotions": ()}, "emotions"),
        ({"emotions": ("a", "a")}, "different"),
        ({"nms_sigma": 0.0}, "nms_sigma is 0.0; it must be between 0.001 and"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, word):
    with pytest.raises(InputError, match=word):
        replace(SMALL, **changes)


def test_unknown_keys_are_refused_and_known_ones_come_back(tmp_path):
    values = json.loads(json.dumps(asdict(SMALL)))
    assert FEDNConfig.from_dict(values) == SMALL
    with pytest.raises(InputError, match="unknown widnow; known are .*window_stride"):
        FEDNConfig.from_dict(values | {"widnow": 256})
    with pytest.raises(InputError, match="config.json: no such file"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"fps": "30"}, "fps is '30'; it must be a number"),
        ({"fps": None}, "fps is None; it must be a number"),
        ({"fps": float("inf")}, "fps is inf"),
        ({"window": 128.0}, "window is 128.0; it must be a whole number"),
        ({"segment": True}, "segment is True; it must be a whole number"),
        ({"window_attention": "no"}, "window_attention is 'no'; it must be true or false"),
        ({"emotions": "positive"}, "emotions is 'positive'; it must be a list, each a text"),
        ({"scales": [1, "2"]}, "scales is .*a list, each a whole number"),
        ({"cross_class_sigma": "off"}, "cross_class_sigma is 'off'; it must be a number or null"),
        ({"head": ["decoupled"]}, "head is .*a text"),
        ({"head": "both"}, "head is 'both'; choose"),
    ],
)
def test_a_config_with_values_of_another_type_names_file_and_value(tmp_path, changes, told):
    values = asdict(SMALL) | changes
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=f"config.json: {told}"):
        read_config(tmp_path)


def test_input_of_another_width_is_refused():
    with pytest.raises(InputError, match=r"\(B, T, 12\)"):
        model_of()(torch.zeros(1, 8, 13), torch.ones(1, 8, dtype=torch.bool))


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"settings": {}}'])
def test_a_damaged_note_is_named_with_the_way_out(tmp_path, text):
    from fedet.training.training import finished_run

    (tmp_path / "training.json").write_text(text)
    with pytest.raises(InputError, match=r"training\.json: damaged .*delete it to begin anew"):
        finished_run(tmp_path, {})
