"""Random numbers that are the same on every machine and with every version of NumPy.

NumPy promises that the raw 64-bit numbers of a bit generator never change, but not that the distributions drawn from them stay
the same (NEP 19). So only the raw numbers are used here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class Dice:
    """Random numbers that follow from `key`, any number of integers below 2 ** 32, and nothing else.

    Keys of the same length give different numbers; NumPy takes a key to be the same as one with zeros added at its end.
    """

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def below(self, n: int) -> int:
        """A whole number from 0 to n - 1."""
        return (int(self._bits.random_raw()) >> 32) * n >> 32

    def between(self, low: float, high: float) -> float:
        """A number from `low` to `high`."""
        return low + (high - low) * ((int(self._bits.random_raw()) >> 11) / (1 << 53))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.between(0, 1) < probability

    def choice(self, items: Sequence[T]) -> T:
        """One of the items, each as likely."""
        return items[self.below(len(items))]

    def weighted(self, weights: Mapping[T, float]) -> T:
        """One of the keys, as likely as its weight says; the weights add up to 1."""
        left = self.between(0, 1)
        for item, weight in weights.items():
            left -= weight
            if left < 0:
                return item
        return item

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in random order."""
        mixed = list(items)
        for i in range(len(mixed) - 1, 0, -1):
            j = self.below(i + 1)
            mixed[i], mixed[j] = mixed[j], mixed[i]
        return mixed

    def bytes(self, *shape: int) -> NDArray[np.uint8]:
        """Bytes from 0 to 255, each as likely, in an array of this shape."""
        count = 1
        for n in shape:
            count *= n
        raw = self._bits.random_raw((count + 7) // 8).astype("<u8")
        return raw.view(np.uint8)[:count].reshape(shape)
