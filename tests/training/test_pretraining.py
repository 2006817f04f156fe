"""Pretraining: every family is drawn and judged, a drawing is kept, and learning learns."""

import json

import numpy as np
import pytest
import torch

from fedet.errors import InputError
from fedet.faces.network import load_facenet
from fedet.synthetic.families import FAMILIES, family
from fedet.training.pretraining import (
    PretrainConfig,
    augment_images,
    draw_banks,
    draw_batches,
    draw_people,
    pretrain,
)

TINY = PretrainConfig(people=24, frames=3, bank=48, sizes=(32,), batch=4, seed=3)


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_first_picture_of_each_person_shows_nothing(kind):
    images, aus, labels = draw_people(4, 3, 48, torch.Generator().manual_seed(1), kind)
    assert images.shape == (12, 3, 48, 48) and images.dtype == torch.uint8
    assert (labels.view(4, 3)[:, 0] == 0).all() and (labels >= -1).all()
    named = labels.view(4, 3)[:, 1:].flatten() > 0
    assert (aus.view(4, 3, -1)[:, 1:].flatten(0, 1)[named].amax(-1) > 0.03).all()


def test_an_unknown_family_is_refused():
    with pytest.raises(InputError, match="'clay'"):
        family("clay")


def test_every_family_teaches():
    assert PretrainConfig().families == FAMILIES


def test_a_pass_shows_everybody_once_whatever_the_family(tmp_path):
    banks = draw_banks(TINY, tmp_path, 3, TINY.people)
    assert tuple(banks) == TINY.families
    batches = list(draw_batches(list(banks.values()), TINY, 32, torch.Generator().manual_seed(0)))
    shown = torch.cat([aus for _, aus, _ in batches]).view(-1, 3 * 18)
    drawn = np.concatenate([bank["aus"].reshape(-1, 3 * 18) for bank in banks.values()])
    order = np.lexsort(shown.numpy().T), np.lexsort(drawn.T)
    assert np.array_equal(shown.numpy()[order[0]], drawn[order[1]])


def test_a_finished_drawing_is_kept(tmp_path):
    first = draw_banks(TINY, tmp_path, 3, TINY.people)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.npy")}
    again = draw_banks(TINY, tmp_path, 3, TINY.people)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.npy")} == before
    assert all(np.array_equal(first[k]["images"], again[k]["images"]) for k in TINY.families)


def test_augmentation_keeps_range_and_is_seeded():
    images = torch.randint(0, 256, (6, 3, 48, 48), dtype=torch.uint8)
    one, other = (augment_images(images, 3, 32, torch.Generator().manual_seed(2)) for _ in range(2))
    assert one.shape == (6, 3, 32, 32) and torch.equal(one, other)
    assert float(one.min()) >= 0 and float(one.max()) <= 1


class Recorded:
    """`torch.autocast`, and which of its calls were enabled."""

    def __init__(self, real):
        self.real, self.enabled = real, set()

    def __call__(self, *args, **kwargs):
        self.enabled.add(kwargs["enabled"])
        return self.real(*args, **kwargs)


def test_weights_are_written_with_figures_for_every_family(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("fedet.training.pretraining.supports_bf16", lambda device: bool(asked.append(device)))
    monkeypatch.setattr("torch.autocast", casts := Recorded(torch.autocast))
    out = pretrain(tmp_path / "faces", TINY)
    assert asked == ["cpu"] and casts.enabled == {False}  # emulated bfloat16 takes hours
    card = json.loads((out / "config.json").read_text())
    for kind in TINY.families:
        figures = card["history"][-1][kind]
        assert 0 <= figures["accuracy"] <= 1 and figures["au_error"] > 0
    assert load_facenet(out).heads is not None
    with pytest.raises(InputError, match="too few"):
        pretrain(tmp_path / "none", PretrainConfig(people=4, batch=32))
