"""Draws triangles into pixels: a z-buffer for batches of small meshes.

Every candidate pixel of every triangle is tested at once; the nearest triangle wins by the smallest
of (depth, number) packed into one integer, so that the result depends neither on order nor on batch.
"""

from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import Tensor

FAR = torch.iinfo(torch.int64).max
TOGETHER = {"cpu": 2**15}  # triangles entered at a time, to bound the memory
MANY = 2**20  # on other devices

PARTS = ("skin", "eye", "teeth", "tongue", "cavity", "hair", "ear", "cloth", "rim", "lens", "hand")


class Fragments(NamedTuple):
    """The N pixels of a batch that show something."""

    place: Tensor  # (N,) number of the pixel, picture * side^2 + row * side + column
    face: Tensor  # (N,) number of the triangle
    weight: Tensor  # (N, 3) barycentric coordinates in it

    def read(self, values: Tensor, faces: Tensor, side: int) -> Tensor:
        """Interpolates values (B, V, C) of the vertices; (N, C)."""
        n, v, c = values.shape
        corner = faces[self.face] + (self.place // side**2 * v)[:, None]
        flat = values.reshape(n * v, c)
        return sum(flat[corner[:, i]] * self.weight[:, i : i + 1] for i in range(3))


def rasterise(points: Tensor, faces: Tensor, side: int) -> Fragments:
    """Finds what each pixel shows.

    Args:
        points: (B, V, 3) column and row in pixels, and nearness (larger is nearer, about -8..8).
        faces: (F, 3) corners of the triangles, clockwise in the picture where seen from outside.
        side: of the square pictures, pixels.
    """
    n = len(points)
    a, b, c = (points[:, faces[:, i]].flatten(0, 1) for i in range(3))
    low = torch.minimum(torch.minimum(a, b), c)[:, :2].sub_(0.5).ceil_().clamp_(0, side)
    high = torch.maximum(torch.maximum(a, b), c)[:, :2].sub_(0.5).floor_().clamp_(-1, side - 1)
    seen = ((high >= low).all(1)) & (_cross(b - a, c - a) > 1e-6)
    keep = torch.nonzero(seen)[:, 0]
    tri = torch.stack([a[keep], b[keep], c[keep]], 1)
    low, high = low[keep].long(), high[keep].long()
    picture, number = keep // len(faces), keep % len(faces)
    buffer = torch.full((n * side**2,), FAR)
    for part in torch.arange(len(keep)).split(TOGETHER.get(points.device.type, MANY)):
        _fill(buffer, tri[part], low[part], high[part], picture[part], number[part], side)
    place = torch.nonzero(buffer != FAR)[:, 0]
    face = buffer[place] & 0xFFFFFF
    at = torch.stack([place % side, place % side**2 // side], 1) + 0.5
    corner = faces[face] + (place // side**2 * points.shape[1])[:, None]
    weight = _barycentric(points.reshape(-1, 3)[corner], at[:, None])[:, 0]
    return Fragments(place, face, weight)


def _cross(p: Tensor, q: Tensor) -> Tensor:
    return p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]


def _barycentric(tri: Tensor, at: Tensor) -> Tensor:
    """Coordinates (M, K, 3) of points (M, K, 2) in triangles (M, 3, 3)."""
    a, b, c = (tri[:, None, i] for i in range(3))
    whole = _cross(b - a, c - a)
    wb = (
        (at[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1])
        - (at[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])
    ) / whole
    wc = (
        (b[..., 0] - a[..., 0]) * (at[..., 1] - a[..., 1])
        - (b[..., 1] - a[..., 1]) * (at[..., 0] - a[..., 0])
    ) / whole
    return torch.stack([1 - wb - wc, wb, wc], -1)


def _fill(
    buffer: Tensor, tri: Tensor, low: Tensor, high: Tensor, picture: Tensor, number: Tensor, side: int
) -> None:
    """Enters triangles (K, 3, 3) into the buffer, testing the pixels `low` to `high` (K, 2) of each."""
    a, ab, ac = tri[:, 0], tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0]
    whole = _cross(ab, ac)[:, None]
    from_a = low + 0.5 - a[:, :2]
    # weights and depth are linear in the pixel: value at the first one, change to the right, change down
    b = torch.stack([_cross(from_a, ac), ac[:, 1], -ac[:, 0]], 1) / whole
    c = torch.stack([_cross(ab, from_a), -ab[:, 1], ab[:, 0]], 1) / whole
    depth = -(b * ab[:, 2:] + c * ac[:, 2:])
    depth[:, 0] += 8 - a[:, 2]
    wide = high[:, 0] - low[:, 0] + 1
    count = wide * (high[:, 1] - low[:, 1] + 1)
    row = torch.repeat_interleave(torch.arange(len(tri)), count)
    step = torch.arange(len(row)) - (count.cumsum(0) - count)[row]
    down = torch.div(step, wide[row], rounding_mode="floor")
    along = step - down * wide[row]
    plane = torch.cat([b, c], 1)[row]
    wb = plane[:, 0] + plane[:, 1] * along + plane[:, 2] * down
    wc = plane[:, 3] + plane[:, 4] * along + plane[:, 5] * down
    hit = torch.nonzero(torch.minimum(torch.minimum(wb, wc), 1 - wb - wc) >= -1e-5)[:, 0]
    row, along, down = row[hit], along[hit], down[hit]
    plane = depth[row]
    z = (plane[:, 0] + plane[:, 1] * along + plane[:, 2] * down).clamp(0, 16)
    key = (z * 2**32).long().bitwise_and(~0xFFFFFF) + number[row]
    place = (picture * side**2 + low[:, 1] * side + low[:, 0])[row] + down * side + along
    buffer.scatter_reduce_(0, place, key, "amin")


def normals(points: Tensor, faces: Tensor) -> Tensor:
    """Smooth unit normals (B, V, 3) of meshes with vertices (B, V, 3)."""
    a, b, c = (points[:, faces[:, i]] for i in range(3))
    flat = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(points)
    for i in range(3):
        total.index_add_(1, faces[:, i], flat)
    return torch.nn.functional.normalize(total, dim=-1, eps=1e-9)


def grid_faces(rows: int, columns: int, first: int = 0) -> Tensor:
    """Triangles (2 (rows-1) (columns-1), 3) of a grid of vertices that starts at number `first`."""
    at = torch.arange(rows * columns).view(rows, columns) + first
    a, b, c, d = at[:-1, :-1], at[:-1, 1:], at[1:, :-1], at[1:, 1:]
    return torch.cat([torch.stack([a, b, d], -1).view(-1, 3), torch.stack([a, d, c], -1).view(-1, 3)])


class Mesh:
    """Vertices of several parts, gathered."""

    def __init__(self, n: int):
        self.n, self.count = n, 0
        self.points, self.chart, self.faces, self.part, self.turns = [], [], [], [], []

    def add(
        self, part: str, points: Tensor, chart: Tensor, faces: Tensor, turns: Tensor | float = 1.0
    ) -> None:
        """Adds points (B, V, 3) with texture coordinates (V, 3) or (B, V, 3) and faces (F, 3).

        turns: (V,) how far each follows the head's turn, 0..1.
        """
        v = points.shape[1]
        self.points.append(points)
        self.chart.append(chart.expand(self.n, v, 3))
        self.faces.append(faces + self.count)
        self.part.append(torch.full((len(faces),), PARTS.index(part)))
        self.turns.append(torch.as_tensor(turns, dtype=points.dtype).expand(v))
        self.count += v

    def done(self) -> SimpleNamespace:
        return SimpleNamespace(
            points=torch.cat(self.points, 1), chart=torch.cat(self.chart, 1), faces=torch.cat(self.faces),
            part=torch.cat(self.part), turns=torch.cat(self.turns),
        )  # fmt: skip
