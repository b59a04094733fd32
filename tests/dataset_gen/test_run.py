"""Settings of a run."""

from __future__ import annotations

import json

from dataset_gen.run import Run


def test_settings_contain_newer_fields_only_if_they_differ_from_their_default() -> None:
    plain = Run(1, 0, "test", "movid_a", 128, 24, 16, False)
    names = ["scenes", "seed", "split", "preset", "size", "frames", "samples", "masks_only", "generator"]
    assert list(plain.settings()) == names
    assert Run(1, 0, "test", "movid_a", 128, 24, 16, False, depth=True).settings() == {
        **plain.settings(),
        "depth": True,
    }
    assert json.loads(json.dumps(plain.settings())) == plain.settings()
