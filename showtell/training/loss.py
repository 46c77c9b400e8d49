"""What training makes small, and what it counts on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from showtell.data.batches import Batch
from showtell.model.decoder import Decoder
from showtell.model.encoder import Encoder
from showtell.training.word_loss import WordLoss


@dataclass
class Tally:
    """Sums over words, on the device: add tallies up, divide by `words`."""

    words: Tensor
    cross_entropy: Tensor
    """Without label smoothing, in nats."""
    top1: Tensor
    """Words that were the model's first guess."""
    top5: Tensor
    """Words among its first five guesses."""

    def stack(self) -> Tensor:
        """All four as one vector, to be added up across batches and processes."""
        return torch.stack([self.words, self.cross_entropy, self.top1, self.top5])


class TrainingModel(nn.Module):
    """Encoder, decoder and loss in one module, as distribution over processes wants it.

    Args:
        encoder: None where the pictures come as grids from the cache; where they come as maps, only the rest of it is computed.
        copies: how many cells of the promised grid each cell stands for (`GridShape.copies`).
        label_smoothing: share of the probability that the loss spreads over all words (Szegedy et al. 2016, section 7).
        attention_lambda: weight of the doubly stochastic regularisation.
    """

    def __init__(
        self, encoder: Encoder | None, decoder: Decoder, copies: int, label_smoothing: float = 0.0, attention_lambda: float = 0.0
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.copies, self.label_smoothing, self.attention_lambda = copies, label_smoothing, attention_lambda
        self.figures: dict[str, float] = {}
        """What the last batch has to say for the log, besides its loss."""

    def forward(self, batch: Batch) -> tuple[Tensor, Tally]:
        """The loss of a batch (mean over words, plus the regularisation), and its tally."""
        if not len(batch.pictures):
            return self.nothing()
        return self.loss(self.grid(batch.pictures), batch.captions, batch.lengths)

    def nothing(self) -> tuple[Tensor, Tally]:
        """The loss and tally of no picture at all: gradients of zero, which the other processes wait for."""
        zeros = [parameter.sum() * 0 for parameter in self.parameters() if parameter.requires_grad]
        return torch.stack(zeros).sum(), Tally(*torch.zeros(4, device=zeros[0].device))

    def loss(self, grid: Tensor, captions: Tensor, lengths: Tensor, importance: Tensor | None = None) -> tuple[Tensor, Tally]:
        """The loss of captions, and its tally.

        Args:
            grid: N x cells x channels.
            captions, lengths: N x R x T and N x R, as `Batch` has them.
            importance: float32 N x R, a factor on each caption's cross-entropy; 1 by default.
        """
        # <end> is never fed and <start> is never predicted.
        lengths = (lengths - 1).clamp(min=0)
        unrolled = self.decoder.unroll(grid, captions[:, :, :-1], lengths)
        targets = captions[:, :, 1:].flatten()[unrolled.order]  # words
        if importance is not None:
            importance = importance.flatten()[unrolled.order // (captions.shape[2] - 1)]  # words
        layer, features = self.decoder.output.vocabulary, self.decoder.output.features
        of_words = features(unrolled.hidden, unrolled.context, unrolled.embedded)  # words x F
        inputs: list[Any] = [of_words, layer.weight, layer.bias]
        if not torch.is_grad_enabled():  # WordLoss would not know, and compute gradients that nobody wants
            inputs = [tensor.detach() for tensor in inputs]
        smooth, sums = WordLoss.apply(*inputs, targets, self.label_smoothing, importance)
        tally = Tally(*sums)
        loss = smooth / tally.words
        if self.attention_lambda:
            loss = loss + self.attention_lambda * doubly_stochastic(unrolled.attention_sum, lengths, self.copies)
        return loss, tally

    def grid(self, pictures: Tensor) -> Tensor:
        """N x cells x channels, from what a batch holds: pixels (uint8), maps or grids."""
        if self.encoder is None:
            return pictures.float()
        return self.encoder(pictures) if pictures.dtype == torch.uint8 else self.encoder.from_maps(pictures)


def doubly_stochastic(attention_sum: Tensor, lengths: Tensor, copies: int) -> Tensor:
    """Mean over captions and cells of (1 - the cell's weights summed over time) squared (Xu et al. 2015, equation 14).

    Args:
        attention_sum: N x R x P.
        lengths: N x R; captions of length 0 do not count.
        copies: a cell of a pooled-up grid stands for so many, and each of them has its share of the weight.
    """
    real = (lengths > 0).flatten().nonzero().squeeze(1).to(attention_sum.device)
    of_captions = attention_sum.flatten(0, 1)[real]  # captions x P
    return (1 - of_captions / copies).square().mean()
