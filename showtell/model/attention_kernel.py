"""Where to look, on a GPU: additive attention's scores and their softmax in one Triton kernel, and their gradients in another.

Both compute what `attention.plain_weights` does. There the activations tanh(K_p + q) (N x R x P x A) go through the GPU's memory
several times; here they are made in registers, summed and forgotten, forward and again backward. Letters in shapes are the
decoder's: N pictures, R rows of a picture, P cells, A attention.

- Whatever the inputs' precision, a kernel computes in float32.
- No sum is shared between programs (the kernel's copies that run side by side), so that the same inputs give the same bits.
- The context is not in here: it is a matrix product that reads the grid once, which libraries do at the memory's rate.

This file is imported where there are a GPU and Triton, by `attention.kernel_weights`.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

TILE = 1 << 12
"""Activations that a program holds at a time, all cells by a piece of A: 16 of them in each of its threads."""

WARPS = 8
"""Of 32 threads each, in a program."""


@triton.jit
def _tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1  # Triton has no tanh that its interpreter knows too


@triton.jit(do_not_specialize=["rows"])
def weights_kernel(
    query, keys, v, weights, row_stride, a_stride, rows, cells, width, CELLS: tl.constexpr, WIDTH: tl.constexpr
):  # fmt: skip
    """The weights of one row of one picture. CELLS and WIDTH are the tile's sides; what of it lies outside counts nothing."""
    row = tl.program_id(0).to(tl.int64)  # of all N x R
    picture = row // rows
    cell = tl.arange(0, CELLS)
    scores = tl.zeros([CELLS, WIDTH], tl.float32)
    for start in range(0, width, WIDTH):
        a = start + tl.arange(0, WIDTH)
        here = (picture * cells + cell[:, None]) * width + a[None, :]
        k = tl.load(keys + here, mask=(cell[:, None] < cells) & (a[None, :] < width), other=0).to(tl.float32)  # CELLS x WIDTH
        q = tl.load(query + row * row_stride + a * a_stride, mask=a < width, other=0).to(tl.float32)
        scores += tl.load(v + a, mask=a < width, other=0).to(tl.float32)[None, :] * _tanh(k + q[None, :])
    score = tl.where(cell < cells, tl.sum(scores, axis=1), float("-inf"))
    weight = tl.exp(score - tl.max(score, axis=0))
    tl.store(weights + row * cells + cell, weight / tl.sum(weight, axis=0), mask=cell < cells)


@triton.jit(do_not_specialize=["rows"])
def gradients_kernel(
    query, keys, v, weights, d_weights, d_query, d_keys, d_v, row_stride, a_stride, rows, cells, width,
    CELLS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """The gradients of one picture's keys, of its rows' queries, and its share of that of v, in WIDTH places of A."""
    picture = tl.program_id(0).to(tl.int64)
    a = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    cell = tl.arange(0, CELLS)
    here = (picture * cells + cell[:, None]) * width + a[None, :]
    inside = (cell[:, None] < cells) & (a[None, :] < width)
    k = tl.load(keys + here, mask=inside, other=0).to(tl.float32)  # CELLS x WIDTH, read once for all rows
    v_a = tl.load(v + a, mask=a < width, other=0).to(tl.float32)
    slopes_sum, d_v_a = tl.zeros([CELLS, WIDTH], tl.float32), tl.zeros([WIDTH], tl.float32)
    for r in range(rows):
        row = picture * rows + r
        weight = tl.load(weights + row * cells + cell, mask=cell < cells, other=0)
        d_weight = tl.load(d_weights + row * cells + cell, mask=cell < cells, other=0)
        d_score = weight * (d_weight - tl.sum(weight * d_weight, axis=0))  # of softmax
        q = tl.load(query + row * row_stride + a * a_stride, mask=a < width, other=0).to(tl.float32)
        t = _tanh(k + q[None, :])
        slopes = d_score[:, None] * (1 - t * t)
        slopes_sum += slopes
        d_v_a += tl.sum(d_score[:, None] * t, axis=0)
        tl.store(d_query + row * width + a, v_a * tl.sum(slopes, axis=0), mask=a < width)
    tl.store(d_keys + here, v_a[None, :] * slopes_sum, mask=inside)
    tl.store(d_v + picture * width + a, d_v_a, mask=a < width)


def tile(cells: int, width: int) -> dict[str, int]:
    """The tile's sides, powers of two as Triton wants them: all cells (softmax needs them together), and what has room of A."""
    high = triton.next_power_of_2(cells)
    return {"CELLS": high, "WIDTH": min(triton.next_power_of_2(width), max(1, TILE // high), 64)}


class FusedWeights(torch.autograd.Function):
    """`attention.plain_weights` by the kernels: query N x R x A, keys N x P x A, v A; weights N x R x P, float32."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, keys: Tensor, v: Tensor) -> Tensor:
        (pictures, rows, width), cells = query.shape, keys.shape[1]
        flat, keys, v = query.reshape(-1, width), keys.contiguous(), v.contiguous()  # flat: NR x A, which need not lie together
        weights = query.new_empty(pictures, rows, cells, dtype=torch.float32)
        with torch.cuda.device_of(query):
            weights_kernel[(pictures * rows,)](
                flat, keys, v, weights, *flat.stride(), rows, cells, width, **tile(cells, width), num_warps=WARPS
            )
        ctx.save_for_backward(query, keys, v, weights)
        return weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, keys, v, weights = ctx.saved_tensors
        (pictures, rows, width), cells = query.shape, keys.shape[1]
        flat, sides = query.reshape(-1, width), tile(cells, width)
        d_query, d_keys = query.new_empty(query.shape), torch.empty_like(keys)
        d_v = query.new_empty(pictures, width, dtype=torch.float32)  # each picture's, summed afterwards
        with torch.cuda.device_of(query):
            gradients_kernel[(pictures, triton.cdiv(width, sides["WIDTH"]))](
                flat, keys, v, weights, d_weights.contiguous(), d_query, d_keys, d_v, *flat.stride(), rows, cells, width,
                **sides, num_warps=WARPS,
            )  # fmt: skip
        return d_query, d_keys, d_v.sum(dim=0).to(v.dtype)
