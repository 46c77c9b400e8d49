"""A small network that learns to see the built-in scenes from nothing, in minutes, on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    """Two convolutions beside a shortcut (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(channels, channels), nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, features: Tensor) -> Tensor:
        """N x C x rows x columns, the same out."""
        return torch.relu(features + self.body(features))


class Mixer(nn.Module):
    """Self-attention over the cells (Vaswani et al. 2017): what a cell says of its object can depend on the other objects.

    A relation is no matter of one place; without this the decoder alone would have to find it, a glance a word.
    """

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.before_look, self.before_think = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.look, self.seen = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.think = nn.Sequential(nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels))

    def forward(self, cells: Tensor) -> Tensor:
        """N x P x C, the same out."""
        parts = self.look(self.before_look(cells)).unflatten(2, (3, self.heads, -1))  # N x P x 3 x heads x C/heads
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # each N x heads x P x C/heads
        looked = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)  # N x P x C
        cells = cells + self.seen(looked)
        mixed: Tensor = cells + self.think(self.before_think(cells))
        return mixed


class Tiny(nn.Module):
    """N x 3 x S x S -> N x 96 x S/8 x S/8 (14 x 14 for scenes of 112 pixels)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_convolution(3, 16, stride=2), _convolution(16, 32, stride=2), Residual(32))
        self.middle = nn.Sequential(_convolution(32, 64, stride=2), Residual(64))
        self.top = nn.ModuleList([_convolution(64 + 2, 96), Mixer(96)])

    def forward(self, pictures: Tensor) -> Tensor:
        features = self.middle(self.stem(pictures))  # N x 64 x rows x columns
        convolution, mixer = self.top
        features = convolution(torch.cat([features, _places(features)], dim=1))
        cells = mixer(features.flatten(2).transpose(1, 2))  # N x P x 96
        mixed: Tensor = cells.transpose(1, 2).unflatten(2, features.shape[2:])
        return mixed

    def layer_groups(self) -> dict[str, nn.Module]:
        """Groups of layers by name, from input to output."""
        return {"stem": self.stem, "middle": self.middle, "top": self.top}


def _places(features: Tensor) -> Tensor:
    """Two channels that tell each cell where it lies, -1 to 1 (Liu et al. 2018): relations are about places."""
    n, _, rows, columns = features.shape
    y = torch.linspace(-1, 1, rows, device=features.device, dtype=features.dtype).view(1, 1, rows, 1)
    x = torch.linspace(-1, 1, columns, device=features.device, dtype=features.dtype).view(1, 1, 1, columns)
    return torch.cat([x.expand(n, 1, rows, columns), y.expand(n, 1, rows, columns)], dim=1)
