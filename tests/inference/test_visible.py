"""From bare frames, points, boxes or a first mask to tracks: who is who through hiding, and what SAM 2 is told."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

import vidamodal
import vidamodal.inference.sources as sources_module
from scripts.experiments.bare import __main__ as bare
from scripts.experiments.bare.regions import RegionFinder
from scripts.experiments.bare.track_detections import count_found, score_found
from tests.helpers import ToyClip
from tests.segmenters.test_cumulative import model_of
from vidamodal.cli import main
from vidamodal.formats.tracks import read_tracks, write_tracks
from vidamodal.inference.finders.sam2 import DEFAULT_SAM, PROMPTED, Sam2Finder, load_sam
from vidamodal.inference.runtime import Timings
from vidamodal.inference.track_builder import build_tracks
from vidamodal.inference.tracker import Tracker, TrackerConfig
from vidamodal.media.prompts import Prompt
from vidamodal.media.video import open_video
from vidamodal.types import ClipTracks, FrameInstance, InputError, Rle, Track, VideoInfo
from vidamodal.worlds.sample import random_camera
from vidamodal.worlds.toy import toy_bank
from vidamodal.worlds.truth import true_tracks

SIZE = 64


def disc(x: float, y: float, radius: float = 6) -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    return (columns - x) ** 2 + (rows - y) ** 2 < radius**2


def box(left: int, right: int, top: int = 0, bottom: int = SIZE) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def found(*masks: np.ndarray, looks: Sequence[object] = (), score: float = 0.9) -> list[FrameInstance]:
    """A frame's instances, those in front first; nothing is found of what shows nothing."""
    front, out = np.zeros((SIZE, SIZE), dtype=bool), []
    for k, mask in enumerate(masks):
        look = np.asarray(looks[k], dtype=float) if k < len(looks) and looks[k] is not None else None
        if (mask & ~front).any():
            out.append(FrameInstance(mask & ~front, mask, k + 1, None, score, look))
        front = front | mask
    return out


def follow(frames: Sequence[Sequence[FrameInstance]], **rules: float) -> list[list[int | None]]:
    tracker = Tracker(TrackerConfig(**rules))  # type: ignore[arg-type]
    return [tracker.update(t, instances) for t, instances in enumerate(frames)]


def join(frames: Sequence[Sequence[FrameInstance]], **rules: float) -> ClipTracks:
    video = VideoInfo("v.mp4", SIZE, SIZE, len(frames), 12.0)
    return build_tracks(video, frames, TrackerConfig(**rules), Timings())  # type: ignore[arg-type]


# Who is who


def passing(speed: float = 1.5) -> list[list[FrameInstance]]:
    """A disc that passes behind a wide box, and is altogether hidden for longer than an unseen track waits."""
    frames = [found(box(16, 50), disc(6 + speed * t, 32)) for t in range(int(52 / speed))]
    assert sum(len(instances) == 1 for instances in frames) > TrackerConfig().patience
    return frames


def test_an_object_that_passes_behind_another_is_the_same_one_when_it_comes_out() -> None:
    clip = join(passing())
    assert [track.id for track in clip.tracks] == [1, 2]
    behind = clip.tracks[1]
    assert behind.visible[0] is not None and behind.visible[-1] is not None and None in behind.visible
    assert behind.amodal is not None and all(mask is not None for mask in behind.amodal)
    hidden = behind.visible.index(None)
    assert (behind.amodal[hidden].decode() & box(16, 50)).any()  # type: ignore[union-attr]
    assert clip.order is not None and clip.order[hidden] == ((1, 2),)
    assert len(join(passing(), occluded_share=2.0).tracks) == 3  # were no place taken for a hidden one
    assert len(join(passing(), max_unseen=6).tracks) == 3  # nor does it wait for ever


def test_an_object_that_stopped_while_it_was_hidden_is_found_near_where_it_was_expected() -> None:
    path = [10 + 1.5 * t for t in range(12)] + [25.0] * 4
    frames = [found(box(16, 44), disc(x, 32)) for x in path] + [found(disc(25, 32))] * 3
    assert {ids[-1] for ids in follow(frames)[-3:]} == {2}
    away = [*frames[:-3], found(disc(25, 6))]
    assert follow(away)[-1] == [3]


def test_an_object_that_turned_back_while_it_was_hidden_is_found_where_it_went_in() -> None:
    path = [*range(6, 34, 3), 33, 33, *range(30, 8, -3)]
    ids = follow([found(box(22, 44), disc(x, 32, 6)) for x in path])
    assert [1] in ids and ids[-1] == [1, 2]


