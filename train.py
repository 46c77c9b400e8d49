"""Trains a captioner: `showtell train` with the editable config.py under it. `python train.py --help` explains every setting."""

import sys

from config import Config
from showtell.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]], config=Config))
