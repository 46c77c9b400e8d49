"""Exports a trained model for others: NAME.pt and vocab.pkl in pretrained_models, or a folder for the Hugging Face Hub.

It is `showtell export` with config.py under it; `python export_pretrained.py --help` explains every setting.
"""

import sys

from config import Config
from showtell.cli import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]], config=Config))
