"""The shapes of encoder and decoder, and what of the encoder trains."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Literal, get_args

Grid = Literal["pooled", "dilated", "native"]

MOST_LABELS = 10
"""Of the encoder's own classifier that a caption keeps, the likeliest first."""


@dataclass(frozen=True)
class EncoderOptions:
    """The convolutional network that turns pixels into a grid of feature vectors."""

    encoder: str = "resnet50"
    """resnet18, 34, 50, 101, 152; efficientnet_lite0 (small and fast); tiny (for the built-in scenes); or timm:NAME."""
    encoder_weights: str = "imagenet"
    """imagenet (torchvision or timm downloads them; efficientnet_lite0's come from a package), none, or a .safetensors or .pt."""
    grid: Grid = "pooled"
    """pooled: 14 x 14 from the native 7 x 7, every cell four times (costs nothing); dilated: a real 14 x 14; native: 7 x 7."""
    encoder_dim: int | None = None
    """Channels of the grid; a check only, since the encoder decides (2048 for resnet50)."""
    stride_in_1x1: bool | None = None
    """ResNets of the Caffe kind stride in the first 1x1 convolution; unset reads it from the weights' metadata."""
    pixel_mean: tuple[float, float, float] | None = None
    """Mean of red, green, blue in 0..1 that the encoder subtracts; unset reads the weights' metadata, else ImageNet's."""
    pixel_std: tuple[float, float, float] | None = None
    """Standard deviation of red, green, blue in 0..1 that the encoder divides by; unset as for the mean."""
    unfrozen_groups: int = 1
    """Layer groups of the encoder that train, counted from its output; 0 freezes it, a large number trains all."""
    freeze_encoder: bool = False
    """Train the decoder only, as with unfrozen_groups 0; the encoder's outputs are then computed once and cached."""

    frozen_statistics: bool = False
    """Keep BatchNorm's means and variances in groups that train too: a small set's batches estimate them poorly."""

    @property
    def trained_groups(self) -> int:
        """Layer groups that train, counted from the output."""
        return 0 if self.freeze_encoder else self.unfrozen_groups

    def problems(self) -> list[str]:
        found = []
        if self.unfrozen_groups < 0:
            found.append(f"unfrozen_groups is {self.unfrozen_groups}; it cannot be negative.")
        if self.grid not in get_args(Grid):
            found.append(f"grid is {self.grid!r:.40}; it must be one of {', '.join(get_args(Grid))}.")
        if self.pixel_mean is not None and not all(map(isfinite, self.pixel_mean)):
            found.append(f"pixel_mean is {self.pixel_mean}; each must be a finite number.")
        if self.pixel_std is not None and not all(0 < each < inf for each in self.pixel_std):
            found.append(f"pixel_std is {self.pixel_std}; each must be above 0 and finite.")
        return found


@dataclass(frozen=True)
class DecoderOptions:
    """The LSTM with additive attention that turns a grid into words."""

    embed_size: int = 512
    """Length of a word's vector."""
    hidden_size: int = 512
    """Length of the LSTM's hidden state."""
    attention_dim: int = 512
    """Length of the vectors in which cell and state are compared."""
    grid_size: int = 0
    """Length to which a linear layer and a ReLU bring the grid's features before all else; 0 takes them as they are."""
    grid_scale: float = 1.0
    """Factor on the grid's features before all else; 2 suits those that are small numbers, as EfficientNet-Lite0's are."""
    dropout: float = 0.5
    """Share of the hidden state dropped before the vocabulary layer, in training."""
    embed_dropout: float = 0.0
    """Share of each word vector dropped, in training."""
    grid_dropout: float = 0.0
    """Share of the grid's features (with grid_size: of what it makes of them) dropped, in training."""
    word_query: bool = False
    """Let the last word too say where to look: after "a red", at what is red (Xu et al. 2015 ask the hidden state alone)."""
    deep_output: bool = False
    """Score words from hidden state, context and last word (Xu et al. 2015, equation 7), not from the hidden state alone."""
    tied_embedding: bool = False
    """With deep_output: score words by their own vectors (Press and Wolf 2017), so that rare words learn twice from each use."""
    no_repeat_ngram: int = 0
    """No run of this many words occurs twice in a caption, unless the search is told otherwise; 0 allows repetition."""

    def problems(self) -> list[str]:
        found = [
            f"{name} is {getattr(self, name)}; it must be at least 1."
            for name in ("embed_size", "hidden_size", "attention_dim")
            if getattr(self, name) < 1
        ]
        if self.grid_size < 0:
            found.append(f"grid_size is {self.grid_size}; it cannot be negative.")
        if not 0 < self.grid_scale < inf:
            found.append(f"grid_scale is {self.grid_scale}; it must be above 0 and finite.")
        if self.no_repeat_ngram < 0:
            found.append(f"no_repeat_ngram is {self.no_repeat_ngram}; it cannot be negative.")
        found += [
            f"{name} is {getattr(self, name)}; it must lie from 0 up to, but not at, 1."
            for name in ("dropout", "embed_dropout", "grid_dropout")
            if not 0 <= getattr(self, name) < 1
        ]
        if self.tied_embedding and not self.deep_output:
            found.append("tied_embedding needs deep_output, whose features are as long as a word's vector.")
        return found


