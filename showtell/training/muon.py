"""Muon: momentum whose matrices are made orthogonal, so that a step moves along all directions of a matrix and not only along the
few in which the gradient is large.

What a small network learns late, because the gradient hardly points there at first (where to look, what lies left of what), it
learns sooner so (docs/scenes_tries.md). K. Jordan et al., *Muon: An optimizer for hidden layers in neural networks*, 2024,
kellerjordan.github.io/posts/muon; the size of a step, so that AdamW's learning rates fit, from J. Liu et al., *Muon is Scalable
for LLM Training*, arXiv:2502.16982, section 2.2. torch.optim.Muon multiplies in bf16, which many CPUs cannot, and takes no
convolutions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

MOMENTUM = 0.95


class Muon(torch.optim.AdamW):
    """AdamW for all groups but those that say `orthogonal=True`, whose weights must have two dimensions or more.

    A convolution's weights (outputs x inputs x rows x columns) count as a matrix of as many rows as outputs.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Moves the weights by their gradients; the gradients of orthogonal groups are used up."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group.get("orthogonal"):
                for weights in group["params"]:
                    if weights.grad is not None:
                        self._move(weights, weights.grad, group["lr"], group["weight_decay"])
                        weights.grad = None  # so that AdamW passes it by
        super().step()
        return loss

    def _move(self, weights: Tensor, gradient: Tensor, rate: float, decay: float) -> None:
        state = self.state[weights]
        if not state:  # under AdamW's names, which it looks for where it loads a state
            state["step"], state["exp_avg"] = torch.zeros(()), torch.zeros_like(weights)
        momentum = state["exp_avg"].lerp_(gradient, 1 - MOMENTUM)
        direction = orthogonalised(gradient.lerp(momentum, MOMENTUM).flatten(1))  # rows x columns
        scale = 0.2 * max(direction.shape) ** 0.5  # a step as long as AdamW's usually is
        weights.mul_(1 - rate * decay).sub_(direction.view_as(weights), alpha=rate * scale)


def orthogonalised(matrix: Tensor) -> Tensor:
    """About U V' where the matrix is U S V': its singular values come to lie between 0.7 and 1.2, those near 0 excepted.

    Newton and Schulz's iteration with Jordan's coefficients, five times: products only, no decomposition. A step multiplies x by
    P = a + b S + c S S with S = x x'; all P are polynomials of the first S, so that S becomes P S P, and the long side of x is
    met twice only. For the gates of an LSTM, four times as long as wide, that takes half the time.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    square = x @ x.T
    factor = torch.eye(len(x), dtype=x.dtype, device=x.device)
    for _ in range(5):
        step = torch.addmm(square, square, square, beta=-4.7750, alpha=2.0315)
        step.diagonal().add_(3.4445)
        factor, square = step @ factor, step @ square @ step
    directions: Tensor = factor @ x
    return directions.T if tall else directions
