"""Graphs in int8: a quarter of the size, and faster where the processor has products of 8-bit integers.

The encoder is quantised statically: the ranges of what flows through it are measured beforehand on some pictures, weights have a
scale a channel and 7 of the 8 bits, since two products of 8 x 8 bits may overflow the 16 bits in which processors without VNNI
add them. The decoder is quantised dynamically: the ranges are measured at every step, which small matrices allow, for each row by
itself (a beam's state, a grid's cell), so that what is said of a picture does not depend on those beside it in a batch.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from showtell.errors import Problem
from showtell.model.exported import ENCODER
from showtell.model.graphs import tidy
from showtell.pictures import PictureOptions, list_pictures, pixels_of

if TYPE_CHECKING:
    from onnx import ModelProto

CALIBRATION_PICTURES = 128
"""Pictures on which ranges are measured."""
AT_ONCE = 8
"""Of them, in a batch."""
SPARED = 8
"""The first of so many parts of an encoder's convolutions stays in float32: few weights, whose errors all others inherit."""


def calibration_pixels(folder: Path, options: PictureOptions) -> npt.NDArray[np.uint8]:
    """Pictures from a folder, evenly chosen, as the encoder takes them: N x S x S x 3, N at most CALIBRATION_PICTURES.

    Raises:
        Problem: there are none, or one of them cannot be read.
    """
    paths = list_pictures(folder)
    if not paths:
        raise Problem(f"{folder} holds no pictures: name a folder of some hundred of the kind that will be captioned.")
    chosen = np.linspace(0, len(paths) - 1, min(len(paths), CALIBRATION_PICTURES)).round().astype(int)
    return np.stack([pixels_of(paths[place], options) for place in chosen])


def quantised(models: dict[str, ModelProto], pixels: npt.NDArray[np.uint8]) -> dict[str, ModelProto]:
    """The graphs in int8.

    Args:
        models: by file name, in float32.
        pixels: N x S x S x 3, pictures of the kind that will be captioned.
    """
    return {file: _static(model, pixels) if file == ENCODER else dynamic(model) for file, model in models.items()}


class _Pictures:
    """What onnxruntime's calibration reads from, batch by batch."""

    def __init__(self, pixels: npt.NDArray[np.uint8]) -> None:
        self.batches = iter(np.array_split(pixels, range(AT_ONCE, len(pixels), AT_ONCE)))

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"pixels": batch}


def _static(model: ModelProto, pixels: npt.NDArray[np.uint8]) -> ModelProto:
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with _quiet(), tempfile.TemporaryDirectory() as work:
        whole, prepared, small = (Path(work) / name for name in ("whole.onnx", "prepared.onnx", "small.onnx"))
        onnx.save(model, whole)
        quant_pre_process(whole, prepared, skip_symbolic_shape=True)  # fuses what follows a convolution with it
        convolutions = [node.name for node in onnx.load(prepared).graph.node if node.op_type == "Conv"]
        quantize_static(
            prepared, small, _Pictures(pixels), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=convolutions[: len(convolutions) // SPARED],
            extra_options={"CalibMovingAverage": True},  # of the batches' ranges, so that one odd picture does not stretch them
        )  # fmt: skip
        return tidy(onnx.load(small))


def dynamic(model: ModelProto) -> ModelProto:
    """The graph with the weights of its matrix products in int8; ranges of what flows through it are measured as it runs."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet(), tempfile.TemporaryDirectory() as work:
        whole, small = Path(work) / "whole.onnx", Path(work) / "small.onnx"
        onnx.save(_written_out(model), whole)
        vectors = {weight.name for weight in model.graph.initializer if len(weight.dims) < 2}
        spared = [node.name for node in model.graph.node if node.op_type == "MatMul" and vectors & set(node.input)]
        quantize_dynamic(
            whole, small, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True, nodes_to_exclude=spared
        )  # spared is attention's product with v, on tanh's values, which has no second dimension to save on
        return tidy(row_by_row(onnx.load(small)))


def row_by_row(model: ModelProto) -> ModelProto:
    """A graph that was quantised dynamically, with a range for each row where it had one for all that stands in a tensor.

    A row is divided by its largest number before it becomes integers, and its product with the weights multiplied by that. The
    scale of integers, which may not differ by row in onnxruntime's fused products, is then the same for all.
    """
    from onnx import ModelProto, helper, numpy_helper

    model = ModelProto.FromString(model.SerializeToString())  # the caller's stays as it is
    nodes, constants = [], {"last": np.array([-1]), "tiny": np.array(np.finfo(np.float32).tiny, np.float32)}
    largest: dict[str, str] = {}  # by tensor: the largest numbers of the rows that it came from
    for node in model.graph.node:
        source = next((name for name in node.input if name in largest), "")
        if node.op_type == "DynamicQuantizeLinear":
            (rows,), (quantised, scale, middle) = node.input, node.output
            sizes, highest, largest[quantised], even = (f"{rows}_{part}" for part in ("sizes", "highest", "largest", "even"))
            nodes += [
                helper.make_node("Abs", [rows], [sizes]),
                helper.make_node("ReduceMax", [sizes, "last"], [highest], keepdims=1),
                helper.make_node("Max", [highest, "tiny"], [largest[quantised]]),  # a row of zeros stays one
                helper.make_node("Div", [rows, largest[quantised]], [even]),  # from -1 to 1
                helper.make_node("QuantizeLinear", [even, scale, middle], [quantised]),
            ]
            constants |= {scale: np.array(1 / 127, np.float32), middle: np.array(128, np.uint8)}
            continue
        nodes.append(node)
        if source and node.op_type in ("MatMulInteger", "Cast"):
            largest[node.output[0]] = largest[source]
        elif source:  # times the scales of both sides: it is a product of the even rows
            product, node.output[0] = node.output[0], f"{node.output[0]}_even"
            nodes.append(helper.make_node("Mul", [node.output[0], largest[source]], [product]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    return model


def _written_out(model: ModelProto) -> ModelProto:
    """The graph with transposed weights as weights of their own: word vectors that score words too are multiplied so in int8."""
    from onnx import ModelProto, numpy_helper

    model = ModelProto.FromString(model.SerializeToString())  # the caller's stays as it is
    weights = {weight.name: weight for weight in model.graph.initializer}
    for node in [*model.graph.node]:
        if node.op_type == "Transpose" and node.input[0] in weights:
            array = numpy_helper.to_array(weights[node.input[0]])
            order = next((list(each.ints) for each in node.attribute if each.name == "perm"), None)
            written = np.ascontiguousarray(np.transpose(array, order))
            model.graph.initializer.append(numpy_helper.from_array(written, node.output[0]))
            model.graph.node.remove(node)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Its advice about its own options goes to the root logger."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)