@dataclass(frozen=True)
class ExportOptions:
    """A finished model, to be kept or given away: without the state of its training."""

    checkpoint: Path | None = None
    """Model file, checkpoint or model folder to export; by default the best model that was trained here."""
    vocab: Path | None = None
    """Vocabulary file, which must be the model's own; it may be left out, since the checkpoint holds its vocabulary."""
    output_dir: Path = Path("pretrained_models")
    """Folder for NAME.pt and vocab.pkl, or for the folder NAME."""
    model_name: str = "coco_captioning_pretrained"
    """NAME."""
    format: Literal["pt", "hub", "onnx"] = "pt"
    """pt: NAME.pt with vocab.pkl beside it; hub: a folder with model.safetensors, config.json, vocab.json and a model card;
    onnx: such a folder with three graphs in place of the weights, which captions without torch."""
    half: bool = False
    """Keep matrices and convolutions in half precision: half the size, and nearly always the same captions."""
    quantize: Literal["none", "int8"] = "none"
    """int8, with format onnx: graphs that take a quarter of the size, are faster, and caption a little worse."""
    calibration: Path | None = None
    """Folder of pictures of the kind to be captioned, some hundred, on which int8 measures the encoder's ranges."""
    scores: Path | None = None
    """scores.json that showtell evaluate wrote of this model, to be kept in it (and in its card) with the signatures."""
    license: str = "unknown"
    """Licence of the weights for the model card: mit, cc-by-4.0, or another identifier of the Hugging Face Hub."""
    data_license: str = "unknown"
    """Licence of the training data for the model card."""
    push_to: str | None = None
    """Repository OWNER/NAME on the Hugging Face Hub to send the folder to, with format hub."""
    quiet: bool = False
    """Print errors only."""

    def problems(self) -> list[str]:
        found = []
        if not self.model_name or self.model_name.startswith(".") or set(self.model_name) & set('/\\:*?"<>|'):
            found.append(f"model_name is {self.model_name!r}; it must be a plain name, which files get.")
        if self.format == "pt":
            found += [
                f"{name} is {getattr(self, name)}; it stands on the model card, which only the formats hub and onnx have."
                for name in ("license", "data_license")
                if getattr(self, name) != "unknown"
            ]
        if self.push_to is not None and self.format != "hub":
            found.append(f"push_to is {self.push_to}; what is sent to the Hub is a folder, so format must be hub.")
        if self.quantize != "none" and self.format != "onnx":
            found.append(f"quantize is {self.quantize}; only graphs can be quantised, so format must be onnx.")
        if self.quantize != "none" and self.half:
            found.append(f"quantize is {self.quantize}, and half is asked for; choose one of them.")
        if (self.quantize == "none") != (self.calibration is None):
            found.append("quantize int8 and calibration, a folder of pictures to measure ranges on, go together.")
        return found
