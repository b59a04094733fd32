"""Predict the amodal masks of a video's objects: `python scripts/infer.py VIDEO --masks MASKS --out DIR`."""

import sys

from vidamodal.cli import main

if __name__ == "__main__":
    main(["predict", *sys.argv[1:]])
