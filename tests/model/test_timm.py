"""Backbones of timm, where it is installed: any network with feature maps."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import nn

from showtell.errors import Problem, WrongUse
from showtell.model import backbones
from showtell.model.encoder import Encoder, build_encoder
from showtell.model.options import EncoderOptions


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones, "find_spec", lambda name: None)
    for weights in ("none", "imagenet"):
        with pytest.raises(Problem, match=r"timm:test_resnet needs packages .* pip install \"\.\[timm\]\""):
            build_encoder(EncoderOptions("timm:test_resnet", weights), 64)


needs_timm = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")


@needs_timm
@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_efficientnet"])
def test_timms_own_weights_fit(name: str) -> None:
    """Also where timm gives the layers of a network cut off at a feature map other names."""
    import timm

    whole = timm.create_model(name, pretrained=False)
    encoder = Encoder(EncoderOptions(f"timm:{name}", "none"), 160)
    assert encoder.grid_shape.copies == 4 and encoder.grid_shape.rows == encoder.grid_shape.columns == 5
    encoder.backbone.load_weights(whole.state_dict(), "timm")
    mine = encoder.backbone.net.state_dict()
    assert all(any(torch.equal(tensor, other) for other in whole.state_dict().values()) for tensor in mine.values())
    assert encoder(torch.zeros(2, 3, 160, 160, dtype=torch.uint8)).shape == (2, 25, encoder.channels)


@needs_timm
def test_maps_with_channels_last_are_turned() -> None:
    encoder = Encoder(EncoderOptions("timm:test_resnet", "none"), 64)
    net = nn.Module()
    net.output_fmt = "NHWC"  # as Swin's: N x rows x columns x channels
    net.forward = lambda pictures: [torch.zeros(len(pictures), 2, 3, 8)]
    encoder.backbone.net = net
    assert encoder(torch.zeros(1, 3, 64, 64, dtype=torch.uint8)).shape == (1, 6, 8)
    assert encoder._measure()[0].columns == 3


@needs_timm
def test_what_timm_lacks_is_named() -> None:
    for weights in ("none", "imagenet"):
        with pytest.raises(WrongUse, match="nothing_like_this"):
            build_encoder(EncoderOptions("timm:nothing_like_this", weights), 64)
    with pytest.raises(WrongUse, match=r"takes no pictures of 64 pixels .* set picture_size"), torch.device("meta"):
        build_encoder(EncoderOptions("timm:vit_tiny_patch16_224", "none"), 64)