@pytest.mark.parametrize(
    "rules", [{"inertia": 1.5}, {"patience": -1}, {"reach": float("nan")}, {"min_frames": 0}], ids=str
)
def test_rules_that_mean_nothing_are_refused(rules: dict[str, float]) -> None:
    with pytest.raises(InputError, match=f"tracker: {next(iter(rules))} must be at least"):
        TrackerConfig(**rules)  # type: ignore[arg-type]


def test_an_object_is_known_by_its_looks_wherever_it_appears() -> None:
    red, blue = [1.0, 0.0], [0.0, 1.0]
    frames = [found(disc(10, 10), looks=[red])] * 3 + [[]] * 3
    assert follow([*frames, found(disc(50, 50), looks=[red])])[-1] == [1]
    assert follow([*frames, found(disc(50, 50), looks=[blue])])[-1] == [2]
    assert follow([*frames, found(disc(50, 50))])[-1] == [2]  # looks are not told
    crossing = [found(disc(30, 30), disc(33, 30), looks=[red, blue])] * 2
    swapped = found(disc(30, 30), disc(33, 30), looks=[blue, red])
    assert follow([*crossing, swapped], appearance_weight=2.0)[-1] == [2, 1]
    assert follow([*crossing, swapped], appearance_weight=0.0)[-1] == [1, 2]


def test_the_longer_an_object_was_not_seen_the_farther_it_may_have_gone() -> None:
    still, away = [found(disc(20, 20))] * 3, [found(disc(29, 20))]
    assert follow([*still, *away])[-1] == [2]
    assert follow([*still, *[[]] * 7, *away])[-1] == [1]


def test_looks_that_all_objects_share_say_nothing() -> None:
    alike = [[1.0, 0.02], [1.0, 0.0]]
    frames = [found(disc(30, 30), disc(40, 30), looks=alike)] * 2
    moved_on = found(disc(31, 30), disc(41, 30), looks=alike[::-1])
    assert follow([*frames, moved_on])[-1] == [1, 2]


def test_visible_masks_count_where_the_whole_ones_are_guessed_badly() -> None:
    shown = disc(20, 32)
    frames = [[FrameInstance(shown, shown, 1, None, 0.9)], [FrameInstance(shown, box(14, 64), 1, None, 0.9)]]
    assert follow(frames) == [[1], [1]]
    assert follow(frames, min_overlap=1.01, reach=0.0) == [[1], [2]]


def test_what_is_weak_carries_a_track_on_and_begins_none() -> None:
    strong, weak = found(disc(20, 20)), found(disc(20, 20), disc(50, 50), score=0.1)
    assert follow([strong, weak, weak]) == [[1], [1, None], [1, None]]
    clip = join([strong, weak, weak])
    assert [track.id for track in clip.tracks] == [1]
    assert follow([weak], min_birth_score=0.05) == [[1, 2]]


def test_a_track_has_the_label_that_most_of_its_scores_give() -> None:
    def told(label: str | None, score: float) -> list[FrameInstance]:
        return [replace(found(disc(20, 20))[0], label=label, score=score)]

    assert join([told("mug", 0.5), told("mug", 0.5), told("bowl", 0.9), told(None, 0.9)]).tracks[0].label == "mug"
    assert join([told("mug", 0.4), told("bowl", 0.9), told("mug", 0.4)]).tracks[0].label == "bowl"
    assert join([told(None, 0.9)] * 2).tracks[0].label is None


def test_of_a_pixel_that_two_show_the_one_in_front_has_it_and_what_shows_is_part_of_the_whole() -> None:
    front, back = disc(30, 30), disc(34, 30)
    clip = join([[FrameInstance(front, front, 1, None, 0.9), FrameInstance(back, disc(34, 30, 3), 2, None, 0.9)]])
    one, other = clip.tracks
    assert one.visible[0] == Rle.encode(front) and other.visible[0] == Rle.encode(back & ~front)
    assert other.amodal == (Rle.encode(disc(34, 30, 3) | (back & ~front)),)


def test_the_order_of_a_pair_holds_where_one_of_them_is_missed() -> None:
    pair = found(disc(30, 30), disc(36, 30))
    clip = join([pair, pair, pair[1:], pair[:1], pair])
    assert clip.order == (((1, 2),),) * 5
    assert join([pair[::-1], pair[1:], pair[::-1]]).order == (((1, 2),),) * 3  # by the order that they came in


