"""Presets: number and kind of objects, and moving cameras."""

from __future__ import annotations

from dataset_gen.presets import PHYSICAL, PRESETS
from dataset_gen.scenes import sample_scene
from tests.dataset_gen.helpers import needs_things


@needs_things
def test_presets_have_the_stated_numbers_of_objects_and_moving_cameras() -> None:
    counts_by_preset = {
        preset: [
            (
                sum(o.throw is None and o.deformation is None for o in spec.objects),
                sum(o.throw is not None for o in spec.objects),
                sum(o.deformation is not None for o in spec.objects),
                len(set(spec.camera.positions)) > 1,
            )
            for spec in (sample_scene(preset, "train", seed) for seed in range(12))
        ]
        for preset in PHYSICAL
    }
    assert set(PRESETS) == set(PHYSICAL)
    for preset, scenes in counts_by_preset.items():
        ranges = PRESETS[preset]
        for column, (low, high) in enumerate((ranges.objects, ranges.thrown, ranges.creatures)):
            counts = [scene[column] for scene in scenes]
            assert low <= min(counts) and max(counts) <= high, (preset, column)
        moves = [scene[3] for scene in scenes]
        assert all(moves) if preset == "movid_a" else 1 < sum(moves) < 12
