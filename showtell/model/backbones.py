"""The backbones an encoder can stand on: torchvision's ResNets, EfficientNet-Lite0, timm's networks, and a tiny one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec

from torch import Tensor, nn

from showtell.errors import WrongUse, missing_extra
from showtell.model.backbone import Backbone, load_whole
from showtell.model.efficientnet_lite import EfficientNetLite0
from showtell.model.options import EncoderOptions
from showtell.model.tiny import Tiny

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")


class ResNet(Backbone):
    """torchvision's ResNet up to its last stage (He et al. 2016)."""

    chained = True

    def __init__(self, options: EncoderOptions) -> None:
        super().__init__()
        dilated = options.grid == "dilated"
        if dilated and options.encoder in ("resnet18", "resnet34"):
            raise WrongUse(f"{options.encoder} cannot be dilated: use grid pooled or native, or resnet50.")
        dilate = {"replace_stride_with_dilation": [False, False, True]} if dilated else {}
        import torchvision  # here, since it takes seconds, and the tiny encoder does without

        net = getattr(torchvision.models, options.encoder)(weights=None, **dilate)
        if options.stride_in_1x1:  # the first published form, and Caffe's; torchvision strides in the 3x3
            for stage in (net.layer2, net.layer3, net.layer4):
                first = stage[0]
                if first.conv2.stride != (1, 1):
                    first.conv1.stride, first.conv2.stride = first.conv2.stride, (1, 1)
        self.stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4

    def forward(self, pictures: Tensor) -> Tensor:
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(pictures)))))
        return features

    def layer_groups(self) -> dict[str, nn.Module]:
        return {name: getattr(self, name) for name in ("stem", "layer1", "layer2", "layer3", "layer4")}

    def load_weights(self, tensors: Mapping[str, Tensor], source: str) -> None:
        """Takes torchvision's names (conv1, bn1, layer1 ...), the classifier `fc` being left out."""
        stem = {"conv1.": "stem.0.", "bn1.": "stem.1."}
        renamed = {}
        for name, tensor in tensors.items():
            if not name.startswith("fc."):
                head = next((old for old in stem if name.startswith(old)), "")
                renamed[stem.get(head, "") + name.removeprefix(head)] = tensor
        load_whole(self, renamed, source)


class Timm(Backbone):
    """Any timm network with feature maps, up to its last one."""

    def __init__(self, options: EncoderOptions) -> None:
        super().__init__()
        import timm

        name = options.encoder.removeprefix("timm:")
        try:
            self.net = timm.create_model(name, features_only=True, pretrained=False, out_indices=(-1,))
        except (RuntimeError, AttributeError, ValueError) as error:
            raise WrongUse(f"timm has no network {name} with feature maps ({error}): see timm.list_models().") from None

    def forward(self, pictures: Tensor) -> Tensor:
        features: Tensor = self.net(pictures)[-1]
        channels_last = getattr(self.net, "output_fmt", "NCHW") == "NHWC"  # Swin's
        return features.permute(0, 3, 1, 2) if channels_last else features

    def layer_groups(self) -> dict[str, nn.Module]:
        return dict(self.net.named_children())

    def load_weights(self, tensors: Mapping[str, Tensor], source: str) -> None:
        """Takes timm's own names; the classifier and what lies behind the last feature map are left out."""
        # A network cut off at a feature map has `stages_0.` or `model.stages.0.` where the whole one has `stages.0.`.
        ours = {name.removeprefix("model.").replace(".", "_"): name for name in self.net.state_dict()}
        given = {name.replace(".", "_"): tensor for name, tensor in tensors.items()}
        load_whole(self.net, {name: given[key] for key, name in ours.items() if key in given}, source)


OURS: dict[str, Callable[[], Backbone]] = {"efficientnet_lite0": EfficientNetLite0, "tiny": Tiny}


def check_encoder(name: str) -> None:
    """See that there is an encoder of that name, before anything is downloaded for it.

    Raises:
        WrongUse: there is none.
        Problem: it is one of timm's, which is not installed.
    """
    if name.startswith("timm:"):
        if find_spec("timm") is None:
            raise missing_extra(f"The encoder {name}", "timm")
        if not re.fullmatch(r"timm:[\w.]+", name):  # timm would take hf-hub:..., and fetch what a model file names
            raise WrongUse(f"{name} is not the name of a network of timm's: see timm.list_models().")
    elif name not in (*RESNETS, *OURS):
        raise WrongUse(f"there is no encoder {name}: choose {', '.join((*RESNETS, *OURS))}, or timm:NAME.")


def build_backbone(options: EncoderOptions) -> Backbone:
    """The backbone of that name, with random weights.

    Raises:
        WrongUse, Problem: as for `check_encoder`.
    """
    check_encoder(options.encoder)
    if options.encoder in OURS:
        return OURS[options.encoder]()
    return Timm(options) if options.encoder.startswith("timm:") else ResNet(options)
