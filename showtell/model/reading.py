"""Opening what `torch.save` wrote, from wherever it comes: tensors and plain data only."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch

from showtell.errors import first_line


def read_pt(path: Path) -> Any:
    """The content of a .pt file, its tensors on the CPU. Nothing in the file is executed.

    Raises:
        ValueError: it cannot be read; the message is a clause that says why.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that are refused anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # torch's own sentence explains how to run the code all the same
        raise ValueError("it is of another kind, or carries code, which showtell never runs") from None
    except Exception as error:  # a broken or hostile file may raise anything
        raise ValueError(f"it is cut off or damaged ({first_line(error)})") from None
