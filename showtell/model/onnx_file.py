"""Graphs from strangers: an ONNX file is looked through before onnxruntime may open it, and runs on the CPU.

An ONNX file is a message of Protocol Buffers. What is looked for can be seen without unpacking a weight: that every weight lies
in the file itself (a path to another file could name any file of this machine), that none claims to be larger than the file, and
that the graph is a plain one: operators of the standard or of onnxruntime, no loops, no branches, no functions. What these
operators make of numbers may still take as much memory as there is.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from showtell.errors import Problem, disk_sentences, first_line
from showtell.machine import processors

Signature = tuple[str, tuple[int | str, ...]]
"""Type and shape, as onnxruntime names them: ("tensor(float)", ("pictures", 49, 512))."""
DOMAINS = (b"", b"ai.onnx", b"com.microsoft")
CONTROL = (b"If", b"Loop", b"Scan", b"SequenceMap", b"EPContext")
"""Operators that run other graphs, or code that was compiled elsewhere; no captioner needs them."""
MOST_FIELDS = 2_000_000
"""Fields of a file that are looked at; a graph of ten thousand operators and weights has some 200,000."""

# Numbers of the fields that are looked at, by message (onnx.proto).
MODEL_GRAPH, MODEL_TRAINING, MODEL_FUNCTIONS = 7, 20, 25
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_SPARSE = 1, 5, 15
NODE_OP, NODE_ATTRIBUTE, NODE_DOMAIN = 4, 5, 7
ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS = 5, 10
ATTRIBUTE_OTHER = (6, 11, 22, 23)  # graphs, sparse tensors
TENSOR_DIMS, TENSOR_EXTERNAL, TENSOR_LOCATION = 1, 13, 14
TENSOR_TYPE, TENSOR_NAME, TENSOR_RAW = 2, 8, 9
TYPES = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8", 10: "<f2"}
"""Of a tensor's numbers, which are little-endian."""


