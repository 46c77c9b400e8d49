"""The cross-entropy of all words, and its gradients, a chunk of words at a time: vocabulary x words never stands in memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = {"cpu": 1 << 22, "other": 1 << 24}
"""Scores that are in memory at a time: 16 MiB in float32 on a CPU, whose caches hold them; 64 MiB elsewhere."""


class WordLoss(torch.autograd.Function):
    """From features to the loss, through the vocabulary layer.

    Nothing follows the loss, so that its gradient is known but for one factor when a chunk's scores are there:
    gradients are computed at once and scaled in the backward pass, and no score is kept or computed again.
    """

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        label_smoothing: float,
        importance: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Loss and tally of W words.

        Args:
            features: W x F, what the vocabulary layer takes.
            weight, bias: its V x F and V.
            targets: int64 W, the right words.
            label_smoothing: share of the probability that is spread over all words (Szegedy et al. 2016, section 7).
            importance: float32 W, a factor on each word's part of the loss, of either sign; 1 by default.

        Returns:
            The sum of the smoothed cross-entropies (nats), times their importance, and four sums without it: words,
            cross-entropies without smoothing, words that were the first guess, and those among the first five.
        """
        kind, given = features.device.type, (features, weight, bias)
        products = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else features.dtype
        x, w, b = (tensor.to(products) for tensor in given)
        size = max(1, CHUNK.get(kind, CHUNK["other"]) // len(weight))
        ctx.gradients = [torch.zeros_like(tensor) for tensor in given] if any(ctx.needs_input_grad) else None
        sums = []
        with torch.autocast(kind, enabled=False):
            for start in range(0, len(x), size):
                here = slice(start, start + size)
                scores = torch.addmm(b, x[here], w.t()).float()  # words x V
                factor = None if importance is None else importance[here].unsqueeze(1)  # words x 1
                sums.append(_sums(scores, targets[here], label_smoothing, factor))  # from here on, scores are probabilities
                if ctx.gradients:
                    d_features, d_weight, d_bias = ctx.gradients
                    d_scores = _gradient(scores, targets[here], label_smoothing)
                    if factor is not None:
                        d_scores *= factor
                    d_bias += d_scores.sum(dim=0)
                    d_scores = d_scores.to(products)
                    d_features[here] = d_scores @ w
                    _add_product(d_weight, d_scores.t(), x[here])
        smooth, *tally = torch.stack(sums).sum(dim=0).unbind() if sums else features.new_zeros(5).unbind()
        counted = torch.stack(tally)
        ctx.mark_non_differentiable(counted)
        return smooth, counted

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_smooth: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        return *(gradient * d_smooth for gradient in ctx.gradients), None, None, None


def _sums(scores: Tensor, targets: Tensor, label_smoothing: float, factor: Tensor | None) -> Tensor:
    """Smoothed loss, words, cross-entropy, right at the first guess, within five; turns the scores into probabilities."""
    of_target = scores.gather(1, targets.unsqueeze(1))  # words x 1
    better = (scores > of_target).sum(dim=1)  # words that the model likes more than the right one
    mean = scores.mean(dim=1, keepdim=True) if label_smoothing else scores.new_zeros(())
    highest = scores.amax(dim=1, keepdim=True)
    total = scores.sub_(highest).exp_().sum(dim=1, keepdim=True)
    scores.div_(total)
    log_total = highest + total.log()
    nats = log_total - of_target  # words x 1
    smooth = (1 - label_smoothing) * nats + label_smoothing * (log_total - mean)
    loss = (smooth if factor is None else smooth * factor).sum()
    return torch.stack([loss, loss.new_tensor(len(targets)), nats.sum(), (better < 1).sum(), (better < 5).sum()])


def _gradient(probabilities: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    """Of the smoothed loss by the scores; written over the probabilities."""
    if label_smoothing:
        probabilities -= label_smoothing / probabilities.shape[1]
    right = targets.unsqueeze(1)
    return probabilities.scatter_add_(1, right, probabilities.new_full(right.shape, label_smoothing - 1))


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    if total.dtype == a.dtype:
        total.addmm_(a, b)
    else:
        total += a @ b
