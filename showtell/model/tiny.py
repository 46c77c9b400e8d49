"""A small network that learns to see the built-in scenes from nothing, in minutes, on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from showtell.model.backbone import Backbone


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


class Tiny(Backbone):
    """N x 3 x S x S -> N x 98 x S/8 x S/8 (14 x 14 for scenes of 112 pixels).

    A cell sees little beyond its own object, so that what attention reads of an object it must read there: with self-attention
    over the cells as many objects were named rightly, but attention no longer pointed at what the words named. What it reads
    there includes the place, in two channels of their own: relations are differences of places.
    """

    fine_grid = True

    def __init__(self) -> None:
        super().__init__()
        patches = nn.Sequential(nn.Conv2d(3, 32, 4, stride=4, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True))
        self.stem = nn.Sequential(patches, Residual(32))
        self.middle = nn.Sequential(_convolution(32, 64, stride=2), Residual(64))
        self.top = nn.Sequential(_convolution(64 + 2, 96), _convolution(96, 96))

    def forward(self, pictures: Tensor) -> Tensor:
        features = self.middle(self.stem(pictures))  # N x 64 x rows x columns
        places = _places(features)  # N x 2 x rows x columns
        return torch.cat([self.top(torch.cat([features, places], dim=1)), FAR * places], dim=1)

    def layer_groups(self) -> dict[str, nn.Module]:
        """Groups of layers by name, from input to output."""
        return {"stem": self.stem, "middle": self.middle, "top": self.top}


FAR = 4.0
"""How far from the middle the edges lie in the channels of place, so that these weigh as much as other features do."""


def _places(features: Tensor) -> Tensor:
    """Two channels that tell each cell where it lies, -1 to 1 (Liu et al. 2018)."""
    n, _, rows, columns = features.shape
    y = torch.linspace(-1, 1, rows, device=features.device, dtype=features.dtype).view(1, 1, rows, 1)
    x = torch.linspace(-1, 1, columns, device=features.device, dtype=features.dtype).view(1, 1, 1, columns)
    return torch.cat([x.expand(n, 1, rows, columns), y.expand(n, 1, rows, columns)], dim=1)
