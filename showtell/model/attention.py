"""Additive attention (Bahdanau et al. 2015, equation 6; Xu et al. 2015, section 4.2): where to look for the next word."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

CACHE = 1 << 18
"""Activations worked on at a time on a CPU: 1 MiB in float32, so that they stay in the processor's cache."""


class AdditiveScore(torch.autograd.Function):
    """Scores `v . tanh(K_p + q)` of every cell p, for all rows of all pictures at once.

    The activations inside (N x R x P x A: cells x attention size for every word, the largest tensor of the model by far) are not
    kept for the backward pass but computed again there: an addition and a tanh, far cheaper than the memory. A CPU takes a few
    pictures at a time, and in float32 whatever comes in: there the tanh of a bf16 number takes several times as long.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, keys: Tensor, v: Tensor) -> Tensor:
        ctx.save_for_backward(query, keys, v)
        some, v = _pictures_at_a_time(query, keys), v.to(_precision(v))
        parts = zip(query.split(some), keys.split(some), strict=True)
        with torch.autocast(query.device.type, enabled=False):  # it would cast the activations back for the product
            return torch.cat([_activations(q, k) @ v for q, k in parts])  # N x R x P

    @staticmethod
    def backward(ctx: Any, d_scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, keys, given_v = ctx.saved_tensors
        v = given_v.to(_precision(given_v))
        some = _pictures_at_a_time(query, keys)
        d_query, d_keys, d_v = (torch.zeros_like(tensor, dtype=v.dtype) for tensor in (query, keys, v))
        parts = (tensor.split(some) for tensor in (query, keys, d_scores, d_query, d_keys))
        for q, k, d_s, d_q, d_k in zip(*parts, strict=True):
            activations = _activations(q, k)  # pictures x R x P x A
            d_v += d_s.flatten() @ activations.flatten(0, 2)
            # From here on the buffer holds the gradient of the sum inside the tanh: d_scores * v * (1 - tanh^2).
            inside = activations.square_().neg_().add_(1).mul_(v).mul_(d_s.unsqueeze(-1))
            torch.sum(inside, 2, out=d_q)
            torch.sum(inside, 1, out=d_k)
        return d_query.to(query.dtype), d_keys.to(keys.dtype), d_v.to(given_v.dtype)


def _activations(query: Tensor, keys: Tensor) -> Tensor:
    """tanh(K_p + q): (N x R x A, N x P x A) -> N x R x P x A, in the precision in which the device takes a tanh."""
    precision = _precision(query)
    return (keys.to(precision).unsqueeze(1) + query.to(precision).unsqueeze(2)).tanh_()


def _precision(tensor: Tensor) -> torch.dtype:
    return torch.float32 if tensor.device.type == "cpu" and tensor.dtype == torch.bfloat16 else tensor.dtype


def _pictures_at_a_time(query: Tensor, keys: Tensor) -> int:
    if query.device.type != "cpu":
        return max(1, len(query))
    return max(1, CACHE // max(1, query.shape[1] * keys.shape[1] * keys.shape[2]))


class AdditiveAttention(nn.Module):
    """Looks at a grid through a query and returns what it saw and where.

    A picture's cells are compared with the query in a space of `attention_dim`; the cells' side of that comparison, the keys
    `K = W_k grid`, depends on the picture only and is computed once a picture, not once a word.

    Args:
        channels: length of a cell's feature vector.
        attention_dim: length of keys and queries.
    """

    def __init__(self, channels: int, attention_dim: int) -> None:
        super().__init__()
        self.to_keys = nn.Linear(channels, attention_dim)  # its bias is the b of the score
        self.v = nn.Parameter(torch.empty(attention_dim))
        nn.init.uniform_(self.v, -(attention_dim**-0.5), attention_dim**-0.5)

    def keys(self, grid: Tensor) -> Tensor:
        """N x P x C -> N x P x A, once a picture."""
        keys: Tensor = self.to_keys(grid)
        return keys

    def forward(self, query: Tensor, keys: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
        """One look at each picture for each of its rows (captions in training, beams in search).

        Args:
            query: N x R x A.
            keys: N x P x A, from `keys`.
            grid: N x P x C.

        Returns:
            The contexts, N x R x C (cells averaged by weight), and the weights, N x R x P, float32, each row a distribution.
        """
        v = self.v.to(keys.dtype)
        if torch.compiler.is_exporting():  # a graph cannot hold a loop over as many pictures as fit into a cache
            # the vector on the left: onnxruntime then reads the activations as they lie, in a third of the time
            scores = v @ torch.tanh(keys.unsqueeze(1) + query.unsqueeze(2)).transpose(2, 3)
        else:
            scores = AdditiveScore.apply(query, keys, v)
        weights = scores.float().softmax(dim=-1)
        context = torch.bmm(weights.to(grid.dtype), grid)  # the rows of a picture share its grid: no copies
        return context, weights
