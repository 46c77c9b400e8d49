"""Encoder and decoder, for import: `from model import Decoder, Encoder`. What they do is in showtell/model/."""

from showtell.model.decoder import Decoder
from showtell.model.encoder import Encoder

__all__ = ["Decoder", "Encoder"]
