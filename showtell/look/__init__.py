"""Where a captioner looked, as pictures that people can read: on plain arrays and Pillow images, of any model.

figure = attention_figure(picture, words, maps, seen.box, title="A dog runs.")
figure.save("dog.png")
"""

from __future__ import annotations

from showtell.look.figure import attention_figure
from showtell.look.maps import density, glow, overlay, upsample

__all__ = ["attention_figure", "density", "glow", "overlay", "upsample"]
