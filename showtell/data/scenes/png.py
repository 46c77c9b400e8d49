"""PNG files that are the same bytes everywhere.

zlib promises the same pixels back but not the same bytes: zlib, zlib-ng and their versions compress differently. So the deflate
stream (RFC 1951) is written here: no search for repetitions, which grainy pictures do not have, only a Huffman code, and that a
fixed one, made for the small differences that PNG's filters leave. That takes a little more than half of the plain size, which is
about what zlib makes of such pictures.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

BITS = ((4, 4), (8, 5), (12, 7), (16, 8), (24, 9), (32, 10), (64, 11), (128, 13))
"""Up to which difference, of either sign, a value takes how many bits. The end mark has the most. The code is complete."""
END = 256


def png(pixels: NDArray[np.uint8]) -> bytes:
    """The file's bytes for pixels of rows x columns x 3 (red, green, blue)."""
    rows, columns, _ = pixels.shape
    lines = _filtered(pixels)
    stream = b"\x78\x01" + _deflate(lines) + struct.pack(">I", zlib.adler32(lines.tobytes()))
    header = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", stream) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _filtered(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """PNG's filter 3: each value less the mean of those to the left and above: rows x (1 + 3 columns)."""
    rows, columns, _ = pixels.shape
    values = pixels.astype(np.int16)
    mean = np.zeros_like(values)
    mean[:, 1:] += values[:, :-1]
    mean[1:] += values[:-1]
    lines = np.full((rows, 1 + 3 * columns), 3, np.uint8)
    lines[:, 1:] = ((values - (mean >> 1)) & 255).astype(np.uint8).reshape(rows, -1)
    return lines


def _deflate(lines: NDArray[np.uint8]) -> bytes:
    """One block with a Huffman code of its own. Every piece of it is a number and its length in bits, lowest bit first."""
    symbols = np.append(lines.ravel().astype(np.int64), END)
    values = np.concatenate([_HEADER[0], _CODES[symbols]])
    lengths = np.concatenate([_HEADER[1], _LENGTHS[symbols]])
    ends = np.cumsum(lengths)
    starts = ends - lengths
    word = starts >> 5  # every word of 32 bits begins a piece, since no piece is longer than 13
    sums = np.add.reduceat(values << (starts & 31).astype(np.uint64), np.searchsorted(word, np.arange(word[-1] + 1)))
    sums = np.append(sums, np.uint64(0))
    sums[1:] += sums[:-1] >> np.uint64(32)  # at most 12 bits reach into the next word
    return (sums & np.uint64(0xFFFFFFFF)).astype("<u4").tobytes()[: (int(ends[-1]) + 7) // 8]


def _code_lengths() -> list[int]:
    """Bits of each byte value and of the end mark: 257 numbers."""
    size = [min(value, 256 - value) for value in range(256)] + [128]
    return [next(bits for reach, bits in BITS if s <= reach) for s in size]


def _canonical(lengths: list[int]) -> list[int]:
    """The codes that RFC 1951 derives from their lengths, lowest bit first as they are written."""
    codes, code, before = [0] * len(lengths), 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths)):
        code <<= length - before
        codes[symbol] = int(f"{code:0{length}b}"[::-1], 2)
        code, before = code + 1, length
    return codes


def _header(lengths: list[int]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """What opens the block: it is the last, of 257 codes and one distance (unused), whose lengths follow in 4 bits each."""
    in_four_bits = [0, 0, 0] + [4] * 16  # codes for repeated lengths are not used, those for the lengths 0 to 15 have 4 bits
    pieces = [(1, 1), (2, 2), (0, 5), (0, 5), (15, 4), *((bits, 3) for bits in in_four_bits)]
    reversed_nibble = _canonical([4] * 16)
    pieces += [(reversed_nibble[length], 4) for length in [*lengths, 1]]
    return np.array([value for value, _ in pieces], np.uint64), np.array([bits for _, bits in pieces], np.int64)


_LENGTHS = np.array(_code_lengths(), np.int64)
_CODES = np.array(_canonical(_code_lengths()), np.uint64)
_HEADER = _header(_code_lengths())
