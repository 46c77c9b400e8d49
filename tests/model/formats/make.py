"""How the kept model files came to be: `python tests/model/formats/make.py NAME.pt`, with the showtell that is to be remembered.

Random weights, rounded so that the repository packs them well, and a decoder so loud that pictures and words make a difference;
the encoder is one of timm's, since it is for nobody here to change. `v1_first.pt` was written by the first showtell that had
model files, before the decoder had grid_size and word_query.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from showtell.model.artefact import Artefact, save_artefact
from showtell.model.decoder import Decoder
from showtell.model.encoder import Encoder
from showtell.model.options import DecoderOptions, EncoderOptions
from showtell.pictures import PictureOptions
from showtell.vocabulary import SPECIALS, Vocabulary

WORDS = ("a", "the", "red", "blue", "star", "ring", "on", "left", "of", "and")


def small_artefact() -> Artefact:
    """A captioner of today's format."""
    torch.manual_seed(0)
    encoder = Encoder(EncoderOptions("timm:test_efficientnet", "none"), 96)
    decoder = Decoder(DecoderOptions(embed_size=8, hidden_size=8, attention_dim=8), 4 + len(WORDS), encoder.channels)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.copy_((parameter * 64).round() / 64)
        for parameter in decoder.parameters():
            parameter.copy_((parameter * 24 * 64).round() / 64)
    vocabulary = Vocabulary((*SPECIALS, *WORDS), min_frequency=5, max_words=0)
    return Artefact.of(
        encoder, decoder, vocabulary, PictureOptions(picture_size=96), training={"data": "scenes", "epochs": 3}, scores={}
    )


if __name__ == "__main__":
    save_artefact(small_artefact(), Path(sys.argv[1]))
