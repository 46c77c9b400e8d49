"""The weights that an exported model's graphs hold, as torch has them, so that it can be trained on.

config.json tells under "origins" where each weight lies: name of the weight -> graph, name there, whether it is transposed. The
graph has it under that name, or as NAME.half, or as NAME_quantized with its scale and zero point. A BatchNorm is part of the
convolution before it there; here it adds what the graph adds, and does nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from showtell.errors import Problem, WrongUse, first_line
from showtell.model.artefact import Artefact, artefact_of
from showtell.model.config import CONFIG, GRAPHS, WORDS, options_of, read_config
from showtell.model.decoder import Decoder
from showtell.model.encoder import Encoder
from showtell.model.exported import ENCODER, ExportedCaptioner
from showtell.model.onnx_file import initializers
from showtell.model.options import DecoderOptions, EncoderOptions
from showtell.vocabulary import load_vocab

if TYPE_CHECKING:
    from onnx import ModelProto

Arrays = Mapping[str, npt.NDArray[Any]]


def regain(folder: Path) -> Artefact:
    """The model of a folder of graphs, as one with weights; of weights in int8, what int8 kept of them.

    Raises:
        WrongUse: its maker did not tell where the weights lie.
        Problem: it is damaged.
    """
    ExportedCaptioner.load(folder, "cpu", folder.name)  # looks through every file
    content = read_config(folder / CONFIG)
    if "origins" not in content:
        raise WrongUse(f"{folder} was exported to ONNX: it captions, and goes no other way; give the model that it came from.")
    graphs: dict[str, Arrays] = {}
    parts: dict[str, dict[str, Tensor]] = {"encoder": {}, "decoder": {}}
    try:
        with torch.device("meta"):  # for the names of their weights
            encoder = Encoder(options_of(EncoderOptions, content["architecture"]["encoder"]), content["pictures"]["picture_size"])
            decoder = Decoder(options_of(DecoderOptions, content["architecture"]["decoder"]), 1, encoder.channels)
        names = {f"encoder.{name}" for name in encoder.state_dict()} | {f"decoder.{name}" for name in decoder.state_dict()}
        for name, (file, origin, transposed) in content["origins"].items():
            if name not in names or file not in GRAPHS:
                raise ValueError(f"{name} in {file} is no weight of such a model")
            if file not in graphs:
                shared = file == ENCODER and not (folder / file).is_file()
                graphs[file] = initializers(folder.parent / file if shared else folder / file)
            weight = _weight(graphs[file], origin)
            part, _, inner = name.partition(".")
            parts[part][inner] = torch.tensor(weight.T if transposed else weight)
        parts["encoder"] |= dict(_neutral(encoder, parts["encoder"]))
        words = load_vocab(folder / WORDS).to_dict()
        return artefact_of(content | {"vocabulary": words} | parts, folder)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise Problem(f"the weights of {folder} cannot be read ({first_line(error)}): get it from its maker again.") from None


def _weight(graph: Arrays, name: str) -> npt.NDArray[np.float32]:
    if name in graph or f"{name}.half" in graph:
        return np.asarray(graph[name if name in graph else f"{name}.half"], np.float32)
    whole = graph[f"{name}_quantized"]
    base = name if f"{name}_scale" in graph else f"{name}_quantized"  # onnxruntime names those of biases so
    scale, zero = graph[f"{base}_scale"], graph[f"{base}_zero_point"]
    # A convolution has a scale for each of its outputs, which come first, a matrix for each column, also where it is square.
    axes = range(whole.ndim)[:: -1 if whole.ndim == 2 else 1]
    axis = next((axis for axis in axes if scale.size == whole.shape[axis]), 0)
    spread = [-1 if each == axis else 1 for each in range(whole.ndim)] if scale.size > 1 else [1] * whole.ndim
    return (whole.astype(np.float32) - zero.astype(np.float32).reshape(spread)) * scale.reshape(spread)


def _neutral(encoder: Encoder, given: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """What of the BatchNorms is in no graph: they subtract nothing and divide by one."""
    for name, module in encoder.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            ones = torch.ones(module.num_features)
            values = {"weight": ones, "running_mean": 0 * ones, "running_var": ones - module.eps}
            values["num_batches_tracked"] = torch.tensor(0)
            yield from ((f"{name}.{key}", value) for key, value in values.items() if f"{name}.{key}" not in given)


def origins(encoder: Encoder, decoder: Decoder, models: Mapping[str, ModelProto]) -> dict[str, list[Any]]:
    """Where each weight lies in the graphs that were traced from these two, before anything was quantised.

    Raises:
        Problem: a weight is in no graph.
    """
    from onnx import numpy_helper

    found: dict[str, list[Any]] = {}
    for node in models[ENCODER].graph.node:
        if node.op_type == "Conv":
            found[node.input[1]] = [ENCODER, node.input[1], False]
            group, _, number = node.input[1].removesuffix(".weight").rpartition(".")
            found[f"{group}.{int(number) + 1}.bias"] = [ENCODER, node.input[2], False]
    weights = {f"{part}.{name}": tensor.numpy() for part, module in (("encoder", encoder), ("decoder", decoder))
               for name, tensor in module.state_dict().items()}  # fmt: skip
    folded = {name.rpartition(".")[0] for name in found}
    for name, weight in weights.items():
        if name in found or name.rpartition(".")[0] in folded:
            continue
        for file, model in models.items():
            for each in model.graph.initializer:
                array = numpy_helper.to_array(each)
                if name not in found and array.shape == weight.shape and np.array_equal(array, weight):
                    found[name] = [file, each.name, False]
                if name not in found and array.shape == weight.shape[::-1] and np.array_equal(array.T, weight):
                    found[name] = [file, each.name, True]
        if name not in found:
            raise Problem(f"the weight {name} is in no graph.")
    return found
