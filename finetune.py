"""Trains a model on with your pictures: `python finetune.py --pretrained_path pretrained_models/mine.pt --data mine`.

It is `showtell finetune` with config.py under it; `python finetune.py --help` explains every setting.
"""

import sys

from config import Config
from showtell.cli import main

if __name__ == "__main__":
    sys.exit(main(["finetune", *sys.argv[1:]], config=Config))