@st.composite
def scenes(draw: st.DrawFn) -> list[list[FrameInstance]]:
    """Discs at random that may be equal, and that may look alike."""
    place, kind = st.integers(1, 8).map(lambda k: 7.0 * k), st.sampled_from([None, [1.0, 0.0], [0.0, 1.0]])
    one = st.tuples(place, place, st.sampled_from([4, 9]), kind)
    return [
        found(*(disc(x, y, r) for x, y, r, _ in discs), looks=[look for *_, look in discs])
        for discs in draw(st.lists(st.lists(one, max_size=4), min_size=2, max_size=6))
    ]


@settings(max_examples=60, deadline=None)
@given(frames=scenes(), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_a_frame_s_instances_decides_only_the_numbers(
    frames: list[list[FrameInstance]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(instances)) for instances in frames]
    plain = [key for ids in follow(frames) for key in ids]
    mixed = follow([[frame[k] for k in order] for frame, order in zip(frames, orders, strict=True)])
    back = [ids[list(order).index(k)] for ids, order in zip(mixed, orders, strict=True) for k in range(len(ids))]
    assert len(set(zip(plain, back, strict=True))) == len(set(plain)) == len(set(back))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 4), frames=st.integers(2, 14))
def test_perfect_instances_of_moving_objects_give_perfect_tracks(seed: int, count: int, frames: int) -> None:
    """Each on a way of its own, in lanes that do not touch, within the image, and given in any order."""
    rng = np.random.default_rng(seed)
    start, end = rng.uniform(8, 56, (2, count))
    way = np.linspace(start, start + np.clip(end - start, -4 * (frames - 1), 4 * (frames - 1)), frames)
    masks = [[disc(x, 8 + 16 * k) for k, x in enumerate(row)] for row in way]
    orders = [rng.permutation(count).tolist() for _ in range(frames)]
    ids = follow([found(*(masks[t][k] for k in order)) for t, order in enumerate(orders)])
    pairs = {(k, key) for order, keys in zip(orders, ids, strict=True) for k, key in zip(order, keys, strict=True)}
    assert len(pairs) == len({k for k, _ in pairs}) == len({key for _, key in pairs})


def test_ids_hold_in_worlds_of_which_a_fifth_of_the_instances_is_missed() -> None:
    bank, rng = toy_bank(3), np.random.default_rng(0)
    clips, pieces = [], []
    for k, world in enumerate(bank.worlds[:4]):
        camera = random_camera(np.random.default_rng(k), 24, "orbit")
        truth = true_tracks(replace(world, size=SIZE, frames=24, camera=camera), bank.meshes, "v.mp4")
        clips.append(truth)
        pieces.append([[one for one in frame if rng.random() > 0.2] for frame in bare.true_instances(truth)])
    scores = {
        reach: score_found([count_found(join(p, reach=reach), c) for p, c in zip(pieces, clips, strict=True)])
        for reach in (0.0, TrackerConfig().reach)
    }
    alone, again = scores.values()
    assert again.share is not None and alone.share is not None
    assert again.share > 0.9 and again.share >= alone.share
    assert again.switches < 0.05 * sum(len(c.tracks) * 24 for c in clips)


# SAM 2

INFO = VideoInfo("v.mp4", 48, 64, 10, 12.0)


def sam_model() -> transformers.Sam2VideoModel:
    """Tiny and not trained."""
    torch.manual_seed(0)
    backbone = {
        "model_type": "sam2_hiera_det_model", "hidden_size": 8, "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 24, 32], "num_attention_heads_per_stage": [1, 1, 1, 1],
        "global_attention_blocks": [3], "image_size": [64, 64], "window_size_per_stage": [8, 4, 4, 2],
        "window_positional_embedding_background_size": [2, 2],
    }  # fmt: skip
    vision = {
        "model_type": "sam2_vision_model", "backbone_config": backbone, "backbone_channel_list": [32, 24, 16, 8],
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]], "fpn_hidden_size": 128,
    }  # fmt: skip
    config = transformers.Sam2VideoConfig(
        vision_config=vision, image_size=64,
        prompt_encoder_config={"hidden_size": 128, "image_size": 64, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 128, "mlp_dim": 16, "num_attention_heads": 2, "iou_head_hidden_dim": 16},
        memory_attention_hidden_size=128, memory_attention_num_layers=1, memory_attention_feed_forward_hidden_size=16,
        memory_attention_rope_feat_sizes=[4, 4], memory_encoder_hidden_size=128, memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=128, memory_fuser_embed_dim=128, memory_fuser_intermediate_dim=16,
        memory_fuser_num_layers=1, num_maskmem=4, max_object_pointers_in_encoder=6,
    )  # fmt: skip
    model = transformers.Sam2VideoModel(config).eval()
    with torch.no_grad():  # new, SAM 2 hardly feels its memory
        for name, parameter in model.named_parameters():
            if "memory" in name and parameter.ndim > 1:
                parameter.mul_(8)
    return model


