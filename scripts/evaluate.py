"""Score predictions against ground truth: `python scripts/evaluate.py --pred PATH --truth PATH`."""

import sys

from vidamodal.cli import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