class _Walk:
    """One pass over a file's bytes."""

    def __init__(self, content: memoryview) -> None:
        self.content, self.fields = content, 0

    def message(self, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """The fields of the message in these bytes: which one, its value if that is a number, else where it starts and ends.

        Raises:
            ValueError: these bytes are no message.
        """
        at = start
        while at < end:
            self.fields += 1
            if self.fields > MOST_FIELDS:
                raise ValueError("it has more parts than any captioner")
            tag, at = self.varint(at, end)
            if tag >= 1 << 32:  # other readers would cut it short, and see another field
                raise ValueError("it is cut off or damaged")
            kind, value, begin = tag & 7, 0, at
            if kind == 0:
                value, at = self.varint(at, end)
                begin = at
            elif kind == 2:
                length, begin = self.varint(at, end)
                at = begin + length
            elif kind in (1, 5):
                at += 8 if kind == 1 else 4
            else:
                raise ValueError("it is cut off or damaged")
            if at > end:
                raise ValueError("it is cut off or damaged")
            yield tag >> 3, value, begin, at

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """The number that begins there, and where it ends."""
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                break
            byte = self.content[at]
            value, at = value | (byte & 127) << shift, at + 1
            if byte < 128:
                return value, at
        raise ValueError("it is cut off or damaged")

    def model(self) -> None:
        """Looks through the file."""
        graphs = 0
        for number, _, start, end in self.message(0, len(self.content)):
            if number in (MODEL_TRAINING, MODEL_FUNCTIONS):
                raise ValueError("it carries functions of its own, which showtell never runs")
            if number == MODEL_GRAPH:
                graphs += 1
                self.graph(start, end)
        if graphs != 1:
            raise ValueError("it holds no graph" if not graphs else "it holds several graphs")

    def graph(self, start: int, end: int) -> None:
        for number, _, begin, to in self.message(start, end):
            if number == GRAPH_NODE:
                self.node(begin, to)
            elif number == GRAPH_INITIALIZER:
                self.tensor(begin, to)
            elif number == GRAPH_SPARSE:
                raise ValueError("it holds sparse weights")

    def node(self, start: int, end: int) -> None:
        for number, _, begin, to in self.message(start, end):
            text = bytes(self.content[begin : min(to, begin + 100)])
            if number == NODE_OP and text in CONTROL:
                raise ValueError(f"it uses the operator {text.decode()}, which no captioner needs")
            if number == NODE_DOMAIN and text not in DOMAINS:
                raise ValueError(f"it uses operators of {text.decode(errors='replace')}, which showtell does not know")
            if number == NODE_ATTRIBUTE:
                for inner, _, first, last in self.message(begin, to):
                    if inner in (ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS):
                        self.tensor(first, last)
                    elif inner in ATTRIBUTE_OTHER:
                        raise ValueError("it holds graphs within graphs, which no captioner needs")

    def tensor(self, start: int, end: int) -> None:
        elements, most = 1, 2 * (end - start)  # the smallest numbers take half a byte
        for number, value, begin, to in self.message(start, end):
            if number == TENSOR_EXTERNAL or (number == TENSOR_LOCATION and value):
                raise ValueError("its weights lie in another file, which showtell never opens")
            if number == TENSOR_DIMS:
                for size in self.dims(value, begin, to):
                    elements = min(elements * max(size, 1), most + 1)
        if elements > most:
            raise ValueError("a weight claims to be larger than the file")

    def weight(self, start: int, end: int) -> tuple[str, npt.NDArray[Any] | None]:
        """Name and numbers of a tensor; None where they are of another type, or not kept as raw bytes."""
        name, kind, shape, raw = "", 0, [], None
        for number, value, begin, to in self.message(start, end):
            if number == TENSOR_DIMS:
                shape += list(self.dims(value, begin, to)) if begin < to else [value]
            elif number == TENSOR_TYPE:
                kind = value
            elif number == TENSOR_NAME:
                name = bytes(self.content[begin:to]).decode()
            elif number == TENSOR_RAW:
                raw = self.content[begin:to]
        return name, None if raw is None or kind not in TYPES else np.frombuffer(raw, TYPES[kind]).reshape(shape)

    def dims(self, value: int, begin: int, to: int) -> Iterator[int]:
        """One size by itself, or several packed together."""
        if begin == to:
            yield value
        while begin < to:
            size, begin = self.varint(begin, to)
            yield size


def initializers(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The weights of a graph that was looked through, by name; those that are kept as raw bytes.

    Raises:
        ValueError: these bytes are no graph.
    """
    found = {}
    content = memoryview(path.read_bytes())
    walk = _Walk(content)
    for number, _, start, end in walk.message(0, len(content)):
        for inner, _, begin, to in walk.message(start, end) if number == MODEL_GRAPH else ():
            if inner == GRAPH_INITIALIZER:
                name, array = walk.weight(begin, to)
                if array is not None:
                    found[name] = array
    return found


class Graph:
    """A graph on the CPU, whose inputs and outputs are those that it is expected to have.

    Args:
        path: the file.
        sha256: of the file, as its folder tells it.
        inputs, outputs: their types and shapes by name, in the graph's order; a name in a shape stands for any size.

    Raises:
        Problem: the file is not there, damaged, another than it should be, or holds what no captioner needs.
    """

    def __init__(self, path: Path, sha256: str, inputs: Mapping[str, Signature], outputs: Mapping[str, Signature]) -> None:
        self.path, self.sha256, self.inputs, self.outputs = path, sha256, inputs, outputs
        _look_through(path, sha256)
        try:
            self._session = onnxruntime.InferenceSession(path, session_options(), providers=["CPUExecutionProvider"])
        except Exception as error:  # of its own kinds; a hostile file may raise anything
            raise Problem(f"{path} cannot be used ({first_line(error)}): get it from its maker again.") from None
        for expected, found in ((inputs, self._session.get_inputs()), (outputs, self._session.get_outputs())):
            _compare(path, expected, {each.name: (each.type, tuple(each.shape)) for each in found})

    def __call__(self, *arrays: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """The outputs for these inputs, which are not copied.

        Raises:
            Problem: the graph fails, or gives other shapes than it promised.
            MemoryError: it does not fit into memory.
        """
        feed = dict(zip(self.inputs, arrays, strict=True))
        try:
            given: list[npt.NDArray[Any]] = self._session.run(None, feed)
        except Exception as error:  # of its own kinds
            if "allocate memory" in str(error) or "bad_alloc" in str(error) or isinstance(error, MemoryError):
                raise MemoryError("Failed to allocate memory") from None
            raise Problem(f"{self.path} fails ({first_line(error)}): get it from its maker again.") from None
        sizes = {
            name: size
            for array, (_, shape) in zip(arrays, self.inputs.values(), strict=True)
            for name, size in zip(shape, array.shape, strict=True)
        }
        for array, (name, (_, shape)) in zip(given, self.outputs.items(), strict=True):
            wanted = tuple(sizes.get(size, size) for size in shape)
            if array.shape != wanted:
                raise Problem(
                    f"{self.path} gives {name} of shape {array.shape} in place of {wanted}: get it from its maker again."
                )
        return given


def session_options() -> onnxruntime.SessionOptions:
    """As many threads as the program is to use, which wait without burning what other threads could use."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised as well
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def threads() -> int:
    """What OMP_NUM_THREADS says, as for torch; otherwise, as many as there are processors for this program."""
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if said.isdecimal() and int(said) > 0:
        return int(said)
    return processors()


def _look_through(path: Path, sha256: str) -> None:
    try:
        with (
            disk_sentences(path, "read"),
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
            memoryview(content) as view,
        ):
            _Walk(view).model()
            digest = hashlib.sha256(view).hexdigest()
    except ValueError as error:  # mmap raises it too, for an empty file
        raise Problem(f"{path} is refused: {first_line(error)}; get it from its maker again.") from None
    if digest != sha256:
        raise Problem(f"{path} is another than the one that its folder was written with: get the folder from its maker again.")


def _compare(path: Path, expected: Mapping[str, Signature], found: Mapping[str, Signature]) -> None:
    if list(expected) != list(found):
        raise Problem(f"{path} has {', '.join(found)} where {', '.join(expected)} belong: get it from its maker again.")
    for name, (kind, shape) in expected.items():
        sizes = [size if isinstance(size, int) else None for size in found[name][1]]
        if found[name][0] != kind or sizes != [size if isinstance(size, int) else None for size in shape]:
            told = f"{found[name][0]} {list(found[name][1])} where the settings tell {kind} {list(shape)}"
            raise Problem(f"{path} has {name} as {told}: get it from its maker again.")
