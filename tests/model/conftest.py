"""A small captioner, and pictures for it, shared by the tests of the model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from showtell.model.decoder import Decoder
from showtell.model.encoder import Encoder
from showtell.model.options import DecoderOptions, EncoderOptions
from showtell.model.torch_captioner import TorchCaptioner
from showtell.pictures import PictureOptions
from showtell.vocabulary import SPECIALS, Vocabulary


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return Vocabulary((*SPECIALS, "a", "the", "red", "blue", "star", "ring", "on", "left", "of", "and"))


@pytest.fixture(scope="session")
def captioner(vocabulary: Vocabulary) -> TorchCaptioner:
    """Random weights, so large that every picture and every word make a difference."""
    torch.manual_seed(0)
    encoder = Encoder(EncoderOptions("tiny", "none"), 32)
    decoder = Decoder(DecoderOptions(embed_size=8, hidden_size=8, attention_dim=8), len(vocabulary), encoder.channels)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(6)
        encoder.layer_groups()["top"][-1][1].weight.mul_(20)  # what a cell shows counts as much as where it lies
    return TorchCaptioner(encoder, decoder, vocabulary, PictureOptions(picture_size=32), "random")


@pytest.fixture(scope="session")
def pictures() -> list[Image.Image]:
    """Four pictures of different shapes and colours."""
    random, kinds = np.random.default_rng(0), [(40, 60, "red"), (64, 64, "black"), (31, 50, "white"), (90, 30, "blue")]
    found = []
    for width, height, colour in kinds:
        noise = Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
        found.append(Image.blend(Image.new("RGB", (width, height), colour), noise, 0.3))
    return found
