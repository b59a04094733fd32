"""What a model may read beside masks (pixels, order), where training clips come from, and C2F-Seg's crops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vidamodal.data.banks import MixedBank, load_bank
from vidamodal.data.clips import ClipConfig, TrainingClips
from vidamodal.data.crops import FrameMap, boxes_and_areas, cut_frame
from vidamodal.data.first_pass import simulate_first_order
from vidamodal.data.recorded import RecordedBank
from vidamodal.formats.tracks import write_tracks
from vidamodal.geometry import Cropper, Window, paste
from vidamodal.inference.api import predict
from vidamodal.inference.predictor import Predictor
from vidamodal.media.video_writer import write_video
from vidamodal.models.amodal import AmodalModel, ModelConfig
from vidamodal.models.folder import save_model
from vidamodal.models.tokenizer import TokenizerConfig
from vidamodal.models.transformer import TransformerConfig
from vidamodal.occlusion.evidence import extends_under, front_confidence, front_confidence_from_order
from vidamodal.training.trainer import TrainConfig, _go_on_from, train
from vidamodal.types import ClipTracks, InputError, Rle, Track, VideoInfo
from vidamodal.windows import View, WindowConfig, box_windows, lay_windows
from vidamodal.worlds.sample import ClipMasks, WorldConfig
from vidamodal.worlds.toy import toy_bank

SIZE = 48
seeds = st.integers(0, 2**32 - 1)
TINY = TransformerConfig(width=16, depth=2, heads=2, features=8, window=4)


def model(**changes: object) -> AmodalModel:
    torch.manual_seed(0)
    made = AmodalModel(ModelConfig(TokenizerConfig(crop=16, codes=8), replace(TINY, **changes), WindowConfig()))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in made.state_dict().values():
            if value.dtype == torch.float32:
                value.copy_(0.1 * torch.randn(value.shape, generator=generator))
    return made.eval()


def scene(seed: int, frames: int = 5, objects: int = 3) -> ClipMasks:
    """Discs at depths of their own that move about, the nearest ones seen."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    start, step, radius = rng.uniform(10, 38, (objects, 2)), rng.normal(0, 2, (objects, 2)), rng.uniform(5, 14, objects)
    amodal = np.stack([
        [np.hypot(columns - x - t * u, rows - y - t * v) < r for t in range(frames)]
        for (x, y), (u, v), r in zip(start, step, radius, strict=True)
    ])  # fmt: skip
    visible = amodal.copy()
    for k in range(objects):
        visible[k] &= ~amodal[:k].any(axis=0)
    image = rng.integers(0, 255, (frames, SIZE // 8, SIZE // 8, 3), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    return ClipMasks(visible, amodal, image=image)


def tracks_of(clip: ClipMasks, exhaustive: bool = True) -> ClipTracks:
    tracks = tuple(
        Track(k + 1, tuple(map(Rle.encode, clip.visible[k])), tuple(map(Rle.encode, clip.amodal[k])), label="disc")
        for k in range(len(clip.visible))
    )
    return ClipTracks(VideoInfo("clip.mp4", SIZE, SIZE, clip.visible.shape[1], 12.0), tracks, exhaustive)


def write_clip(folder: Path, clip: ClipMasks, key: str = "clip", exhaustive: bool = True) -> Path:
    assert clip.image is not None
    folder.mkdir(exist_ok=True)
    write_video(folder / f"{key}.mp4", clip.image, 12.0, crf=0)
    write_tracks(folder / f"{key}.tracks.json", tracks_of(clip, exhaustive))
    return folder


# Who lies in front


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_evidence_counts_what_lies_under_what_is_seen(seed: int) -> None:
    clip = scene(seed)
    doubled = ClipMasks(*(m.repeat(2, axis=2).repeat(2, axis=3) for m in (clip.visible, clip.amodal)))
    over = extends_under(doubled.visible, doubled.amodal)  # on every other pixel of twice the pixels: exact
    for i in range(3):
        for j in range(3):
            shared = np.count_nonzero(doubled.amodal[i] & doubled.visible[j], axis=(1, 2)) * (i != j)
            assert np.array_equal(over[:, i, j], shared)
    front = front_confidence(over)
    assert np.allclose(front, -front.transpose(0, 2, 1)) and np.abs(front).max() < 1
    # The first disc hides, the last one is hidden; nobody lies in front of the first.
    assert (front[:, 0] <= 0).all() and (front[:, -1] >= 0).all()


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_what_a_first_pass_finds_is_drawn_from_the_truth(seed: int) -> None:
    clip = scene(seed)
    drawn = simulate_first_order(clip, np.random.default_rng(seed))
    assert np.array_equal(drawn, simulate_first_order(clip, np.random.default_rng(seed)))
    over = extends_under(clip.visible, clip.amodal)
    true = front_confidence(over)
    assert np.allclose(drawn, -drawn.transpose(0, 2, 1), atol=1e-6)
    assert not drawn[:, ~(over + over.transpose(0, 2, 1) > 0).any(axis=0)].any()  # of those that never meet: nothing
    clear = np.abs(true) > 0.9
    assert (np.sign(drawn[clear]) == np.sign(true[clear])).mean() > 0.8 if clear.any() else True


def test_a_told_order_is_one_or_minus_one_for_the_pairs_it_names() -> None:
    front = front_confidence_from_order([((7, 3),), (), ((3, 9), (9, 7))], [3, 7, 9])
    assert front.shape == (3, 3, 3)
    assert front[0, 0, 1] == 1 and front[0, 1, 0] == -1 and np.count_nonzero(front[0]) == 2
    assert not front[1].any()
    assert front[2, 2, 0] == 1 and front[2, 1, 2] == 1
    assert not front_confidence_from_order([((1, 2),)], [3, 4]).any()  # others' ids are passed over


def test_the_crop_shows_the_order_of_what_each_label_shows() -> None:
    labels = np.zeros((16, 16), dtype=np.uint16)
    labels[:, :5], labels[:, 5:10], labels[:, 10:] = 1, 2, 3
    cropper = Cropper.at(Window((8, 8), (16, 16)), 16, 16, 16)
    front = np.array([0, 0, 1, -0.5], dtype=np.float32)
    crops = cut_frame(cropper, labels == 1, FrameMap.from_labels(labels), True, front)
    assert np.allclose(crops.order[:, :4], 0) and np.allclose(crops.order[:, 6:9], 1)
    assert np.allclose(crops.order[:, 11:], -0.5)
    assert not cut_frame(cropper, labels == 1, FrameMap.from_labels(labels), True).order.any()


def test_the_second_pass_reads_the_order_that_the_first_one_found(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, clip = model(order=True), tracks_of(scene(3))
    seen: list[float] = []
    forward = reader.forward

    def spy(crops, *rest, **named):  # type: ignore[no-untyped-def]
        seen.append(float(crops.order.abs().max()))
        return forward(crops, *rest, **named)

    monkeypatch.setattr(reader, "forward", spy)
    own = Predictor(reader, "cpu").predict(clip)
    assert seen[:3] == [0, 0, 0] and max(seen[3:]) > 0
    seen.clear()
    told = Predictor(reader, "cpu").predict(clip, order=[((1, 2), (2, 3))] * 5)
    assert min(map(bool, seen)) and own != told  # the first pass reads it, too, and it matters


# Pixels


def test_a_model_that_reads_pixels_needs_them_and_sees_them() -> None:
    clip = scene(5)
    tracks, reader = tracks_of(clip), model(image=True)
    with pytest.raises(InputError, match="this model reads the frames"):
        Predictor(reader, "cpu").predict(tracks)
    with pytest.raises(InputError, match="this model reads the frames"):
        Predictor(reader, "cpu").predict(tracks, frames=lambda: None)
    image = clip.image
    assert image is not None
    one = Predictor(reader, "cpu").predict(tracks, frames=lambda: iter(image))
    again = Predictor(reader, "cpu").predict(tracks, frames=lambda: iter(image))
    other = Predictor(reader, "cpu").predict(tracks, frames=lambda: iter(255 - image))
    assert one == again and one != other
    blind = Predictor(model(), "cpu")
    assert blind.predict(tracks) == blind.predict(tracks, frames=lambda: iter(image))


@settings(max_examples=30, deadline=None)
@given(st.floats(-10, 58), st.floats(-10, 58), st.floats(4, 90), seeds)
def test_colours_are_cut_as_masks_are(x: float, y: float, side: float, seed: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 2, (SIZE, SIZE), dtype=np.uint8)
    cropper = Cropper.at(Window((x, y), (side, side)), 16, SIZE, SIZE)
    cut = cropper.cut_image(np.stack([255 * picture, 0 * picture, 255 + 0 * picture], axis=2))
    assert np.allclose(cut[0], cropper.cut(picture == 1), atol=1e-5) and not cut[1].any()
    assert np.allclose(cut[2], cropper.inside, atol=1e-5)


# Training clips of data sets


def test_recorded_clips_are_what_stands_in_their_files(tmp_path: Path) -> None:
    clip = scene(1, frames=7)
    assert clip.image is not None
    bank = load_bank(str(write_clip(tmp_path / "set", clip)), 0, pixels=True)
    assert isinstance(bank, RecordedBank) and len(bank) == 1
    starts = set()
    for seed in range(12):
        taken = bank.sample(np.random.default_rng(seed), WorldConfig(frames=4))
        (start,) = [s for s in range(4) if np.array_equal(taken.amodal, clip.amodal[:, s : s + 4])]
        assert np.array_equal(taken.visible, clip.visible[:, start : start + 4])
        assert taken.image is not None and taken.exhaustive and taken.known is not None and taken.known.all()
        assert np.abs(taken.image.astype(int) - clip.image[start : start + 4]).mean() < 8  # as H.264 keeps them
        starts.add(start)
    assert len(starts) > 1
    assert bank.sample(np.random.default_rng(0), WorldConfig(frames=4)).visible.shape == (3, 4, SIZE, SIZE)


def test_what_a_data_set_does_not_tell_is_not_learnt(tmp_path: Path) -> None:
    clip = tracks_of(scene(2, frames=6), exhaustive=False)
    first = clip.tracks[0]
    assert first.amodal is not None
    gap = replace(first, visible=(None, None, *first.visible[2:]), amodal=(None, None, *first.amodal[2:]))
    (tmp_path / "set").mkdir()
    write_tracks(tmp_path / "set/a.tracks.json", replace(clip, tracks=(gap, *clip.tracks[1:])))
    bank = load_bank(str(tmp_path / "set"), 0, pixels=False)
    taken = bank.sample(np.random.default_rng(0), WorldConfig(frames=6))
    assert taken.known is not None and not taken.exhaustive and taken.image is None
    assert taken.known[0].tolist() == [False] * 2 + [True] * 4 and taken.known[1:].all()
    assert not taken.amodal[0, :2].any() and not taken.visible[0, :2].any()
    config = ClipConfig(tracks=6, frames=6, whole=0, world=WorldConfig(frames=6))
    batch = TrainingClips(bank, 0, 1, 4, config, View(WindowConfig(), 16))[0]
    assert not batch.crops.background.any()  # not exhaustive: nobody knows what is empty
    unknown = batch.crops.known == 0
    assert not batch.counted[unknown].any()


def test_a_data_set_that_cannot_be_learnt_from_is_refused(tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "set", scene(4, frames=3))
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="has 3 frames, but samples have 9"):
        load_bank(str(folder), 0, pixels=False).sample(rng, WorldConfig(frames=9))
    (folder / "clip.mp4").unlink()
    with pytest.raises(InputError, match="has no images"):
        load_bank(str(folder), 0, pixels=True).sample(rng, WorldConfig(frames=3))
    bare = tracks_of(scene(4, frames=3))
    write_tracks(folder / "clip.tracks.json", replace(bare, tracks=tuple(replace(t, amodal=None) for t in bare.tracks)))
    with pytest.raises(InputError, match="no amodal masks"):
        load_bank(str(folder), 0, pixels=False).sample(rng, WorldConfig(frames=3))
    with pytest.raises(InputError, match="worlds: .*dataset_gen --masks-only"):
        load_bank(str(tmp_path / "nothing"), 0, pixels=False)


def test_every_clip_of_mixed_banks_is_as_likely(tmp_path: Path) -> None:
    folder = write_clip(write_clip(tmp_path / "set", scene(1)), scene(2), "other")
    bank = MixedBank((load_bank(str(folder), 0, pixels=True), toy_bank(0, worlds=6)))
    assert len(bank) == 8
    config, rng = WorldConfig(size=16, frames=2), np.random.default_rng(0)
    recorded = sum(bank.sample(rng, config).image is not None for _ in range(200))
    assert 30 <= recorded <= 70
    # Clips without pictures are black, which a model that reads pixels takes for none.
    data = TrainingClips(bank, 0, 1, 20, ClipConfig(2, 2, 0.0, world=config), View(WindowConfig(), 16, pixels=True))
    shown = [float(data[k].crops.image.max()) for k in range(20)]
    assert all(batch == 0 or batch > 0.2 for batch in shown) and 0 in shown and max(shown) > 0.5


# C2F-Seg's crops


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 6))
def test_boxes_of_every_frame_show_twice_what_is_seen_and_nothing_else(seed: int, frames: int) -> None:
    clip = scene(seed, frames)
    boxes, areas = boxes_and_areas(clip.visible)
    windows = lay_windows(boxes, areas, SIZE, SIZE, WindowConfig(mode="boxes", passes=1))
    assert windows.shown is not None
    for k in np.flatnonzero(areas.any(axis=1)):
        assert (np.ptp(windows.side[k], axis=0) == 0).all()  # one scale a track
        for t in range(frames):
            top, left, bottom, right = windows.shown[k, t]
            assert 0 <= top < bottom <= SIZE and 0 <= left < right <= SIZE
            x, y = windows.center[k, t] - windows.side[k, t] / 2
            assert (x, y) == (left, top)  # at the top left of its window
            if areas[k, t]:
                high, wide = boxes[k, t, 2:] - boxes[k, t, :2]
                assert bottom - top <= 2 * high + 2 and right - left <= 2 * wide + 2
                assert top <= boxes[k, t, 0] and bottom >= boxes[k, t, 2]
            cropper = Cropper.at(windows.at(int(k), t), 32, SIZE, SIZE)
            outside = np.ones((SIZE, SIZE), dtype=bool)
            outside[top:bottom, left:right] = False
            assert not cropper.cut(outside).any()
            rows, columns, _ = paste(np.ones((32, 32)), windows.at(int(k), t), SIZE, SIZE)
            assert (rows.start, rows.stop, columns.start, columns.stop) == (top, bottom, left, right)


