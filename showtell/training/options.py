"""How a captioner is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from showtell.machine import Device

Monitor = Literal["val_loss", "cider", "bleu4"]
WordsFrom = Literal["auto", "model", "data", "both"]
Precision = Literal["auto", "float32", "bf16"]


LARGEST_RATE = 100.0
"""A learning rate beyond this is a slip of the pen."""


@dataclass(frozen=True)
class TrainingOptions:
    """The training run: where it lies, how long it lasts, how the weights move."""

    output_dir: Path = Path("checkpoints")
    """Folder of the run: log, settings, best_model.pt and last_model.pt."""
    vocab: Path | None = Path("vocab.pkl")
    """Vocabulary file; built from the training captions if it is not there. Fine-tuning takes none but the model's own."""
    resume: bool = False
    """Go on with the run in output_dir, exactly where its last checkpoint stands."""
    overwrite: bool = False
    """Start anew in a folder that holds another run (its checkpoints are replaced)."""
    pretrained_path: Path | None = None
    """Model file to start from, or box: its weights, of encoder and decoder, in place of ImageNet's and random ones."""
    epochs: int = 50
    """Passes over the training pictures at most; early stopping may end it sooner."""
    batch_size: int = 32
    """Pictures in a batch, each with all its captions."""
    captions_per_picture: int = 0
    """Captions of each picture that an epoch uses, drawn anew every time; 0 uses all."""
    accumulate: int = 1
    """Batches whose gradients are added up before a step."""
    optimizer: Literal["adam", "adamw", "muon"] = "adam"
    """The optimiser; adamw decays weights by weight_decay apart from the gradient; muon does, and suits training from nothing."""
    learning_rate: float = 4e-4
    """Learning rate of the decoder."""
    encoder_learning_rate: float = 1e-4
    """Learning rate of the encoder's unfrozen groups."""
    layer_decay: float = 1.0
    """Factor on the encoder's rate for each layer group further from its output; below 1, early layers move less."""
    unfreeze: tuple[str, ...] = ()
    """Gradual unfreezing, EPOCH:GROUP each, 3:layer4 5:layer3 say: from that epoch on that group and all behind it train."""
    word_vectors: Path | None = None
    """Text file of word vectors (GloVe, fastText) for words that the model does not know yet; their length is embed_size."""
    weight_decay: float = 0.0
    """Weight decay of matrices (biases, norms and embeddings are spared)."""
    schedule: Literal["constant", "plateau", "cosine"] = "constant"
    """constant; plateau: a fifth of the rate after two epochs without a better score; cosine: down to zero at the last epoch."""
    warmup: int = 0
    """Steps over which the rate rises from zero at the start."""
    grad_clip: float = 5.0
    """Largest norm of all gradients together; 0 does not clip."""
    label_smoothing: float = 0.0
    """Share of the probability that the loss spreads over all words."""
    attention_lambda: float = 1.0
    """Weight of the doubly stochastic regularisation (Xu et al. 2015, equation 14)."""
    self_critical: int = 0
    """Learn from so many captions that the model itself draws of each picture, by their CIDEr-D; 0: from those of the data."""
    ema: float = 0.0
    """Decay of a moving average of the weights (0.999 say, less at first), which is validated and saved; 0 is off."""
    monitor: Monitor = "val_loss"
    """What the best model, early stopping and plateau follow: validation loss, or free-running CIDEr-D or BLEU-4."""
    scored_pictures: int = 500
    """Validation pictures captioned after every epoch (greedy) to log CIDEr-D and BLEU-4, spread evenly; 0 captions none."""
    early_stop_patience: int = 5
    """Epochs without a better score (validation loss; see monitor) after which training stops."""
    min_delta: float = 0.001
    """For early stopping, an epoch is progress if its score is better by this much; the best model is the best by any."""
    cache_features: bool = True
    """With a frozen encoder: compute its outputs once, of so many cache_views, and keep them in the cache folder."""
    cache_maps: bool = False
    """With an encoder that trains in part: compute its frozen part once as well, so that a step costs the other part only."""
    cache_views: int = 1
    """Views of each training picture in the cache, one an epoch: 1 itself, 2 its mirror image too, more: random parts of it."""
    checkpoint_minutes: float = 5.0
    """Minutes between checkpoints inside an epoch; one is written at every epoch's end as well."""
    max_steps: int = 0
    """Stop after this many optimiser steps, and validate then; 0 means no limit."""
    device: Device = "auto"
    """Where to compute: auto takes cuda, then mps, then cpu."""
    precision: Precision = "auto"
    """auto takes bf16 where the processor has instructions for it, else float32."""
    seed: int = 0
    """Seed of everything random: weights, order, augmentation, dropout."""
    quiet: bool = False
    """Print errors only."""

    def problems(self) -> list[str]:
        found = [
            f"{name} is {getattr(self, name)}; it must be at least 1."
            for name in ("epochs", "batch_size", "accumulate", "early_stop_patience", "cache_views")
            if getattr(self, name) < 1
        ]
        found += [
            f"{name} is {getattr(self, name)}; it cannot be negative."
            for name in (
                "captions_per_picture", "encoder_learning_rate",
                "weight_decay", "warmup", "grad_clip", "attention_lambda", "min_delta", "max_steps",
                "checkpoint_minutes", "scored_pictures",
            )
            if getattr(self, name) < 0
        ]  # fmt: skip
        if not 0 < self.learning_rate <= LARGEST_RATE:
            found.append(f"learning_rate is {self.learning_rate}; it must lie above 0 and at most at {LARGEST_RATE}.")
        if self.encoder_learning_rate > LARGEST_RATE:
            found.append(f"encoder_learning_rate is {self.encoder_learning_rate}; it must be at most {LARGEST_RATE}.")
        found += [
            f"{name} is {getattr(self, name)}; it must lie from 0 up to, but not at, 1."
            for name in ("label_smoothing", "ema")
            if not 0 <= getattr(self, name) < 1
        ]
        if not 0 <= self.seed < 1 << 32:
            found.append(f"seed is {self.seed}; it must lie between 0 and {(1 << 32) - 1}.")
        if self.vocab is not None and self.vocab.suffix not in (".pkl", ".json"):
            found.append(f"vocab is {self.vocab}; its name must end in .pkl or .json.")
        if self.monitor != "val_loss" and self.scored_pictures == 0:
            found.append(f"monitor is {self.monitor}, but scored_pictures is 0: let some be captioned.")
        if self.self_critical < 0 or self.self_critical == 1:
            found.append(f"self_critical is {self.self_critical}; it must be 0, or 2 and more, since captions are compared.")
        if self.self_critical and self.monitor == "val_loss":
            found.append("self_critical makes the validation loss worse on purpose: let monitor be cider or bleu4.")
        if not 0 < self.layer_decay <= 1:
            found.append(f"layer_decay is {self.layer_decay}; it must lie above 0 and at most at 1.")
        for step in self.unfreeze:
            epoch, colon, group = step.partition(":")
            if not (colon and group and epoch.isdecimal() and int(epoch) > 0):
                found.append(f"unfreeze has {step}; each must be an epoch (from 1) and a layer group, such as 3:layer4.")
        if self.unfreeze and self.cache_maps:
            found.append("unfreeze moves the place where the encoder is cut, so cache_maps must be off.")
        if self.resume and self.overwrite:
            found.append("resume and overwrite exclude each other: go on with the run, or start it anew.")
        return found


@dataclass(frozen=True)
class FinetuningOptions:
    """What becomes of a trained model that goes on learning."""

    output_name: str = "finetuned_model"
    """The model is OUTPUT_DIR/OUTPUT_NAME.pt; its run (log, settings, checkpoints) lies in the folder of that name beside it."""
    words: WordsFrom = "auto"
    """Vocabulary: the model's, that of the new data, or both; auto takes the model's where it has all words of the data, both
    where it has most of them, and else the data's."""

    def problems(self) -> list[str]:
        name = self.output_name
        if not name or name.startswith(".") or set(name) & set('/\\:*?"<>|') or name in ("best_model", "last_model"):
            return [f"output_name is {name!r}; it must be a plain name, which files get, and not a training run's own."]
        return []