@pytest.fixture(scope="module")
def sam_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sam") / "small-sam"
    sam_model().save_pretrained(folder)
    return folder


def pictures(frames: int) -> Iterator[np.ndarray]:
    for t in range(frames):
        yield np.random.default_rng(t).integers(0, 255, (48, 64, 3), dtype=np.uint8)


PROMPTS = (Prompt(3, 0, ((20, 20), (5, 5)), (1, 0)), Prompt(7, 4, box=(30, 10, 60, 40)))


def sam_tracks(frames: int, **more: object) -> ClipTracks:
    info = replace(INFO, frames=frames)
    return Sam2Finder(sam_model(), PROMPTS, device="cpu", **more).find(info, lambda: pictures(frames))  # type: ignore[arg-type]


def test_sam_follows_each_object_from_its_prompt_on() -> None:
    clip = sam_tracks(9)
    assert [track.id for track in clip.tracks] == [3, 7] and not clip.exhaustive
    assert [mask is None for mask in clip.tracks[1].visible] == [True] * 4 + [False] * 5
    assert all(mask is not None for mask in clip.tracks[0].visible) and any(m.area() for m in clip.tracks[0].visible)  # type: ignore[union-attr]
    for one, other in zip(*(track.visible for track in clip.tracks), strict=True):
        assert other is None or one is None or not (one.decode() & other.decode()).any()
    assert clip == sam_tracks(9)