def test_a_hidden_frame_takes_the_box_between_its_neighbours() -> None:
    boxes = np.full((2, 5, 4), np.nan)
    boxes[0, 0], boxes[0, 4] = (10, 10, 20, 20), (18, 14, 28, 24)
    windows = box_windows(boxes, 100, 100, 2.0)
    assert windows.shown is not None
    assert windows.shown[0, 2].tolist() == [9, 7, 29, 27]
    assert np.isnan(windows.center[1]).all()  # never seen
    with pytest.raises(InputError, match="windows.mode is 'box'"):
        lay_windows(boxes, np.ones((2, 5)), 100, 100, WindowConfig(mode="box"))  # type: ignore[arg-type]


# A model that goes on from a smaller one, and the switches


def test_what_is_new_in_a_model_adds_nothing_at_first(tmp_path: Path) -> None:
    small, batch = model(), TrainingClips(
        toy_bank(0), 0, 1, 1, ClipConfig(2, 4, 0.0, second=1.0, world=WorldConfig(size=SIZE, frames=4)),
        View(WindowConfig(), 16, pixels=True, order=True),
    )[0]  # fmt: skip
    save_model(tmp_path / "small", small, {}, "")
    grown = AmodalModel(replace(small.config, transformer=replace(TINY, depth=4, order=True, image=True)))
    _go_on_from(grown, str(tmp_path / "small"))
    with torch.no_grad():
        assert torch.equal(small(batch.crops).refined, grown.eval()(batch.crops).refined)
    for name, value in small.state_dict().items():
        assert torch.equal(value, grown.state_dict()[name])
    other = AmodalModel(replace(small.config, transformer=replace(TINY, width=32)))
    with pytest.raises(InputError, match="has shape"):
        _go_on_from(other, str(tmp_path / "small"))


