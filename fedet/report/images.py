"""Pictures of executed notebooks: made small enough to send, and written as files."""

import base64
import io
from pathlib import Path

import numpy as np
from nbformat import NotebookNode
from PIL import Image

from fedet.files import atomic_write

KINDS = {"image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/webp": ".webp"}
MAX_DIFFERENCE = 1.5  # mean, of 255, up to which 256 colours are enough for a drawing
JPEG_QUALITY = 80


def shrink(data: bytes) -> tuple[str, bytes]:
    """A PNG as a smaller file: drawings keep 256 colours, photographs become JPEG.

    Returns:
        MIME type and bytes; the PNG itself where that is the smallest.
    """
    image = Image.open(io.BytesIO(data))
    image = _on_white(image)
    quantized = image.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    approximation = np.asarray(quantized.convert("RGB"), float)
    best = ("image/png", data)
    if np.abs(approximation - np.asarray(image, float)).mean() <= MAX_DIFFERENCE:
        best = min(best, ("image/png", _encode(quantized, "PNG", optimize=True)), key=lambda b: len(b[1]))
    photo = ("image/jpeg", _encode(image, "JPEG", quality=JPEG_QUALITY, optimize=True))
    # JPEG blurs thin lines: it is used only where it saves much, as for photographs.
    return photo if len(photo[1]) < 0.35 * len(best[1]) else best


def thumbnail(data: bytes, width: int = 360, height: int = 220) -> bytes:
    """A picture file as a JPEG that fits into width x height pixels."""
    image = _on_white(Image.open(io.BytesIO(data)))
    image.thumbnail((width, height), Image.Resampling.LANCZOS)
    return _encode(image, "JPEG", quality=82, optimize=True)


def _on_white(image: Image.Image) -> Image.Image:
    """RGB, with transparent pixels white, as on paper."""
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _encode(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def shrink_outputs(notebook: NotebookNode) -> None:
    """Shrinks every PNG among a notebook's outputs, and drops the widgets' state, in place."""
    notebook.metadata.pop("widgets", None)
    for data in outputs_with_data(notebook):
        if "image/png" in data:
            kind, content = shrink(base64.b64decode(data.pop("image/png")))
            data[kind] = base64.b64encode(content).decode()


def outputs_with_data(notebook: NotebookNode) -> list[dict]:
    """The MIME bundles of all outputs, in order."""
    outputs = (o for cell in notebook.cells for o in cell.get("outputs", []))
    return [output["data"] for output in outputs if "data" in output]


def pictures_of(notebook: NotebookNode) -> list[tuple[str, bytes]]:
    """MIME type and bytes of each picture of a notebook, in order."""
    pictures = []
    for data in outputs_with_data(notebook):
        kind = next((kind for kind in KINDS if kind in data), None)
        if kind is not None:
            pictures.append((kind, base64.b64decode(data[kind])))
    return pictures


def write_pictures(notebook: NotebookNode, folder: Path, name: str) -> list[Path]:
    """Writes the pictures as `name_01.png` and so on, and removes older ones of that name."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{name}_[0-9][0-9].*"):
        old.unlink()
    paths = []
    for i, (kind, content) in enumerate(pictures_of(notebook), 1):
        paths.append(folder / f"{name}_{i:02d}{KINDS[kind]}")
        with atomic_write(paths[-1]) as draft:
            draft.write_bytes(content)
    return paths
