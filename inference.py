"""Captions pictures: `python inference.py --image photo.jpg photos/ "more/*.webp"`, or without arguments the one named below.

It is `showtell caption` with config.py under it; `python inference.py --help` explains every setting.
"""

import sys

from config import Config
from showtell.cli import main

image_path = "photo.jpg"

if __name__ == "__main__":
    sys.exit(main(["caption", *(sys.argv[1:] or [image_path])], config=Config))