def _head_config() -> object:
    from vidamodal.heads.conv import ConvConfig

    return ConvConfig()


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, False),
        ({"temporal": False}, True),
        ({"tokens": False}, False),
        ({"tokens": False, "temporal": False}, True),
    ],
)
def test_without_attention_over_time_a_frame_is_completed_by_itself(changes: dict[str, bool], same: bool) -> None:
    made = model(**changes)
    data = TrainingClips(
        toy_bank(1), 0, 1, 1, ClipConfig(2, 4, 0.0, world=WorldConfig(size=SIZE, frames=4)), View(WindowConfig(), 16)
    )
    crops = data[0].crops
    other = replace(crops, visible=crops.visible.clone())
    other.visible[:, 3] = 1 - other.visible[:, 3]
    with torch.no_grad():
        one, two = made(crops), made(other)
    assert (one.codes is None) == (not made.config.transformer.tokens)
    assert torch.equal(one.refined[:, :3], two.refined[:, :3]) == same
    assert not torch.equal(one.refined[:, 3], two.refined[:, 3])
    if one.codes is None:
        with pytest.raises(InputError, match="tokens is false"):
            made.sample(crops, 2, torch.Generator())


def test_an_order_is_refused_where_nobody_reads_it_and_where_there_is_none(tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "set", scene(6))
    video, tracks = folder / "clip.mp4", folder / "clip.tracks.json"
    save_model(tmp_path / "blind", model(), {}, "")
    save_model(tmp_path / "reader", model(order=True), {}, "")
    with pytest.raises(InputError, match='has no "order"'):
        predict(video, tracks, model=str(tmp_path / "reader"), order=tracks)
    told, short = (
        replace(tracks_of(scene(6)), order=(((1, 2),),) * 5),
        replace(tracks_of(scene(6, 4)), order=((),) * 4),
    )
    write_tracks(tmp_path / "told.json", told)
    write_tracks(tmp_path / "short.json", short)
    with pytest.raises(InputError, match="does not read the order"):
        predict(video, tracks, model=str(tmp_path / "blind"), order=tmp_path / "told.json")
    with pytest.raises(InputError, match="has 4 frames, but the clip has 5"):
        predict(video, tracks, model=str(tmp_path / "reader"), order=tmp_path / "short.json")
    assert predict(video, tracks, model=str(tmp_path / "reader"), order=tmp_path / "told.json").order


