"""The heads in relief: the grid of the skin."""

import torch

from fedet.synthetic.relief.head import REACH, nodes, packed, unpacked


def test_packing_of_the_grid_can_be_undone():
    s = torch.linspace(-REACH, REACH, 101)
    torch.testing.assert_close(unpacked(packed(s)), s, atol=1e-4, rtol=1e-4)
    assert nodes(33).shape == (2, 33, 33)
    assert (nodes(33)[0].diff(dim=1) > 0).all() and (nodes(33)[1].diff(dim=0) > 0).all()
