"""A photograph to the encoder's input as tutorials write it: Pillow, and torchvision's transforms one picture at a time."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from torch import Tensor
from torchvision import transforms

transform = transforms.Compose(
    [
        transforms.Resize((224, 224)),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)


def load(path: Path) -> Tensor:
    """float32 3 x 224 x 224, normalised."""
    tensor: Tensor = transform(Image.open(path).convert("RGB"))
    return tensor
