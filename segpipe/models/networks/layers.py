"""Padding and upsampling whose gradients are deterministic on every device.

PyTorch's reflection padding has no deterministic gradient on CUDA, and its bilinear interpolation
gets one only through slow indexing (see the notes of :func:`torch.use_deterministic_algorithms`).
The functions here compute the same from slices, flips and sums, whose gradients are a fixed order
of additions.
"""

import torch
from torch import Tensor, nn


def reflect_pad(x: Tensor, margin: int) -> Tensor:
    """(B, C, H, W) -> (B, C, H + 2 margin, W + 2 margin), mirrored at the edges without repeating them.

    Equal to ``torch.nn.functional.pad(mode="reflect")``, and also defined where the margin exceeds the
    image: the mirror image is then mirrored again.

        >>> reflect_pad(torch.tensor([[[[1.0, 2.0, 3.0]] * 3]]), 1)[0, 0, 0]
        tensor([2., 1., 2., 3., 2.])
    """
    for dim in (2, 3):
        x = _reflect_axis(x, dim, margin)
    return x


def _reflect_axis(x: Tensor, dim: int, margin: int) -> Tensor:
    while margin > 0:
        size = x.shape[dim]
        if size < 2:
            raise ValueError(f"cannot mirror an image of shape {tuple(x.shape)}: axis {dim} has one pixel")
        step = min(margin, size - 1)
        before = x.narrow(dim, 1, step).flip(dim)
        after = x.narrow(dim, size - 1 - step, step).flip(dim)
        x = torch.cat([before, x, after], dim)
        margin -= step
    return x


def upsample_nearest(x: Tensor, factor: int) -> Tensor:
    """(B, C, H, W) -> (B, C, factor H, factor W), every pixel repeated."""
    batch, channels, height, width = x.shape
    repeated = x[:, :, :, None, :, None].expand(batch, channels, height, factor, width, factor)
    return repeated.reshape(batch, channels, height * factor, width * factor)


def upsample_bilinear(x: Tensor, factor: int) -> Tensor:
    """(B, C, H, W) -> (B, C, factor H, factor W), bilinear with ``align_corners=False``."""
    for dim in (2, 3):
        x = _stretch_axis(x, dim, factor)
    return x


def _stretch_axis(x: Tensor, dim: int, factor: int) -> Tensor:
    """Linear interpolation at ``factor`` fixed offsets around each pixel; the edge pixels are repeated."""
    size = x.shape[dim]
    previous = torch.cat([x.narrow(dim, 0, 1), x.narrow(dim, 0, size - 1)], dim)
    following = torch.cat([x.narrow(dim, 1, size - 1), x.narrow(dim, size - 1, 1)], dim)
    phases = []
    for phase in range(factor):
        offset = (phase + 0.5) / factor - 0.5  # in pixels of x, from the centre of a pixel
        phases.append(torch.lerp(x, previous if offset < 0 else following, abs(offset)))
    return torch.stack(phases, dim + 1).flatten(dim, dim + 1)


class BilinearUpsample(nn.Module):
    """:func:`upsample_bilinear` as a layer."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, factor H, factor W)."""
        return upsample_bilinear(x, self.factor)


def replace_bilinear_upsampling(network: nn.Module) -> None:
    """Put :class:`BilinearUpsample` in place of each twofold bilinear ``torch.nn.Upsample`` of a network."""
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.Upsample):
                if child.mode != "bilinear" or child.align_corners or child.scale_factor not in (2, (2, 2)):
                    raise ValueError(f"no deterministic stand-in for {child}")
                setattr(module, name, BilinearUpsample(2))
