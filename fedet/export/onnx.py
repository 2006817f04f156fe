"""Both networks as ONNX files, for programs without torch: a face crop to its vector, and FEDN over a window.

What is between them is not in the files: finding the face (`fedet.faces.tracking`), the change from the
person's rest (`fedet.features`), and soft-NMS (`fedet.postprocess`). The batch norms are those of training:
a detector that adapts them to each video (`Inputs.adapt`) finds a little more than its exported copy.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fedet.detection import Detector
from fedet.errors import InputError
from fedet.faces.extraction import CROP
from fedet.faces.network import FaceNet, fold_batch_norms, normalise
from fedet.files import atomic_write
from fedet.model import FEDN

MOST_APART = 1e-3  # what the files may differ from torch, of numbers of about 1
FACES, DETECTOR, INTERFACE = "faces.onnx", "detector.onnx", "interface.json"


class CropReader(nn.Module):
    """(B, S, S, 3) uint8 RGB crops -> (B, 512) vectors and, with read-outs, (B,) `rest`."""

    def __init__(self, net: FaceNet) -> None:
        super().__init__()
        self.net = fold_batch_norms(net)

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        vectors = self.net(normalise(crops.permute(0, 3, 1, 2).float() / 255))
        return (vectors, self.net.rest(vectors)) if self.net.heads is not None else (vectors,)


class WindowReader(nn.Module):
    """(B, T, C) channels and (B, T) mask -> logits, distances and, if the detector has one, objectness."""

    def __init__(self, model: FEDN) -> None:
        super().__init__()
        self.model = model

    def forward(self, channels: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        out = self.model(channels, mask)
        return tuple(part for part in (out.class_logits, out.distances, out.objectness) if part is not None)


def export_onnx(detector: Detector, folder: str | Path) -> dict[str, float]:
    """Writes `faces.onnx`, `detector.onnx` and `interface.json`, and reads them again with onnxruntime.

    Returns:
        For each network the largest difference from torch.

    Raises InputError where a file gives other numbers than torch.
    """
    check_packages()
    folder, config = Path(folder), detector.model.config
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    crops = torch.from_numpy(rng.integers(0, 256, (2, CROP, CROP, 3), dtype=np.uint8))
    channels = torch.from_numpy(rng.normal(size=(2, config.window, config.input_features))).float()
    mask = torch.from_numpy(rng.random((2, config.window)) > 0.2)
    heads = detector.net.heads is not None
    outputs = ["class_logits", "distances", *(["objectness"] if config.objectness == "separate" else [])]
    reader, model = CropReader(detector.net).eval(), WindowReader(detector.model).eval()
    _write(folder / FACES, reader, {"crops": crops}, ["vectors", *(["rest"] if heads else [])])
    _write(folder / DETECTOR, model, {"channels": channels, "mask": mask}, outputs)
    facts = {"inputs": asdict(detector.inputs), "config": asdict(config), "crop": CROP}
    with atomic_write(folder / INTERFACE) as draft:
        draft.write_text(json.dumps(facts, indent=1, default=str) + "\n")
    apart = {
        FACES: _difference(folder / FACES, reader, {"crops": crops}),
        DETECTOR: _difference(folder / DETECTOR, model, {"channels": channels, "mask": mask}),
    }
    for name, most in apart.items():
        if not most <= MOST_APART:
            raise InputError(
                f"{folder / name}: differs from torch by {most:.2g}; use another version of onnx"
            )
    return apart


def check_packages() -> None:
    """Raises ModuleNotFoundError where one of the packages that the export needs is not installed."""
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401
    import onnxscript  # noqa: F401


def _write(path: Path, model: nn.Module, inputs: dict[str, Tensor], outputs: Sequence[str]) -> None:
    """One self-contained file, for batches of any size."""
    batch = torch.export.Dim("batch")
    with atomic_write(path) as draft:
        torch.onnx.export(
            model,
            tuple(inputs.values()),
            draft,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


@torch.inference_mode()
def _difference(path: Path, model: nn.Module, inputs: dict[str, Tensor]) -> float:
    """The largest difference of any output, on a batch of another size than that of the export."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    longer = {name: torch.cat([value, value[:1]]) for name, value in inputs.items()}
    theirs = session.run(None, {name: value.numpy() for name, value in longer.items()})
    pairs = zip(theirs, model(*longer.values()), strict=True)
    return max(float(np.abs(a - b.numpy()).max()) for a, b in pairs)
