"""Trains a captioner on with CIDEr-D as its reward: samples that score above the others become likelier, those below less.

python recipes/self_critical.py --model runs/box/en/best_model.pt --annotations captions_en.json --images images --output r.pt

Self-critical sequence training (Rennie et al. 2017) with the mean of a picture's other samples as the baseline (Luo 2020). The
encoder stays frozen. Beginning and end belong to what is scored, or captions would end anywhere ("a man in a").
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from accelerate import Accelerator
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from showtell.data.batches import BatchOrder
from showtell.data.options import DataOptions
from showtell.data.readers import read_records
from showtell.data.records import Record
from showtell.data.splits import split_records
from showtell.errors import Problem
from showtell.metrics import CiderD, tokenise
from showtell.metrics.options import Tokens
from showtell.model.artefact import Artefact, load_artefact, save_artefact
from showtell.model.decoder import Decoder
from showtell.pictures import AugmentOptions
from showtell.search import Result, SearchOptions, search
from showtell.training.checkpoint import precision_of
from showtell.training.features import CachedFeatures, cached_features
from showtell.training.free_running import FreeRunning
from showtell.training.loss import TrainingModel
from showtell.training.options import Precision, TrainingOptions
from showtell.training.run import build_accelerator
from showtell.vocabulary import END, PAD, START, UNK, Vocabulary

BEGIN, ENDED = "<start>", "<end>"


@dataclass(frozen=True)
class RewardOptions:
    """Training with CIDEr-D as the reward."""

    model: Path
    """A trained model."""
    annotations: Path
    """Its captions."""
    images: Path
    """Its pictures."""
    output: Path
    """Where the model goes whose greedy captions score best on validation pictures."""
    epochs: int = 6
    """Passes over the training pictures."""
    batch_size: int = 32
    """Pictures in a batch."""
    samples: int = 5
    """Captions drawn of each picture."""
    learning_rate: float = 3e-4
    """At the beginning; it falls in a line to nothing."""
    ema: float = 0.99
    """Decay of the moving average of the weights, which is what is scored and kept."""
    cache_views: int = 2
    """As in training: pictures and mirror images."""
    scored_pictures: int = 500
    """Validation pictures that are captioned after every epoch."""
    seed: int = 0
    """Of order and samples."""
    precision: Precision = "auto"
    """As in training."""


class Reward:
    """CIDEr-D of captions against the references of their pictures, with beginning and end as words.

    Args:
        records: the pictures.
        tokens: how captions are tokenised.
    """

    def __init__(self, records: Sequence[Record], tokens: Tokens) -> None:
        self.tokens = tokens
        self.cider = CiderD([[self._whole(caption, True) for caption in record.captions] for record in records])

    def _whole(self, caption: str, ended: bool) -> list[str]:
        return [BEGIN, *tokenise(caption, self.tokens), *([ENDED] if ended else [])]

    def __call__(self, captions: Sequence[str], ended: Sequence[bool], pictures: Sequence[int]) -> np.ndarray:
        """Of each caption (0..10), `pictures` being the numbers of their records."""
        return self.cider.score([self._whole(*each) for each in zip(captions, ended, strict=True)], pictures)


def advantages(rewards: Tensor) -> Tensor:
    """How much better each of a picture's captions is than its others, N x K: the reward less the mean of the other rewards."""
    others = (rewards.sum(dim=1, keepdim=True) - rewards) / (rewards.shape[1] - 1)
    return rewards - others


def as_batch(results: Sequence[Result]) -> tuple[Tensor, Tensor]:
    """The samples as word numbers from <start> to <end> (N x K x T, padded) and their lengths (N x K)."""
    rows = [
        torch.tensor([START, *sample.words, *([END] if sample.ended else [])])
        for result in results
        for sample in result.candidates
    ]
    lengths = torch.tensor([len(row) for row in rows]).unflatten(0, (len(results), -1))
    return pad_sequence(rows, batch_first=True, padding_value=PAD).unflatten(0, (len(results), -1)), lengths


def log_likelihoods(decoder: Decoder, grid: Tensor, captions: Tensor, lengths: Tensor) -> Tensor:
    """Log-probability of each caption, N x K."""
    unrolled = decoder.unroll(grid, captions[:, :, :-1], lengths - 1)
    targets = captions[:, :, 1:].flatten()[unrolled.order]
    features = decoder.output.features(unrolled.hidden, unrolled.context, unrolled.embedded)
    logits = decoder.output.vocabulary(features).float()
    of_words = logits.gather(1, targets.unsqueeze(1)).squeeze(1) - logits.logsumexp(dim=1)
    row = unrolled.order // (captions.shape[2] - 1)
    return of_words.new_zeros(lengths.numel()).index_add(0, row, of_words).view(lengths.shape)