def test_training_refuses_in_one_line_what_shows_late(tmp_path: Path) -> None:
    """Also where a process that makes clips finds it."""
    folder, short = tmp_path / "set", scene(7, frames=3)
    write_clip(folder, short)
    config = TrainConfig(
        output=str(tmp_path / "run"), worlds=str(folder), device="cpu", precision="fp32", workers=1,
        model=ModelConfig(TokenizerConfig(crop=16, codes=8), TINY), head={"width": 8, "deep": 16},
    )  # fmt: skip
    reader = replace(config.model, transformer=replace(TINY, image=True))
    with pytest.raises(InputError) as refused:
        train(config, quiet=True)
    assert str(refused.value) == (
        "clip clip: it has 3 frames, but samples have 24. Reduce sample.world.frames, or leave the clip out."
    )
    for changes, message in (
        ({"model": replace(config.model, chunk=8, overlap=8)}, "overlap must be less"),
        ({"validation": str(tmp_path / "none")}, "no such file"),
        ({"validation": str(bare(tmp_path / "bare", short)), "model": reader}, "no pictures"),
    ):
        with pytest.raises(InputError, match=message):
            train(replace(config, output=str(tmp_path / "other"), **changes), quiet=True)
        assert not (tmp_path / "other").exists()


def bare(folder: Path, clip: ClipMasks) -> Path:
    folder.mkdir()
    write_tracks(folder / "clip.tracks.json", tracks_of(clip))
    return folder


def test_overlapping_masks_of_a_data_set_show_the_last_one(tmp_path: Path) -> None:
    clip = scene(8)
    both = replace(clip, visible=clip.amodal)  # as from segmenters that work object by object
    write_clip(tmp_path / "set", both)
    taken = load_bank(str(tmp_path / "set"), 0, pixels=False).sample(np.random.default_rng(0), WorldConfig(frames=5))
    assert taken.visible.sum(axis=0).max() == 1 and np.array_equal(taken.visible.any(axis=0), clip.amodal.any(axis=0))
    assert np.array_equal(taken.visible[-1], clip.amodal[-1])
