"""The few operations that the search needs and the array API standard lacks."""

from __future__ import annotations

from math import isqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from array_api_compat import array_namespace, device, is_numpy_array, is_torch_array, to_device

Array = Any
"""A torch tensor, a NumPy array, or an array of any other library that follows the standard."""

Places = npt.NDArray[np.intp]
"""Numbers of rows, pictures or words on the host."""

NEVER = float("-inf")
"""The log-probability of what cannot happen."""


def on_cpu(array: Array) -> bool:
    """Whether reading the array costs nothing, because no other device has to finish its work first."""
    return "cpu" in str(device(array)).lower()


def to_host(arrays: list[Array]) -> list[npt.NDArray[Any]]:
    """The arrays, of one dtype and any shapes, as NumPy arrays: copied in one piece, since every copy waits for the device."""
    xp = array_namespace(*arrays)
    flat = xp.concat([xp.reshape(array, (-1,)) for array in arrays])
    if is_torch_array(flat):
        flat = flat.detach()
    host = np.asarray(flat if on_cpu(flat) else to_device(flat, "cpu"))
    ends = np.cumsum([int(np.prod(array.shape)) for array in arrays])
    return [part.reshape(array.shape) for part, array in zip(np.split(host, ends[:-1]), arrays, strict=True)]


def to_array(values: npt.NDArray[Any], like: Array) -> Array:
    """NumPy's `values` as an array of the library and on the device of `like`; the dtype stays."""
    xp = array_namespace(like)
    return xp.asarray(values, dtype=getattr(xp, values.dtype.name), device=device(like))


def top_k(values: Array, k: int) -> tuple[Array, Array]:
    """The k largest of the last axis in falling order, and their places; of equal ones the first comes first, everywhere.

    torch.topk and np.argpartition break ties as they please, so two libraries would disagree, and a stable sort of 50,000 scores
    is slow. But the k largest lie in the k blocks with the largest maxima (of equal maxima, in the first ones): one pass for the
    maxima, then stable sorts of some hundred values.

    values: ... x V, any floating dtype. k: at most V. Returns ... x k values, ... x k places (int64).
    """
    xp = array_namespace(values)
    size = values.shape[-1]
    block = isqrt(size // k)
    if block < 4:  # nothing to gain
        places = xp.argsort(values, axis=-1, descending=True, stable=True)[..., :k]
        return xp.take_along_axis(values, places, axis=-1), places
    whole = size // block * block  # what is left over makes one more, shorter block
    maxima = xp.max(xp.reshape(values[..., :whole], (*values.shape[:-1], -1, block)), axis=-1)
    if whole < size:
        maxima = xp.concat([maxima, xp.max(values[..., whole:], axis=-1, keepdims=True)], axis=-1)
    blocks = xp.argsort(maxima, axis=-1, descending=True, stable=True)[..., :k]
    blocks = xp.sort(blocks, axis=-1)  # so that the first of equal values stays first
    within = xp.arange(block, device=device(values))
    places = xp.reshape(blocks[..., None] * block + within, (*values.shape[:-1], k * block))
    beyond = places >= size
    places = xp.where(beyond, size - 1, places)
    found = xp.where(beyond, NEVER, xp.take_along_axis(values, places, axis=-1))
    order = xp.argsort(found, axis=-1, descending=True, stable=True)[..., :k]
    return xp.take_along_axis(found, order, axis=-1), xp.take_along_axis(places, order, axis=-1)


def marks(places: Array, size: int) -> Array:
    """Booleans ... x size, true at the places (int64, ... x M) that are named; the place `size` stands for none."""
    xp = array_namespace(places)
    marked = xp.zeros((*places.shape[:-1], size + 1), dtype=xp.bool, device=device(places))
    if is_torch_array(places):
        marked.scatter_(-1, places, True)
    elif is_numpy_array(places):
        np.put_along_axis(marked, places, True, axis=-1)
    else:
        every = xp.arange(size + 1, device=device(places))
        for i in range(places.shape[-1]):
            marked = marked | (places[..., i, None] == every)
    return marked[..., :size]
