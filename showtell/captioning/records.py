"""What is kept of a captioned picture, and of one that could not be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from showtell.model.captioner import Caption

Record = dict[str, Any]
"""Plain data with the keys `image caption words logprobs confidence candidates model`, or `image error`.

Of a model that knows when it guesses there is `guess` too, of one with a classifier `labels`: label and probability; and where
several languages were asked for `languages`, which holds `caption words logprobs confidence candidates guess` for each.
"""

DIGITS = 6
"""Decimals kept of logarithms and confidences: as many as float32 means."""


def captioned(image: str, caption: Caption, model: str, labels: int = 0) -> Record:
    """The record of a picture.

    Args:
        image: the picture's name, as the user gave it.
        caption: what the model says; its `candidates`, the best included, go along, best first.
        model: the model's name.
        labels: how many of the classifier's labels go along.
    """
    record: Record = {"image": image} | _said(caption)
    record |= _candidates(caption) | {"model": model} | _guess(caption)
    if seen := caption.labels[:labels]:
        record["labels"] = [{"label": label, "probability": round(probability, DIGITS)} for label, probability in seen]
    if caption.languages:
        record["languages"] = {
            language: _said(each) | _candidates(each) | _guess(each) for language, each in caption.languages.items()
        }
    return record


def skipped(image: str, error: str) -> Record:
    """The record of a picture that could not be read, and why."""
    return {"image": image, "error": error}


def _candidates(caption: Caption) -> Record:
    return {"candidates": [_said(each) for each in caption.candidates]}


def _guess(caption: Caption) -> Record:
    return {} if caption.guess is None else {"guess": caption.guess}


def _said(caption: Caption) -> Record:
    return {
        "caption": caption.text,
        "words": list(caption.words),
        "logprobs": [round(each, DIGITS) for each in caption.log_probabilities],  # one more than words where it ended by itself
        "confidence": round(caption.confidence, DIGITS),
    }
