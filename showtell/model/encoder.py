"""Encoders: a picture's pixels in, a grid of feature vectors out."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from showtell.errors import WrongUse, first_line
from showtell.model.backbone import Backbone
from showtell.model.backbones import Timm, build_backbone, check_encoder
from showtell.model.grid import GridShape
from showtell.model.options import EncoderOptions
from showtell.model.weights import load_backbone_weights
from showtell.pictures import PictureOptions


class Encoder(nn.Module):
    """A convolutional backbone that takes uint8 pictures; normalisation happens in here, on the device.

    Args:
        options: which backbone, which grid, what trains. Weights are loaded by `build_encoder`, not here.
        picture_size: side S of the square pictures.

    Attributes:
        pictures: how a picture becomes the pixels that it takes, to be kept with it; not read here.
        grid_shape: rows, columns and copies of the grid.
        channels: length of a cell's feature vector.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, options: EncoderOptions, picture_size: int) -> None:
        super().__init__()
        self.options, self.picture_size = options, picture_size
        self.pictures = PictureOptions(picture_size=picture_size)
        self.backbone: Backbone = build_backbone(options).to(memory_format=torch.channels_last)
        mean, std = options.pixel_mean or self.backbone.pixel_mean, options.pixel_std or self.backbone.pixel_std
        self.register_buffer("pixel_mean", torch.tensor(mean).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("pixel_std", torch.tensor(std).view(3, 1, 1) * 255, persistent=False)
        self.grid_shape, self.channels = self._measure()
        if options.encoder_dim not in (None, self.channels):
            raise WrongUse(
                f"encoder_dim is {options.encoder_dim}, but {options.encoder} gives {self.channels} channels: "
                "set it to that, or leave it unset."
            )
        self.freeze()
        self.unfreeze(options.trained_groups)

    @torch.no_grad()
    def _measure(self) -> tuple[GridShape, int]:
        """Shape of the grid, found by looking at a black picture."""
        self.backbone.eval()
        size = self.picture_size
        try:
            channels, rows, columns = self.backbone(torch.zeros(1, 3, size, size)).shape[1:]
        except (AssertionError, RuntimeError, ValueError) as error:  # many of timm's networks are made for one size
            raise WrongUse(
                f"{self.options.encoder} takes no pictures of {size} pixels ({first_line(error)}): set picture_size."
            ) from None
        pooled = self.options.grid == "pooled" and not self.backbone.fine_grid
        return GridShape(rows, columns, copies=4 if pooled else 1), channels

    def forward(self, pixels: Tensor) -> Tensor:
        """Encodes pictures.

        Args:
            pixels: uint8, N x 3 x S x S, RGB.

        Returns:
            The grid, N x cells x channels, its different cells only: where it is pooled up from 7 x 7, these are the 49, each of
            which counts `grid_shape.copies` times; `pooled_up` writes all of them out.
        """
        features: Tensor = self.backbone(self._normal(pixels))  # N x C x rows x columns
        return features.flatten(2).transpose(1, 2)  # N x cells x C

    def _normal(self, pixels: Tensor) -> Tensor:
        normal: Tensor = (pixels.to(self.pixel_mean.dtype) - self.pixel_mean) / self.pixel_std
        return normal.contiguous(memory_format=torch.channels_last)

    def pooled_up(self, grid: Tensor) -> Tensor:
        """The grid with every copy written out: N x 49 x C -> N x 196 x C for the promised 14 x 14; unchanged without copies."""
        times = round(self.grid_shape.copies**0.5)
        square: Tensor = grid.unflatten(1, (self.grid_shape.rows, self.grid_shape.columns))
        return square.repeat_interleave(times, 1).repeat_interleave(times, 2).flatten(1, 2)

    def folded(self) -> Encoder:
        """A copy for evaluation only that sees the same in less time: each BatchNorm is part of the convolution before it.

        timm's networks are copied as they are, since not all of them compute their layers in the order in which these stand.
        """
        copied = copy.deepcopy(self).eval()
        if isinstance(copied.backbone, Timm):
            return copied
        for module in list(copied.backbone.modules()):
            for (name, layer), (after, norm) in itertools.pairwise(list(module.named_children())):
                if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    setattr(module, name, fuse_conv_bn_eval(layer, norm))
                    setattr(module, after, nn.Identity())
        return copied

    # --- cut in two: what stands still can be computed once and kept, what trains is computed at every step -------------------

    def frozen_groups(self) -> dict[str, nn.Module]:
        """The groups by name, from the input on, before the first that trains."""
        return dict(itertools.takewhile(lambda named: not _trains(named[1]), self.layer_groups().items()))

    @property
    def can_be_cut(self) -> bool:
        """Whether it may be used as `maps` and `from_maps`: its groups follow one another, and the first of them is frozen."""
        return self.backbone.chained and bool(self.frozen_groups())

    def maps(self, pixels: Tensor) -> Tensor:
        """What the frozen groups make of pictures (uint8 N x 3 x S x S): N x rows x columns x channels."""
        features = self._normal(pixels)
        for group in self.frozen_groups().values():
            features = group(features)
        return features.permute(0, 2, 3, 1)

    def from_maps(self, maps: Tensor) -> Tensor:
        """The grid from `maps`: `forward(pixels)` is `from_maps(maps(pixels))`."""
        features = maps.to(self.pixel_mean.dtype).permute(0, 3, 1, 2)  # N x channels x rows x columns, channels last in memory
        for group in list(self.layer_groups().values())[len(self.frozen_groups()) :]:
            features = group(features)
        return features.flatten(2).transpose(1, 2)  # N x cells x C

    # --- freezing ---------------------------------------------------------------------------------------------------------

    def layer_groups(self) -> dict[str, nn.Module]:
        """The groups of layers by name, from input to output: what freezing and layer-wise learning rates speak of."""
        return self.backbone.layer_groups()

    def freeze(self) -> None:
        """No weight trains, and BatchNorm statistics stand still."""
        self.requires_grad_(False)
        self.train(self.training)

    def unfreeze(self, groups: int) -> None:
        """The last `groups` groups train (all of them, if there are fewer); the others stay as they are."""
        for group in list(self.layer_groups().values())[max(0, len(self.layer_groups()) - groups) :]:
            group.requires_grad_(True)
        self.train(self.training)

    @property
    def frozen(self) -> bool:
        """Whether no weight of it trains."""
        return not _trains(self)

    def train(self, mode: bool = True) -> Encoder:
        """Training mode for the groups that train; frozen groups stay in evaluation mode, so their statistics stand still."""
        super().train(mode)
        for group in self.layer_groups().values():
            if not _trains(group):
                group.eval()
        if self.options.frozen_statistics:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self


def _trains(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


def build_encoder(options: EncoderOptions, picture_size: int) -> Encoder:
    """An encoder with the weights that the options name; what a weights file says of itself is taken over into its options.

    Raises:
        Problem: the weights cannot be had (no network, no such file), or do not fit the backbone.
        WrongUse: there is no such encoder.
    """
    check_encoder(options.encoder)
    weights = load_backbone_weights(options)
    options = replace(
        options,
        stride_in_1x1=weights.stride_in_1x1 if options.stride_in_1x1 is None else options.stride_in_1x1,
        pixel_mean=options.pixel_mean or weights.pixel_mean,
        pixel_std=options.pixel_std or weights.pixel_std,
    )
    encoder = Encoder(options, picture_size)
    if weights.tensors is not None:
        encoder.backbone.load_weights(weights.tensors, options.encoder_weights)
    return encoder
