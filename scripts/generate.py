"""Generate videos with exact amodal ground truth: `python scripts/generate.py --out DIR --scenes N --seed S`."""

import sys

from dataset_gen.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
