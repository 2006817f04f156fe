"""Draws triangles into pixels: a z-buffer for batches of small meshes.

Every candidate pixel of every triangle is tested at once; the nearest triangle wins by the smallest
of (depth, number) packed into one integer, so that the result depends neither on order nor on batch.
"""

from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import Tensor

FAR = torch.iinfo(torch.int64).max
TOGETHER = {"cpu": 2**13}  # triangles entered at a time: more do not fit the processor's cache
MANY = 2**20  # on other devices

PARTS = ("skin", "eye", "teeth", "tongue", "cavity", "hair", "ear", "cloth", "rim", "lens", "hand")


class Fragments(NamedTuple):
    """The N pixels of a batch that show something."""

    pixel: Tensor  # (N,) number of the pixel, picture * side^2 + row * side + column; they rise
    face: Tensor  # (N,) number of the triangle
    corner: Tensor  # (N, 3) numbers of its corners among the vertices of all pictures
    weight: Tensor  # (N, 3) barycentric coordinates in it

    def read(self, values: Tensor) -> Tensor:
        """Interpolates values (B, V, C) of the vertices; (C, N)."""
        flat = values.flatten(0, 1)
        bags = torch.nn.functional.embedding_bag
        return bags(self.corner, flat, per_sample_weights=self.weight, mode="sum").T.contiguous()


def _pick(values: Tensor, at: Tensor) -> Tensor:
    """Columns (C, M) of values (C, N) by their numbers; much quicker than an index."""
    return values.gather(1, at.expand(len(values), -1))


def rasterise(points: Tensor, faces: Tensor, side: int) -> Fragments:
    """Finds what each pixel shows.

    Args:
        points: (B, V, 3) column and row in pixels, and nearness (larger is nearer, about -8..8).
        faces: (F, 3) corners of the triangles, clockwise in the picture where seen from outside.
        side: of the square pictures, pixels.
    """
    n, v, _ = points.shape
    flat = points.view(n * v, 3).T.contiguous()
    every = (faces.T[:, None] + torch.arange(n)[:, None] * v).flatten(1)
    tri = [_pick(flat, corner) for corner in every]
    a, b, c = tri
    low = torch.minimum(torch.minimum(a, b), c)[:2].sub_(0.5).ceil_().clamp_(0, side)
    high = torch.maximum(torch.maximum(a, b), c)[:2].sub_(0.5).floor_().clamp_(-1, side - 1)
    visible = (high[0] >= low[0]) & (high[1] >= low[1]) & (_cross(b - a, c - a) > 1e-6)
    buffer = torch.full((n * side**2,), FAR)
    for chunk in torch.nonzero(visible.view(n, -1)).split(TOGETHER.get(points.device.type, MANY)):
        picture, number = chunk.T.contiguous()
        at = picture * len(faces) + number
        corners = [_pick(p, at) for p in tri]
        _fill(buffer, corners, _pick(low, at), _pick(high, at), picture * side**2, number, side)
    picture, row, column = torch.nonzero((buffer != FAR).view(n, side, side)).T.contiguous()
    pixel = picture * side**2 + row * side + column
    face = buffer.index_select(0, pixel) & 0xFFFFFF
    corner = _pick(faces.T, face) + picture * v
    weight = _barycentric([_pick(flat[:2], one) for one in corner], torch.stack([column, row]) + 0.5)
    return Fragments(pixel, face, corner.T.contiguous(), weight.T.contiguous())


def _cross(p: Tensor, q: Tensor) -> Tensor:
    return p[0] * q[1] - p[1] * q[0]


def _barycentric(tri: list[Tensor], at: Tensor) -> Tensor:
    """Coordinates (3, N) of points (2, N) in triangles of three corners (2, N)."""
    a, b, c = tri
    whole = _cross(b - a, c - a)
    wb, wc = _cross(at - a, c - a) / whole, _cross(b - a, at - a) / whole
    return torch.stack([1 - wb - wc, wb, wc])


def _fill(
    buffer: Tensor, tri: list[Tensor], low: Tensor, high: Tensor, first: Tensor, number: Tensor, side: int
) -> None:
    """Enters triangles of three corners (3, K) into the buffer, testing the pixels of their boxes.

    Args:
        low, high: (2, K) first and last column and row of the boxes.
        first: (K,) number of their picture's first pixel.
        number: (K,) of the triangles.
    """
    a, ab, ac = tri[0], tri[1] - tri[0], tri[2] - tri[0]
    whole = _cross(ab, ac)
    from_a = low + 0.5 - a[:2]
    # weights and depth are linear in the pixel: value at the first one, change to the right, change down
    b = torch.stack([_cross(from_a, ac), ac[1], -ac[0]]) / whole
    c = torch.stack([_cross(ab, from_a), -ab[1], ab[0]]) / whole
    depth = -(b * ab[2] + c * ac[2])
    depth[0] += 8 - a[2]
    wide = high[0] - low[0] + 1
    count = (wide * (high[1] - low[1] + 1)).long()
    row = torch.repeat_interleave(count)
    step = torch.arange(len(row)) - (count.cumsum(0) - count).index_select(0, row)
    *plane, wide = _pick(torch.cat([b, c, wide[None]]), row)
    down = (step / wide).floor_()
    along = step - down * wide
    wb = plane[0] + plane[1] * along + plane[2] * down
    wc = plane[3] + plane[4] * along + plane[5] * down
    hit = torch.nonzero(torch.minimum(torch.minimum(wb, wc), 1 - wb - wc) >= -1e-5)[:, 0]
    row, along, down = (value.index_select(0, hit) for value in (row, along, down))
    plane = _pick(depth, row)
    z = (plane[0] + plane[1] * along + plane[2] * down).clamp_(0, 16)
    key = (z * 2**32).long().bitwise_and_(~0xFFFFFF) + number.index_select(0, row)
    corner = first + (low[1] * side + low[0]).long()
    pixel = corner.index_select(0, row) + (down * side + along).long()
    buffer.scatter_reduce_(0, pixel, key, "amin")


def normals(points: Tensor, faces: Tensor) -> Tensor:
    """Smooth unit normals (B, V, 3) of meshes with vertices (B, V, 3)."""
    points = points.mT.contiguous()
    corners = [corner.expand(*points.shape[:2], -1) for corner in faces.T.contiguous()]
    a, b, c = (points.gather(2, corner) for corner in corners)
    flat = torch.linalg.cross(b - a, c - a, dim=1)
    total = torch.zeros_like(points)
    for corner in corners:
        total.scatter_add_(2, corner, flat)
    return unit(total, 1).mT


def unit(vectors: Tensor, dim: int = 0) -> Tensor:
    """Vectors of length 1, or 0 where there is none; much quicker than the library's norm."""
    return vectors * (vectors * vectors).sum(dim, keepdim=True).clamp_(min=1e-18).rsqrt_()


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
