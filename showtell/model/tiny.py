"""A small network that learns to see the built-in scenes from nothing, in minutes, on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _convolution(inputs: int, outputs: int, stride: int = 1, size: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    """Two convolutions beside a shortcut (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(channels, channels), nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(features + self.body(features))


class Tiny(nn.Module):
    """N x 3 x S x S -> N x 128 x S/8 x S/8 (14 x 14 for scenes of 112 pixels)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_convolution(3, 24, stride=2, size=5), _convolution(24, 48, stride=2))
        self.middle = nn.Sequential(_convolution(48, 96, stride=2), Residual(96))
        self.top = nn.Sequential(_convolution(98, 128), Residual(128))

    def forward(self, pictures: Tensor) -> Tensor:
        features = self.middle(self.stem(pictures))
        top: Tensor = self.top(torch.cat([features, _coordinates(features)], dim=1))
        return top

    def layer_groups(self) -> dict[str, nn.Module]:
        return {"stem": self.stem, "middle": self.middle, "top": self.top}


def _coordinates(features: Tensor) -> Tensor:
    """Two channels that tell each cell where it lies, -1 to 1 (Liu et al. 2018): relations need places."""
    n, _, rows, columns = features.shape
    y = torch.linspace(-1, 1, rows, device=features.device, dtype=features.dtype).view(1, 1, rows, 1)
    x = torch.linspace(-1, 1, columns, device=features.device, dtype=features.dtype).view(1, 1, 1, columns)
    return torch.cat([x.expand(n, 1, rows, columns), y.expand(n, 1, rows, columns)], dim=1)
