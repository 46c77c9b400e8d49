"""Additive attention (Bahdanau et al. 2015, equation 6; Xu et al. 2015, section 4.2): where to look for the next word."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from showtell.errors import first_line

CACHE = 1 << 19
"""Activations worked on at a time on a CPU: 2 MiB in float32, so that they stay in the processor's cache."""


class AdditiveScore(torch.autograd.Function):
    """Scores `v . tanh(K_p + q)` of every cell p, for all rows of all pictures at once.

    The activations inside (N x R x P x A: cells x attention size for every word, the largest tensor of the model by far) are not
    kept for the backward pass but computed again there, which is far cheaper than the memory. A CPU takes a few rows at a time,
    all in one buffer, since fetching new memory takes longer than computing what is in it.

    tanh(x) is 2 s(2x) - 1, with the logistic function s: some processors take that in a quarter of a tanh's time (an EPYC, where
    torch's tanh comes from a library that does not use all of it), and factor and constant cost next to nothing outside the
    activations. In float32 whatever comes in: near 1/2, s has fewer digits than tanh has near 0.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, keys: Tensor, v: Tensor) -> Tensor:
        ctx.save_for_backward(query, keys, v)
        query, keys, v = _in_one_precision(query, keys, v)
        scores = query.new_empty(*query.shape[:2], keys.shape[1])  # N x R x P
        with torch.autocast(query.device.type, enabled=False):  # it would cast the activations back for the product
            for rows, activations in _blocks(query, keys):
                torch.mv(activations.flatten(0, 2), 2 * v, out=scores[rows].flatten())
        return scores.sub_(v.sum())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, keys, v = _in_one_precision(*ctx.saved_tensors)
        d_scores = d_scores.to(query.dtype).contiguous()
        d_query, d_keys, d_v = (torch.zeros_like(tensor) for tensor in (query, keys, v))
        for rows, activations in _blocks(query, keys):
            d_s, pictures = d_scores[rows], rows[0]
            d_v.addmv_(activations.flatten(0, 2).t(), d_s.flatten())
            slopes = torch.addcmul(activations, activations, activations, value=-1, out=activations)  # of s: s (1 - s)
            torch.bmm(d_s.flatten(0, 1).unsqueeze(1), slopes.flatten(0, 1), out=d_query[rows].flatten(0, 1).unsqueeze(1))
            for row in range(slopes.shape[1]):
                d_keys[pictures].addcmul_(slopes[:, row], d_s[:, row].unsqueeze(-1))
        d_v = d_v.mul_(2).sub_(d_scores.sum())
        gradients = zip((d_query.mul_(4 * v), d_keys.mul_(4 * v), d_v), ctx.saved_tensors, strict=True)
        return tuple(gradient.to(given.dtype) for gradient, given in gradients)  # type: ignore[return-value]


def _blocks(query: Tensor, keys: Tensor) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """Which pictures and rows, and s(2 (K_p + q)) of them (n x r x P x A), which the next block writes over.

    Some pictures with all their rows, or some rows of one picture: either way they lie together in memory.
    """
    (pictures, rows, width), cells = query.shape, keys.shape[1]
    room = CACHE if query.device.type == "cpu" else query.numel() * cells
    n = max(1, min(pictures, room // max(1, rows * cells * width)))
    r = max(1, rows if n > 1 else min(rows, room // max(1, cells * width)))
    query, buffer = 2 * query, query.new_empty(n, r, cells, width)
    for i in range(0, pictures, n):
        for j in range(0, rows, r):
            here = slice(i, i + n), slice(j, j + r)
            q, k = query[here].unsqueeze(2), keys[here[0]].unsqueeze(1)
            yield here, torch.add(q, k, alpha=2, out=buffer[: q.shape[0], : q.shape[1]]).sigmoid_()


def _in_one_precision(query: Tensor, *others: Tensor) -> list[Tensor]:
    return [tensor.to(_at_least_float32(query)) for tensor in (query, *others)]


def _at_least_float32(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)


def plain_weights(query: Tensor, keys: Tensor, v: Tensor) -> Tensor:
    """Where to look, in PyTorch's operations: N x R x A, N x P x A and A -> N x R x P, float32, each row a distribution."""
    scores: Tensor = AdditiveScore.apply(query, keys, v)
    return scores.float().softmax(dim=-1)