def train_epoch(
    decoder: Decoder,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
    source: CachedFeatures,
    order: BatchOrder,
    reward: Reward,
    vocabulary: Vocabulary,
    options: RewardOptions,
    accelerator: Accelerator,
    epoch: int,
) -> float:
    """One pass over the pictures; returns the mean reward of what was drawn."""
    source.set_epoch(epoch)
    order.start(epoch)
    total = steps = 0.0
    bar = tqdm(order, f"epoch {epoch + 1}/{options.epochs}", order.batches, unit="batch", leave=False)
    for number, indices in enumerate(bar):
        done = (epoch + number / order.batches) / options.epochs
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * (1 - done)
        grid = torch.stack([picture for i in indices if (picture := source[i].picture) is not None]).float()
        drawn = SearchOptions(search="sample", n_best=options.samples, max_length=20, seed=options.seed + 1000 * epoch + number)
        with torch.inference_mode(), accelerator.autocast():
            begin = torch.full((len(grid), 1), START)
            results = search(decoder.step, decoder.start(grid), begin, drawn, end=END, forbidden=(PAD, START, UNK))
        samples = [(i, sample) for i, result in zip(indices, results, strict=True) for sample in result.candidates]
        said = [vocabulary.sentence(vocabulary.decode(sample.words)) for _, sample in samples]
        rewards = reward(said, [sample.ended for _, sample in samples], [i for i, _ in samples])
        captions, lengths = as_batch(results)
        with accelerator.autocast():
            likelihoods = log_likelihoods(decoder, grid, captions, lengths)
        better = advantages(torch.tensor(rewards, dtype=torch.float32).view(lengths.shape))
        loss = -(better * likelihoods).sum() / (lengths - 1).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        average.update_parameters(decoder)
        total, steps = total + float(rewards.mean()), steps + 1
        bar.set_postfix_str(f"reward {total / steps:.3f}")
    return total / steps


def main(options: RewardOptions) -> None:
    artefact = load_artefact(options.model)
    encoder, decoder = artefact.build()
    encoder.freeze()
    vocabulary, data = artefact.vocabulary, DataOptions(annotations=options.annotations, images=options.images)
    splits = split_records(read_records(data), data, options.seed)
    accelerator = build_accelerator(TrainingOptions(device="cpu", precision=options.precision))
    training, validation = (
        cached_features(
            records, vocabulary, encoder, artefact.pictures, AugmentOptions(), views, options.seed,
            device=accelerator.device, bf16=precision_of(accelerator) == "bf16", workers=0,
        )
        for records, views in ((splits.train, options.cache_views), (splits.val, 1))
    )  # fmt: skip
    tokens: Tokens = "ptb" if vocabulary.tokenizer == "word" else "characters"
    reward = Reward(splits.train, tokens)
    judge = FreeRunning(validation, splits.val, options.scored_pictures, vocabulary, options.batch_size, 0)
    optimizer = torch.optim.AdamW(decoder.parameters(), options.learning_rate, weight_decay=0.0)
    average = AveragedModel(decoder, multi_avg_fn=get_ema_multi_avg_fn(options.ema))
    order = BatchOrder(len(training), options.batch_size, options.seed)

    def scored() -> float:
        return judge.scores(TrainingModel(None, average.module, encoder.grid_shape.copies), accelerator)["val_cider"]

    best = scored()
    print(f"at the beginning: CIDEr-D {best:.3f} on {len(judge.chosen)} validation pictures (greedy)", flush=True)
    for epoch in range(options.epochs):
        drawn = train_epoch(
            decoder, average, optimizer, training, order, reward, vocabulary, options, accelerator, epoch
        )  # in evaluation mode: without dropout, what is drawn is what is made likelier
        cider = scored()
        star = "  best so far" if cider > best else ""
        print(f"epoch {epoch + 1}: mean reward {drawn:.3f}, CIDEr-D {cider:.3f}{star}", flush=True)
        if cider > best:
            best = cider
            save(artefact, average.module, options, epoch + 1)


def save(artefact: Artefact, decoder: Decoder, options: RewardOptions, epochs: int) -> None:
    """The model with the decoder as it is now."""
    told = {"reward": f"CIDEr-D, {epochs} of {options.epochs} epochs at {options.learning_rate:g}"}
    weights = {name: tensor.clone() for name, tensor in decoder.state_dict().items()}
    save_artefact(replace(artefact, decoder=weights, training=artefact.training | told, scores={}), options.output)


if __name__ == "__main__":
    try:
        main(tyro.cli(RewardOptions, config=(tyro.conf.OmitArgPrefixes,)))
    except Problem as problem:
        sys.exit(f"recipes/self_critical.py: {problem}")