def test_what_sam_forgets_is_what_it_never_attends_to(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = 20
    plain, short = sam_tracks(frames), sam_tracks(frames, memory=1)
    with monkeypatch.context() as patch:
        patch.setattr(Sam2Finder, "_forget", lambda *_: None)
        assert sam_tracks(frames) == plain
    assert short != plain  # it does attend to more than the last frame


def test_the_memory_of_sam_does_not_grow_with_the_video(monkeypatch: pytest.MonkeyPatch) -> None:
    held, alive = [], []
    forget = Sam2Finder._forget

    def spy(self: Sam2Finder, session: object, t: int) -> None:
        forget(self, session, t)
        outputs = session.output_dict_per_obj.values()  # type: ignore[attr-defined]
        held.append(sum(len(by_frame) for kinds in outputs for by_frame in kinds.values()))
        assert not session.processed_frames  # type: ignore[attr-defined]

    seen: list[weakref.ref[np.ndarray]] = []

    def watched(frames: int) -> Iterator[np.ndarray]:
        for picture in pictures(frames):
            alive.append(sum(ref() is not None for ref in seen))
            seen.append(weakref.ref(picture))
            yield picture

    monkeypatch.setattr(Sam2Finder, "_forget", spy)
    mask = Rle.encode(np.pad(np.ones((20, 20), dtype=bool), ((4, 24), (4, 40))))
    info = replace(INFO, frames=30)
    shown = ClipTracks(info, (Track(1, (mask,) * 15 + (None,) * 15),))
    finder = Sam2Finder(sam_model(), PROMPTS, shown, device="cpu")
    finder.find(info, lambda: watched(30))
    assert max(held) <= 3 * (finder.memory + PROMPTED) and max(alive) <= 2


def test_masks_that_are_known_stay_and_prompt_the_other_frames() -> None:
    mask, nothing = Rle.encode(np.pad(np.ones((20, 20), dtype=bool), ((4, 24), (4, 40)))), Rle.empty(48, 64)
    info = replace(INFO, frames=6)
    shown = Track(5, (None, mask, None, nothing, mask, None), label="mug")
    unseen = Track(6, (nothing,) + (None,) * 5)
    told = ClipTracks(info, (shown, unseen), exhaustive=True)
    clip = Sam2Finder(sam_model(), known=told, device="cpu").find(info, lambda: pictures(6))
    visible = clip.tracks[0].visible
    assert (visible[0], visible[1], visible[3], visible[4]) == (None, mask, nothing, mask)
    assert visible[2] is not None and visible[5] is not None
    assert clip.tracks[0].label == "mug" and clip.exhaustive and clip.tracks[1] == unseen


def test_without_its_weights_one_line_says_how_to_get_them(sam_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("cannot reach the Hub\nand more")

    with pytest.raises(InputError, match="there is no folder ./nosuch.*hf download facebook/sam2.1-hiera-tiny"):
        load_sam("./nosuch")
    with monkeypatch.context() as patch:
        patch.setattr(transformers.Sam2VideoModel, "from_pretrained", offline)
        with pytest.raises(InputError, match=f"{DEFAULT_SAM}.* cannot reach the Hub; .*--local-dir FOLDER") as raised:
            load_sam()
    assert "\n" not in str(raised.value)


def test_weights_that_do_not_fit_are_refused_and_others_have_another_hash(sam_folder: Path, tmp_path: Path) -> None:
    loaded = load_sam(str(sam_folder))
    assert loaded.name == "small-sam"
    model = sam_model()
    with torch.no_grad():
        model.no_object_pointer.add_(1)
    model.save_pretrained(tmp_path / "other")
    other = load_sam(str(tmp_path / "other"))
    assert other.config_hash == loaded.config_hash and other.weights_hash != loaded.weights_hash
    kept = {k: v for k, v in model.state_dict().items() if k != "no_object_pointer"}
    model.save_pretrained(tmp_path / "less", state_dict=kept)
    with pytest.raises(InputError, match="no_object_pointer is missing"):
        load_sam(str(tmp_path / "less"))
    with pytest.raises(InputError, match="memory must be at least 1"):
        Sam2Finder(model, memory=0)


# predict


def command(clip: ToyClip, out: Path, *options: object) -> int:
    with pytest.raises(SystemExit) as left:
        main(["predict", str(clip.video), "--out", str(out), "--formats", "tracks", *map(str, options)])
    return int(left.value.code or 0)


@pytest.mark.parametrize("kind", ["points", "boxes", "masks"])
def test_points_boxes_and_first_masks_become_whole_tracks(
    kind: str, tmp_path: Path, clip: ToyClip, sam_folder: Path, model_folder: Path
) -> None:
    path = tmp_path / "given.json"
    if kind == "masks":
        first = [replace(k, visible=(k.visible[0], *[None] * 13), amodal=None) for k in clip.tracks.tracks]
        write_tracks(path, replace(clip.tracks, tracks=tuple(first), order=None, exhaustive=False))
    else:
        shown = {"points": [[40, 40]]} if kind == "points" else {"box": [20, 20, 60, 60]}
        path.write_text(json.dumps({"objects": [{"id": 4, "frame": 2, **shown}]}))
    options = (f"--{kind}", path, "--sam", sam_folder, "--model", model_folder)
    assert command(clip, tmp_path / "one", *options) == command(clip, tmp_path / "two", *options) == 0
    assert (tmp_path / "one/tracks.json").read_bytes() == (tmp_path / "two/tracks.json").read_bytes()
    result = read_tracks(tmp_path / "one/tracks.json")
    assert not result.exhaustive and [t.id for t in result.tracks] == ([1, 2, 3, 4] if kind == "masks" else [4])
    spans = [track.span for track in result.tracks if track.ever_visible]
    assert spans and all(span == ((0, 14) if kind == "masks" else (2, 14)) for span in spans)
    assert all(mask is not None for mask in (result.tracks[-1].amodal or ())[2:])
    run = json.loads((tmp_path / "one/run.json").read_text())
    loaded = load_sam(str(sam_folder))
    assert run["masks"] == f"sam2 small-sam, {kind} given.json" and run["canvas"] == 64
    assert run["finder"] == {"weights": loaded.weights_hash, "config": loaded.config_hash}
    assert run["model"] == "small" and run["seconds"].keys() >= {"find model", "model", "write"}


def test_what_a_segmenter_detects_is_completed_by_the_model(tmp_path: Path, clip: ToyClip, model_folder: Path) -> None:
    folder = model_of(tmp_path / "m", predicts="mask", samples=1, steps=1, least_area=12, most_layers=2)
    own = vidamodal.predict(clip.video, model=str(folder))
    assert command(clip, tmp_path / "out", "--detect", folder, "--model", model_folder, "--exhaustive") == 0
    completed = read_tracks(tmp_path / "out/tracks.json")
    assert [t.visible for t in completed.tracks] == [t.visible for t in own.tracks] and own.tracks
    assert [t.amodal for t in completed.tracks] != [t.amodal for t in own.tracks]
    assert completed.exhaustive and not own.exhaustive
    run = json.loads((tmp_path / "out/run.json").read_text())
    assert run["association"] == asdict(TrackerConfig())
    assert run["masks"] == "segmenter m" and run["model"] == "small" and run["finder"].keys() == {"weights", "config"}
    given_masks = vidamodal.predict(clip.video, own.clip, model=str(model_folder), exhaustive=True)
    assert [t.amodal for t in given_masks.tracks] == [t.amodal for t in completed.tracks]


def test_the_bundled_segmenter_detects_where_nothing_is_said(
    tmp_path: Path, clip: ToyClip, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = model_of(tmp_path / "m", predicts="mask", samples=1, steps=1, least_area=12, most_layers=2)
    load = sources_module.load_segmenter
    bundled = ("aisdiff", "cumulative")
    monkeypatch.setattr(
        sources_module, "load_segmenter", lambda name, *more: load(str(folder) if name in bundled else name, *more)
    )
    bare_result = vidamodal.predict(clip.video, model=str(model_folder))
    assert bare_result == vidamodal.predict(clip.video, detect=str(folder), model=str(model_folder))
    assert bare_result == vidamodal.predict(clip.video, detect=True, model=str(model_folder))
    assert command(clip, tmp_path / "out", "--detect", "--model", model_folder) == 0
    told = read_tracks(tmp_path / "out/tracks.json").tracks
    assert [t.amodal for t in told] == [t.amodal for t in bare_result.tracks]
    assert vidamodal.predict(clip.video, head="cumulative").clip.provenance["model"] == "m"  # alone: its own masks


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--points", "p.json", "--masks", "m"], "not allowed with argument"),
        (["--detect", "--boxes", "b.json"], "not allowed with argument"),
        (["--sam", "SAM"], "Pass --points, --boxes or --masks as well"),
        (["--detect", "MODEL", "--sam", "SAM"], "as well"),
        (["--detect", "MODEL"], "is not a segmenter"),
        (["--points", "none.json", "--sam", "SAM"], "none.json: cannot be read as a JSON file of points"),
        (["--masks", "TRUTH", "--sam", "MODEL"], "--sam"),
        (["--detect", "--order", "TRUTH"], "need objects whose visible masks are known"),
    ],
)
def test_what_does_not_go_together_is_told_in_one_line(
    options: list[str], words: str, tmp_path: Path, clip: ToyClip, sam_folder: Path, model_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    places = {"MODEL": model_folder, "SAM": sam_folder, "TRUTH": clip.truth}
    assert command(clip, tmp_path / "out", *(places.get(o, o) for o in options)) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="masks= and points="):
        vidamodal.predict(clip.video, clip.tracks, points="p.json")


def test_the_help_names_the_default_weights(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    assert DEFAULT_SAM in capsys.readouterr().out.replace("\n", "").replace(" ", "")


# Without a model


def test_regions_of_motion_and_colour_are_tracked(clip: ToyClip) -> None:
    frames = []
    for t in range(12):
        picture = np.full((SIZE, SIZE, 3), 30, dtype=np.uint8)
        picture[disc(12 + 3 * t, 20)], picture[box(50, 60, 40, 60)] = (250, 20, 20), (20, 20, 250)
        frames.append(picture)
    video = VideoInfo("v.mp4", SIZE, SIZE, 12, 12.0)
    moving, coloured = (RegionFinder(kind, SIZE).find(video, lambda: iter(frames)) for kind in ("motion", "colour"))
    assert len(moving.tracks) == 1 and len(coloured.tracks) == 2
    disc_of = max(coloured.tracks, key=lambda track: track.visible[0].box()[0] < 30)  # type: ignore[union-attr,index]
    for track in (moving.tracks[0], disc_of):
        for t, mask in enumerate(track.visible):
            assert mask is not None
            truth = disc(12 + 3 * t, 20)
            assert (mask.decode() & truth).sum() / (mask.decode() | truth).sum() > 0.7
    reader = open_video(clip.video)
    with pytest.raises(InputError, match="Choose motion or colour"):
        RegionFinder("depth").find(reader.info, reader.frames)
