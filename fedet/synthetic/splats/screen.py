"""Splats on a screen: points with a depth become a picture, nearer ones before farther ones."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

CLOSE = 0.05  # splats less than this farther than the nearest one are blended with it, units of the face
COVERED = 0.4  # summed weight from which a pixel is opaque
FAR = -1e4  # depth where nothing is


class Splats(NamedTuple):
    """N points on each of B square screens."""

    xy: Tensor  # (B, N, 2) as shares of the screen's side, x right and y down
    depth: Tensor  # (B, N), larger is nearer
    paint: Tensor  # (B, N, 3) linear colours
    weight: Tensor  # (B, N) how much a point counts among those at the same depth; 0 is not drawn


class Spread(NamedTuple):
    """The M points that fall on a screen, and where."""

    index: Tensor  # (M,) their numbers among all B N
    first: Tensor  # (M,) the pixel up and left of them
    fraction: Tensor  # (M, 2) distance to the next pixel, 0..1
    near: Tensor  # (M,) depth
    at: Tensor  # (M,) the nearest pixel
    solid: Tensor  # (M,) bool: hides what is farther away; a thin hair does not


def splat(fine: Splats, broad: Splats, side: int) -> tuple[Tensor, Tensor]:
    """Draws points: a fine one covers a pixel of the screen, a broad one two by two.

    Returns: colours (B, 3, side, side) and opacities (B, 1, side, side), 0..1; `side` is even.
    """
    b = len(fine.depth)
    small, large = spread(fine, side), spread(broad, side // 2)
    front = F.max_pool2d(nearest(small, b, side), 3, 1, 1)
    coarse = nearest(large, b, side // 2)
    over = torch.maximum(front, F.interpolate(coarse, scale_factor=2))
    # A broad point is hidden where fine ones cover all of it.
    under = torch.maximum(F.max_pool2d(coarse, 3, 1, 1), -F.max_pool2d(-front, 2))
    sums = summed(fine, small, over, side)
    more = summed(broad, large, under, side // 2)
    return filled(sums + F.interpolate(more, scale_factor=2, mode="bilinear", align_corners=False))


def spread(s: Splats, side: int) -> Spread:
    xy = s.xy * side - 0.5
    corner = xy.floor()
    inside = (s.weight > 0) & (corner >= 0).all(-1) & (corner < side - 1).all(-1)
    index = inside.flatten().nonzero()[:, 0]
    fraction = (xy - corner).flatten(0, 1)[index]
    column, row = corner.flatten(0, 1)[index].long().unbind(1)
    first = (index // s.depth.shape[1]) * (side * side) + row * side + column
    at = first + (fraction[:, 0] > 0.5) + side * (fraction[:, 1] > 0.5)
    return Spread(index, first, fraction, s.depth.flatten()[index], at, s.weight.flatten()[index] >= 1)


def nearest(p: Spread, b: int, side: int) -> Tensor:
    """The largest depth in each pixel, (B, 1, side, side)."""
    front = p.near.new_full((b * side * side,), FAR)
    return front.scatter_reduce(0, p.at[p.solid], p.near[p.solid], "amax").view(b, 1, side, side)


def summed(s: Splats, p: Spread, front: Tensor, side: int) -> Tensor:
    """Colours times weights and the weights, (B, 4, side, side), of what is not hidden by `front`."""
    # A soft limit: what sinks behind fades instead of flickering.
    shown = ((p.near - front.flatten()[p.at]) / CLOSE + 2).clamp(0, 1)
    left = shown.nonzero()[:, 0]
    index, first, fraction = p.index[left], p.first[left], p.fraction[left]
    w = (s.weight.flatten()[index] * shown[left])[:, None]
    ink = torch.cat([s.paint.flatten(0, 1)[index] * w, w], 1)
    canvas = ink.new_zeros(len(front) * side * side, 4)
    x, y = fraction[:, :1], fraction[:, 1:]
    for shift, share in ((0, (1 - x) * (1 - y)), (1, x * (1 - y)), (side, (1 - x) * y), (side + 1, x * y)):
        canvas.index_add_(0, first + shift, ink * share)
    return canvas.view(-1, side, side, 4).permute(0, 3, 1, 2)


def filled(sums: Tensor) -> tuple[Tensor, Tensor]:
    """Colours and opacities from summed colours and weights (B, 4, S, S); small holes are closed."""
    around = F.interpolate(F.avg_pool2d(sums, 4, 2, 1), scale_factor=2, mode="bilinear", align_corners=False)
    thin = (1 - sums[:, 3:] / COVERED).clamp(0, 1) * (around[:, 3:] > 0.6 * COVERED)
    sums = sums + thin * around
    alpha = (sums[:, 3:] / COVERED).clamp(0, 1)
    return sums[:, :3] / sums[:, 3:].clamp(min=1e-4), alpha
