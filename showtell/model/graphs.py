"""From torch to ONNX: encoder, start and step of a decoder as three graphs (what they are is in showtell/model/exported.py).

Writing them takes the extra `export` (onnx, onnxscript); running them does not.
"""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from showtell.errors import Problem, first_line, missing_extra
from showtell.files import as_utf8
from showtell.model.artefact import Artefact
from showtell.model.card import Licences, model_card
from showtell.model.config import CARD, CLASSES, CONFIG, GRAPHS, WORDS
from showtell.model.decoder import Decoder, State
from showtell.model.encoder import Encoder
from showtell.model.exported import FORMAT, Sizes
from showtell.model.folder import replaced_whole, write
from showtell.vocabulary import save_vocab

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET, IR = 18, 10
"""Versions of ONNX that onnxruntime has read since 1.18."""


class _Encoder(nn.Module):
    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder, self.knows_classes = encoder, encoder.backbone.knows_classes

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        grid: Tensor = self.encoder(pixels.permute(0, 3, 1, 2))
        return (grid, self.encoder.backbone.classify(grid)) if self.knows_classes else (grid,)


class _Start(nn.Module):
    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, grid: Tensor) -> tuple[Tensor, ...]:
        state = self.decoder.start(grid)
        return state.grid, state.keys, state.hidden, state.cell


class _Step(nn.Module):
    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, words: Tensor, features: Tensor, keys: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, ...]:
        log_probabilities, state, attention = self.decoder.step(words, State(features, keys, hidden, cell))
        return log_probabilities, state.hidden, state.cell, attention


def class_names() -> list[str]:
    """ImageNet's 1,000 labels, in the order of the classifiers that are trained on it."""
    from torchvision.models import ResNet50_Weights

    return list(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])


def graph_sizes(encoder: Encoder, decoder: Decoder) -> Sizes:
    """The shapes that the graphs of these two have."""
    options = decoder.options
    features = options.grid_size or decoder.channels
    return Sizes(
        encoder.picture_size, encoder.grid_shape, decoder.vocabulary_size, encoder.channels, features,
        options.attention_dim, options.hidden_size, len(class_names()) if encoder.backbone.knows_classes else 0,
    )  # fmt: skip


def trace(encoder: Encoder, decoder: Decoder) -> dict[str, ModelProto]:
    """The graphs by file name, in float32.

    Args:
        encoder, decoder: on the CPU, in evaluation mode.

    Raises:
        Problem: the extra `export` is not installed, or the encoder has what ONNX lacks.
    """
    check_extra()
    modules = (_Encoder(encoder), _Start(decoder), _Step(decoder))
    signatures = graph_sizes(encoder, decoder).signatures()
    return {file: _traced(module.eval(), file, *signatures[file]) for file, module in zip(GRAPHS, modules, strict=True)}


def check_extra() -> None:
    """See that graphs can be written here.

    Raises:
        Problem: the extra `export` is not installed.
    """
    if find_spec("onnx") is None or find_spec("onnxscript") is None:
        raise missing_extra("Exporting to ONNX", "export")


def _traced(module: nn.Module, file: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> ModelProto:
    free = {"pictures": torch.export.Dim("pictures"), "rows": torch.export.Dim("rows")}
    arguments = tuple(_example(*signature) for signature in inputs.values())
    shapes = [{axis: free[size] for axis, size in enumerate(shape) if isinstance(size, str)} for _, shape in inputs.values()]
    try:
        with _quiet(), torch.inference_mode(False), torch.no_grad():
            program = torch.onnx.export(
                module, arguments, dynamo=True, opset_version=OPSET, external_data=False, verbose=False, optimize=True,
                input_names=list(inputs), output_names=list(outputs), dynamic_shapes=shapes,
            )  # fmt: skip
    except Exception as error:  # of many kinds, torch's and onnxscript's
        raise Problem(f"{file} cannot be written: this model has what ONNX lacks ({first_line(error)}).") from error
    assert program is not None
    return tidy(program.model_proto)


def _example(kind: str, shape: tuple[int | str, ...]) -> Tensor:
    types = {"tensor(uint8)": torch.uint8, "tensor(int64)": torch.int64, "tensor(float)": torch.float32}
    sizes = {"pictures": 2, "rows": 3}  # all different from 1, which the exporter takes for fixed
    return torch.zeros([sizes[size] if isinstance(size, str) else size for size in shape], dtype=types[kind])


def tidy(model: ModelProto) -> ModelProto:
    """The graph without what only its maker could use: where in whose files each operator was written."""
    model.ir_version = IR
    for part in (model, model.graph, *model.graph.node, *model.graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    del model.graph.value_info[:]
    return model


def halved(model: ModelProto) -> ModelProto:
    """The graph with its matrices and convolutions stored in float16; onnxruntime makes float32 of them when it opens it.

    What float16 cannot hold stays float32.
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != TensorProto.FLOAT or len(weight.dims) < 2:
            continue
        with np.errstate(over="ignore"):
            half = numpy_helper.to_array(weight).astype(np.float16)
        if np.isfinite(half).all():
            name = weight.name
            weight.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
            casts.append(helper.make_node("Cast", [weight.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def save_graphs(
    artefact: Artefact, models: Mapping[str, ModelProto], precision: str, folder: Path, licences: Licences
) -> list[Path]:
    """Writes the folder of an exported model, whole or not at all; a model folder of that name is replaced.

    Args:
        artefact: what the graphs were made from.
        models: the three graphs by file name.
        precision: of their weights, in words.

    Returns:
        Its files.

    Raises:
        Problem: it cannot be written, or what lies there is no model folder.
    """
    sizes = graph_sizes(*artefact.build())
    contents = {file: models[file].SerializeToString() for file in GRAPHS}
    about = artefact.about() | {
        "format": FORMAT,
        "precision": precision,
        "grid": asdict(sizes.grid),
        "sizes": {name: getattr(sizes, name) for name in ("channels", "features", "keys", "hidden")},
        "graphs": {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()},
    }
    contents[CONFIG] = as_utf8(json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    if sizes.classes:
        contents[CLASSES] = "".join(f"{name}\n" for name in class_names()).encode()
    contents[CARD] = as_utf8(model_card(artefact, folder.name, licences))
    with replaced_whole(folder) as new:
        for file, content in contents.items():
            write(new / file, content)
        save_vocab(artefact.vocabulary, new / WORDS)
    return [folder / file for file in (*contents, WORDS)]


@contextmanager
def _quiet() -> Iterator[None]:
    """What the exporter says of itself stays unsaid; what fails is raised."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