def attention_weights(query: Tensor, keys: Tensor, v: Tensor) -> Tensor:
    """The same, by one kernel where the device has one (`attention_kernel`)."""
    kernel = kernel_weights(query.device, query.dtype, *keys.shape[1:]) if query.device.type == KERNEL_ON else None
    return (kernel or plain_weights)(query, keys, v)


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
        return keys.to(_at_least_float32(keys)) if keys.device.type == "cpu" else keys  # once, not at every word; kernels cast

    def forward(self, query: Tensor, keys: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
        """One look at each picture for each of its rows (captions in training, beams in search).

        Args:
            query: N x R x A.
            keys: N x P x A, from `keys`.
            grid: N x P x C.

        Returns:
            The contexts, N x R x C (cells averaged by weight), and the weights, N x R x P, float32, each row a distribution.
        """
        if torch.compiler.is_exporting():  # a graph cannot hold a loop over as many pictures as fit into a cache
            # the vector on the left: onnxruntime then reads the activations as they lie, in a third of the time
            scores: Tensor = self.v @ torch.tanh(keys.unsqueeze(1) + query.unsqueeze(2)).transpose(2, 3)
            weights = scores.float().softmax(dim=-1)
        else:
            weights = attention_weights(query, keys, self.v)
        context = torch.bmm(weights.to(grid.dtype), grid)  # the rows of a picture share its grid: no copies
        return context, weights


# --- the kernel, where it can be trusted ------------------------------------------------------------------------------------

Weights = Callable[[Tensor, Tensor, Tensor], Tensor]
"""As `plain_weights`."""

KERNEL_ON = "cuda"
"""The kind of device that the kernel is for."""

AGREES = 1e-4
"""How far the kernel may be from the plain path, beside the largest value; or its precision's step, if that is more."""


@cache
def kernel_weights(device: torch.device, dtype: torch.dtype, cells: int, width: int) -> Weights | None:
    """The kernel, or None where the plain path has to do: without Triton, and in float64.

    It was written without a GPU at hand. So when a process first wants it for a kind of input, it has to give there what the
    plain path gives, or a warning says why not and it is not used.
    """
    if dtype == torch.float64 or find_spec("triton") is None:
        return None
    try:
        from showtell.model.attention_kernel import FusedWeights

        difference = largest_difference(FusedWeights.apply, device, dtype, cells, width)
    except Exception as error:  # no compiler, an older card, another Triton: who trains need not mend it
        fault = f"does not run ({first_line(error)})"
    else:
        if difference <= max(AGREES, torch.finfo(dtype).eps):
            return FusedWeights.apply  # type: ignore[no-any-return]
        fault = f"is wrong by {difference:.1e} of the largest value"
    warnings.warn(f"Attention's kernel {fault} on {device} in {dtype}, so the slower plain path is taken.", stacklevel=2)
    return None


@torch.inference_mode(False)
@torch.enable_grad()
def largest_difference(kernel: Weights, device: torch.device, dtype: torch.dtype, cells: int, width: int) -> float:
    """Between the kernel and the plain path in float64, of weights and gradients of made-up numbers, beside the largest value."""
    random = torch.Generator().manual_seed(0)  # of its own: the run's random numbers must not depend on this
    shapes = (2, 3, width), (2, cells, width), (width,), (2, 3, cells)
    query, keys, v, d_weights = (torch.randn(shape, generator=random) for shape in shapes)
    given = [tensor.to(device, kind) for tensor, kind in ((query, dtype), (keys, dtype), (4 * width**-0.5 * v, torch.float32))]
    found = []
    for way, kinds in ((kernel, [tensor.dtype for tensor in given]), (plain_weights, 3 * [torch.float64])):
        inputs = [tensor.detach().to(kind).requires_grad_() for tensor, kind in zip(given, kinds, strict=True)]
        weights = way(*inputs)
        found.append([weights, *torch.autograd.grad(weights, inputs, d_weights.to(device))])
    tiny = torch.finfo(torch.float32).tiny  # with a single cell all gradients are zero
    differences = [(one - other).abs().max() / other.abs().max().clamp(min=tiny) for one, other in zip(*found, strict=True)]
    return torch.stack([difference.double() for difference in differences]).max().item()
