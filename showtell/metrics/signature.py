"""The short string that every score carries: what was measured, and on what; equal strings mean comparable numbers."""

from __future__ import annotations

from collections.abc import Mapping

import showtell
from showtell.errors import printable


def signature(metric: str, parts: Mapping[str, object]) -> str:
    """`ciderd|refs:5|tok:ptb|df:refs|n:1000|data:flickr8k/val#1ed17e43|search:beam5|showtell:0.3.0`, for instance.

    Args:
        metric: bleu4, ciderd, ...
        parts: name and value of all else, in the order in which they are to stand; those that are None are left out.
    """
    told = [f"{name}:{_plain(value)}" for name, value in parts.items() if value is not None]
    return "|".join([metric, *told, f"showtell:{showtell.__version__}"])


def reference_counts(numbers: list[int]) -> str:
    """How many references a picture has: `5`, or `4-7` where they differ."""
    low, high = min(numbers, default=0), max(numbers, default=0)
    return str(low) if low == high else f"{low}-{high}"


def _plain(value: object) -> str:
    return "".join("_" if sign in "|: \t\n" else sign for sign in printable(value))
