"""The networks in a form that other programs run."""

from fedet import hand_on

__getattr__, __dir__ = hand_on(__name__, {"export_onnx": "onnx"})
