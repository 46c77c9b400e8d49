"""The model card: what a model is, what it was made from, how well it does, and under which licence."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from showtell.model.artefact import Artefact


@dataclass(frozen=True)
class Licences:
    """What its maker allows; nothing is guessed."""

    license: str = "unknown"
    """Of the weights: a licence identifier of the Hub's, such as mit or cc-by-4.0."""
    data_license: str = "unknown"
    """Of the training data, in words."""


def model_card(artefact: Artefact, name: str, licences: Licences) -> str:
    """The card as Markdown, below the header in YAML that the Hub reads."""
    header = {
        "license": licences.license, "library_name": "showtell", "pipeline_tag": "image-to-text",
        "tags": ["image-captioning", "attention", "show-attend-and-tell"],
    }  # fmt: skip
    facts = {key: value for key, value in artefact.training.items() if key != "settings"}
    encoder, decoder, pictures = (asdict(o) for o in (artefact.encoder_options, artefact.decoder_options, artefact.pictures))
    words = {"words": len(artefact.vocabulary), "tokenizer": artefact.vocabulary.tokenizer}
    rooms = {"encoder": encoder, "decoder": decoder, "pictures": pictures, "vocabulary": words}
    rooms |= {key: value for key, value in artefact.training.get("settings", {}).items() if key not in rooms}
    return f"""---
{yaml.safe_dump(header, sort_keys=False).strip()}
---

# {name}

An image captioner with a {artefact.encoder_options.encoder} encoder and an LSTM decoder with additive attention
(*Show, Attend and Tell*, Xu et al. 2015, arXiv:1502.03044). It says a sentence of a picture, and shows for every word
where it looked.

    from showtell import Captioner
    captioner = Captioner.from_pretrained("{name}")  # this folder, or its name on the Hub
    print(captioner.caption("photo.jpg").text)

## Training data

{_table(facts) or "Not recorded."}

## Scores

{_scores(artefact.scores) or "None were recorded when the model was exported."}

## Settings

{chr(10).join(f"### {room}{chr(10)}{chr(10)}{_table(values)}{chr(10)}" for room, values in rooms.items())}
## Limits

It knows the {len(artefact.vocabulary)} words of its vocabulary and the kind of picture that it was trained on; of others it says
something all the same, and what it says of people may be wrong or unkind. See what it looked at before you rely on it.

## Licences

Weights: {licences.license}. Training data: {licences.data_license}.
"""


def _scores(scores: dict[str, Any]) -> str:
    rows = []
    for name, score in scores.items():
        value, signature = (score.get("value"), score.get("signature")) if isinstance(score, dict) else (score, name)
        if value is not None:
            rows.append(f"| {_cell(name)} | {_cell(value)} | `{_cell(signature)}` |")
    return "\n".join(["| score | value | signature |", "|---|---|---|", *rows]) if rows else ""


def _table(values: dict[str, Any]) -> str:
    rows = [f"| {_cell(name)} | {_cell(value)} |" for name, value in values.items()]
    return "\n".join(["| | |", "|---|---|", *rows]) if rows else ""


def _cell(value: Any) -> str:
    """A value as it may stand in a table: on one line, its bars escaped."""
    if isinstance(value, float):
        value = f"{value:.4g}"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return " ".join(text.split()).replace("|", "\\|")
