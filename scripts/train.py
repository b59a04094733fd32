"""Train a model: `accelerate launch scripts/train.py --config NAME|FILE [--section.key VALUE ...]`."""

import sys

from vidamodal.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
