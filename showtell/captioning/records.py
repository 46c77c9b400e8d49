"""What is kept of a captioned picture, and of one that could not be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from showtell.model.captioner import Caption

Record = dict[str, Any]
"""Plain data with the keys `image caption words logprobs confidence candidates model`, or `image error`."""

DIGITS = 6
"""Decimals kept of logarithms and confidences: as many as float32 means."""


def captioned(image: str, caption: Caption, model: str) -> Record:
    """The record of a picture.

    Args:
        image: the picture's name, as the user gave it.
        caption: what the model says; its `candidates`, the best included, go along, best first.
        model: the model's name.
    """
    candidates = [_said(each) for each in caption.candidates]
    return {"image": image} | _said(caption) | {"candidates": candidates, "model": model}


def skipped(image: str, error: str) -> Record:
    """The record of a picture that could not be read, and why."""
    return {"image": image, "error": error}


def _said(caption: Caption) -> Record:
    return {
        "caption": caption.text,
        "words": list(caption.words),
        "logprobs": [round(each, DIGITS) for each in caption.log_probabilities],  # one more than words where it ended by itself
        "confidence": round(caption.confidence, DIGITS),
    }
