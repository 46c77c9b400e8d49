"""showtell: a sentence for a picture, and for every word a map of where the model looked.

    from showtell import Captioner
    captioner = Captioner.from_pretrained("checkpoints/best_model.pt")
    print(captioner.caption("photo.jpg").text)

Importing the package imports no torch; the first use of a name below imports what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Captioner", "Vocabulary", "__version__"]

if TYPE_CHECKING:
    from showtell.model.captioner import Captioner
    from showtell.vocabulary import Vocabulary


def __getattr__(name: str) -> Any:
    if name == "Captioner":
        from showtell.model.captioner import Captioner

        return Captioner
    if name == "Vocabulary":
        from showtell.vocabulary import Vocabulary

        return Vocabulary
    raise AttributeError(f"module 'showtell' has no attribute {name!r}")
