"""EfficientNet-Lite0: as good as a ResNet-50 at naming pictures, at a tenth of its work; the encoder of the captioner in the box.

EfficientNet-B0 (Tan and Le 2019, table 1) without squeeze-and-excitation and with ReLU6 for swish, so that small machines and
int8 run it well (Google's EfficientNet-Lite, 2020). Trained with TensorFlow, so strided convolutions pad as TensorFlow does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from showtell.model.backbone import Backbone, load_whole

EPSILON = 1e-3
"""Of its BatchNorms, as TensorFlow has it."""
CLASSES = 1000


class Stage(NamedTuple):
    """Blocks of one width; the first of them may halve the map."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STEM, HEAD = 32, 1280
STAGES = (
    Stage(1, 3, 1, 1, 16), Stage(2, 3, 2, 6, 24), Stage(2, 5, 2, 6, 40), Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112), Stage(4, 5, 2, 6, 192), Stage(1, 3, 1, 6, 320),
)  # fmt: skip


class Convolution(nn.Conv2d):
    """A convolution without bias whose output has ceil(size / stride) rows; what padding is odd goes to the right and below."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding=kernel // 2 if stride == 1 else 0, groups=groups, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        (kernel, stride), (rows, columns) = (self.kernel_size[0], self.stride[0]), features.shape[-2:]
        if stride > 1:
            down, across = (max(0, (-(-size // stride) - 1) * stride + kernel - size) for size in (rows, columns))
            features = F.pad(features, (across // 2, across - across // 2, down // 2, down - down // 2))
        return super().forward(features)


def _layer(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, bent: bool = True) -> nn.Sequential:
    """Convolution and BatchNorm, and ReLU6 where it is `bent`."""
    layers = [Convolution(inputs, outputs, kernel, stride, groups), nn.BatchNorm2d(outputs, EPSILON)]
    return nn.Sequential(*layers, nn.ReLU6(inplace=True)) if bent else nn.Sequential(*layers)


class Block(nn.Module):
    """Inverted residual (Sandler et al. 2018): widen, look around in each channel by itself, narrow; a shortcut where it fits."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = _layer(inputs, wide, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _layer(wide, wide, kernel, stride, groups=wide)
        self.project = _layer(wide, outputs, 1, bent=False)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        narrow: Tensor = self.project(self.depthwise(self.expand(features)))
        return features + narrow if self.shortcut else narrow


class EfficientNetLite0(Backbone):
    """N x 3 x S x S -> N x 1280 x S/32 x S/32 (7 x 7 for 224 pixels), values in 0..6.

    Attributes:
        classifier: ImageNet's 1,000 classes from the mean over the map; it takes no part in `forward`. All zeros once what it
            reads has been trained for something else.
    """

    chained = True
    pixel_mean, pixel_std = (127 / 255,) * 3, (128 / 255,) * 3  # it takes (x - 127) / 128 of RGB in 0..255

    def __init__(self) -> None:
        super().__init__()
        self.stem = _layer(3, STEM, 3, stride=2)
        channels = STEM
        for number, stage in enumerate(STAGES, 1):
            blocks = []
            for index in range(stage.blocks):
                stride = stage.stride if index == 0 else 1
                blocks.append(Block(channels, stage.channels, stage.kernel, stride, stage.expansion))
                channels = stage.channels
            self.add_module(f"stage{number}", nn.Sequential(*blocks))
        self.head = _layer(channels, HEAD, 1)
        self.classifier = nn.Linear(HEAD, CLASSES)

    def forward(self, pictures: Tensor) -> Tensor:
        for group in self.layer_groups().values():
            pictures = group(pictures)
        return pictures

    @property
    def knows_classes(self) -> bool:
        """Whether the classifier has not been forgotten."""
        return bool(self.classifier.weight.any())

    def classify(self, grid: Tensor) -> Tensor:
        """Log-probabilities of ImageNet's classes (N x 1000) from the map as a grid (N x cells x 1280)."""
        return torch.log_softmax(self.classifier(grid.mean(dim=1)), dim=-1)

    def forget_classes(self) -> None:
        """Makes the classifier zeros: what it was trained on is about to change."""
        nn.init.zeros_(self.classifier.weight)

    def layer_groups(self) -> dict[str, nn.Module]:
        """Groups of layers by name, from input to output."""
        return {name: group for name, group in self.named_children() if name != "classifier"}

    def load_weights(self, tensors: Mapping[str, Tensor], source: str) -> None:
        """Takes the publisher's names (_conv_stem, _blocks.0._bn1 ...), or ours."""
        ours = publishers_names()
        renamed = {}
        for name, tensor in tensors.items():
            head = next((theirs for theirs in ours if name.startswith(theirs)), "")
            renamed[ours.get(head, "") + name.removeprefix(head)] = tensor
        load_whole(self, renamed, source)


def publishers_names() -> dict[str, str]:
    """Where the layers of the published weights go: the beginning of a name there, and of ours."""
    names = {"_conv_stem.": "stem.0.", "_bn0.": "stem.1.", "_conv_head.": "head.0.", "_bn1.": "head.1.", "_fc.": "classifier."}
    parts = {"_expand_conv": "expand.0", "_bn0": "expand.1", "_depthwise_conv": "depthwise.0", "_bn1": "depthwise.1"}
    parts |= {"_project_conv": "project.0", "_bn2": "project.1"}
    places = [f"stage{number}.{index}" for number, stage in enumerate(STAGES, 1) for index in range(stage.blocks)]
    names |= {
        f"_blocks.{block}.{theirs}.": f"{place}.{ours}." for block, place in enumerate(places) for theirs, ours in parts.items()
    }
    return names
