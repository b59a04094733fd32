"""Removal of scenery that hides too much."""

from __future__ import annotations

from dataclasses import replace

from dataset_gen.places.pruning import prune
from vidamodal.worlds.spec import CameraSpec, ObjectSpec, Pose, Vector
from vidamodal.worlds.toy import toy_bank

CAMERA = CameraSpec(30.0, 36.0, ((6.0, 0.0, 1.0),) * 2, ((0.0, 0.0, 1.0),) * 2)


def thing(number: int, place: Vector, scale: Vector, scenery: bool = True, asset: str = "box") -> ObjectSpec:
    pose = Pose(place, (1.0, 0.0, 0.0, 0.0))
    template = toy_bank(0).worlds[0].objects[0]
    return replace(template, id=number, asset=asset, poses=(pose,), scale=scale, scenery=scenery)


def test_only_scenery_that_hides_or_fills_too_much_is_removed() -> None:
    box = toy_bank(0).meshes["box"]
    objects = (
        thing(1, (0.0, 0.0, 1.0), (0.3, 0.5, 1.0), scenery=False),
        thing(2, (1.5, 0.0, 1.0), (0.1, 0.1, 1.0)),  # a pole
        thing(3, (1.0, 0.0, 1.0), (0.1, 2.0, 2.0)),  # a wall before the subject
        thing(4, (1.5, 0.45, 1.0), (0.05, 0.2, 1.0), asset="backdrop/0000"),
        thing(5, (-4.0, 0.0, 1.0), (0.1, 9.0, 9.0), asset="backdrop/0000"),
        thing(6, (2.0, 0.0, 1.0), (0.1, 3.0, 3.0), scenery=False),  # a target may hide whatever it does
    )
    meshes = {"box": box, "backdrop/0000": box}
    pruned = prune(objects[:5], meshes, CAMERA, 1.5)
    kept = pruned.objects
    assert 0.03 < pruned.shown < 0.5 and 0.02 < pruned.occluded < 0.5
    assert [(o.id, o.poses) for o in kept] == [(k + 1, objects[j].poses) for k, j in enumerate((0, 1, 4))]
    assert len(prune((objects[0], objects[5]), meshes, CAMERA, 1.5).objects) == 2
