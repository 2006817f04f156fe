"""The exported networks give torch's numbers, for batches of any size, and say how they are to be read."""

import json

import numpy as np
import pytest
import torch

from fedet.detection import Detector, Inputs
from fedet.faces.network import FaceNet, read_out_heads, vectors_of
from fedet.model import FEDN, FEDNConfig


@pytest.mark.slow
def test_exported_networks_give_the_numbers_of_torch(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from fedet.export.onnx import export_onnx

    with torch.random.fork_rng():
        torch.manual_seed(0)
        net, config = FaceNet(), FEDNConfig(input_features=8, channels=16, objectness="separate")
        net.heads = read_out_heads()
        model = FEDN(config).eval()
    detector = Detector(model, net.eval(), Inputs(), None)
    assert max(export_onnx(detector, tmp_path).values()) < 1e-3
    crops = np.random.default_rng(1).integers(0, 256, (5, 112, 112, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(tmp_path / "faces.onnx", providers=["CPUExecutionProvider"])
    vectors = session.run(["vectors"], {"crops": crops})[0]
    np.testing.assert_allclose(vectors, vectors_of(net, crops).numpy(), rtol=1e-3, atol=1e-4)
    facts = json.loads((tmp_path / "interface.json").read_text())
    assert facts["config"]["window"] == config.window and facts["inputs"]["adapt"] == Inputs().adapt
