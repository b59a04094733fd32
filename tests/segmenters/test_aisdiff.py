"""AISDiff: regions, detector, shape prior, instances of bare frames, tracks from them, and its head beside masks."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    DetrConfig,
    DetrForObjectDetection,
    DetrModel,
    ResNetBackbone,
    ResNetConfig,
)

import vidamodal
from tests.helpers import ToyClip, head_inputs
from vidamodal.backbones.pretrained import fingerprint
from vidamodal.data.clips import ClipConfig
from vidamodal.data.crops import TrackCrops
from vidamodal.data.instance_frames import MOST, Picture, frame_ground_truth, vocabulary
from vidamodal.data.recorded import RecordedBank
from vidamodal.formats.tracks import read_tracks
from vidamodal.heads.aisdiff import AISDiffHead, AISDiffHeadConfig
from vidamodal.heads.base import HeadInputs, find_head
from vidamodal.inference.finders.segmenter import SegmenterFinder
from vidamodal.media.video import open_video
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.folder import load_model, load_segmenter, save_segmenter
from vidamodal.noise import Noise
from vidamodal.segmenters.aisdiff import AISDiffSegmenter, AISDiffSegmenterConfig
from vidamodal.segmenters.aisdiff.attention_maps import AttentionMaps, recording
from vidamodal.segmenters.aisdiff.detector import DetectorConfig, Proposals
from vidamodal.segmenters.aisdiff.detr import Detr, read_detr
from vidamodal.segmenters.aisdiff.diffsp import DiffSP, ObjectCrops
from vidamodal.segmenters.aisdiff.ground_truth import FrameGroundTruth
from vidamodal.segmenters.aisdiff.inpainting import PriorConfig, read_inpainting
from vidamodal.segmenters.aisdiff.model import RegionMasks
from vidamodal.segmenters.aisdiff.roi import (
    box_overlaps,
    enlarge_boxes,
    generalised_iou,
    paste_masks,
    roi_align,
    suppress,
)
from vidamodal.segmenters.base import find_segmenter
from vidamodal.training.config import StageConfig, TrainConfig
from vidamodal.training.losses import LossConfig, divisors
from vidamodal.training.run import train
from vidamodal.training.stage import MicroStep
from vidamodal.training.stages.aisdiff import AISDiffFamily, DetectionStage, PaintingStage
from vidamodal.training.stages.cumulative import CumulativeFamily
from vidamodal.training.stages.head import HeadFamily
from vidamodal.types import FrameInstance, InputError
from vidamodal.worlds.sample import WorldConfig

SIZE = 32
LABELS = ("box", "mug", "u_shape")
DETECTOR = DetectorConfig(stem=8, widths=(8, 8, 8, 8), width=8, tower=1, most=6, least=0.0)
PRIOR = PriorConfig(cells=8, widths=(8, 8), text=8, steps=2, grid=4, together=3)
SMALL = AISDiffSegmenterConfig(SIZE, LABELS, DETECTOR, PRIOR, bins=4, least_score=0.0, learning_regions=3)


def segmenter(**changes: object) -> AISDiffSegmenter:
    """Not trained, with weights large enough for its output to depend on its input."""
    torch.manual_seed(3)
    made = AISDiffSegmenter(replace(SMALL, **changes))  # type: ignore[arg-type]
    for layer in made.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            layer.weight.data.mul_(2.0)
    return made.eval()


def pictures(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=SIZE, mode="nearest")


# Regions


def by_hand(plane: np.ndarray, box: tuple[float, ...], bins: int, stride: int, sampling: int) -> np.ndarray:
    """RoIAlign of one plane, point by point."""
    height, width = plane.shape
    left, top, right, bottom = (v / stride for v in box)

    def value(x: float, y: float) -> float:
        x, y = x - 0.5, y - 0.5  # in cells, whose centres are at whole numbers now
        if not (-1 <= x <= width and -1 <= y <= height):
            return 0.0
        x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
        x0, y0 = int(math.floor(x)), int(math.floor(y))
        x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
        upper = plane[y0, x0] * (1 - x + x0) + plane[y0, x1] * (x - x0)
        lower = plane[y1, x0] * (1 - x + x0) + plane[y1, x1] * (x - x0)
        return float(upper * (1 - y + y0) + lower * (y - y0))

    points = [(k + 0.5) / sampling for k in range(sampling)]
    out = np.zeros((bins, bins))
    for p in range(bins):
        for q in range(bins):
            for a in points:
                for b in points:
                    x = left + (q + b) * (right - left) / bins
                    y = top + (p + a) * (bottom - top) / bins
                    out[p, q] += value(x, y) / sampling**2
    return out


@pytest.mark.parametrize("sampling", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_roi_align_is_bilinear_sampling_in_float64(sampling: int, stride: int) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 3, 7, 9))
    boxes = np.concatenate([rng.uniform(-6, 12, (12, 2)), rng.uniform(3, 24, (12, 2))], axis=1)
    boxes[:, 2:] = boxes[:, :2] + np.abs(boxes[:, 2:] - boxes[:, :2])
    image = rng.integers(0, 2, 12)
    ours = roi_align(*map(torch.from_numpy, (features, boxes, image)), 4, stride, sampling).numpy()
    for k in range(12):
        for c in range(3):
            expected = by_hand(features[image[k], c], tuple(boxes[k]), 4, stride, sampling)
            np.testing.assert_allclose(ours[k, c], expected, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(*(st.floats(-2, 2) for _ in range(3)), st.floats(1, 5), st.floats(1, 5), st.floats(0.2, 8), st.integers(1, 4))
def test_a_plane_that_rises_evenly_is_reproduced(
    slope_x: float, slope_y: float, level: float, left: float, top: float, side: float, sampling: int
) -> None:
    at = torch.arange(16, dtype=torch.float64) + 0.5
    plane = level + slope_x * at[None, :] + slope_y * at[:, None]
    box = torch.tensor([[left, top, left + side, top + side / 2]], dtype=torch.float64)
    found = roi_align(plane[None, None], box, torch.zeros(1).long(), 3, sampling=sampling)[0, 0]
    middle = (torch.arange(3, dtype=torch.float64) + 0.5) / 3
    expected = level + slope_x * (left + side * middle)[None, :] + slope_y * (top + side / 2 * middle)[:, None]
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.floats(0.1, 50), st.floats(0.5, 20), st.sampled_from([0, 1, 2, 3]))
def test_a_box_outside_of_the_picture_shows_nothing(off: float, side: float, where: int) -> None:
    features = torch.ones(1, 2, 6, 6)
    beyond = [(-2 - off - side, 1), (1, -2 - off - side), (8 + off, 1), (1, 8 + off)][where]
    box = torch.tensor([[*beyond, beyond[0] + side, beyond[1] + side]])
    assert not roi_align(features, box, torch.zeros(1).long(), 3).any()


def test_roi_align_has_the_gradients_of_what_it_computes() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[0.3, 0.7, 4.1, 3.8], [1.2, 0.4, 5.3, 4.6]], dtype=torch.float64, requires_grad=True)
    image = torch.tensor([1, 0])
    assert torch.autograd.gradcheck(lambda f, b: roi_align(f, b, image, 2), (features, boxes))


def test_a_mask_that_is_cut_and_put_back_is_the_same_mask() -> None:
    mask = torch.zeros(1, 1, 64, 64)
    mask[0, 0, 20:41, 10:50] = 1
    box = enlarge_boxes(torch.tensor([[10.0, 20.0, 50.0, 41.0]]), 1.3)
    back = paste_masks(roi_align(mask, box, torch.zeros(1).long(), 64)[:, 0], box, 64)
    assert torch.equal(back[0] > 0.5, mask[0, 0] > 0.5)
    assert not paste_masks(torch.ones(1, 4, 4), torch.tensor([[70.0, 0.0, 80.0, 9.0]]), 64).any()


BOXES = st.lists(st.tuples(*(st.integers(0, 20) for _ in range(2)), *(st.integers(1, 12) for _ in range(2))),
                 min_size=1, max_size=8)  # fmt: skip


@settings(deadline=None, max_examples=80)
@given(BOXES, st.randoms(use_true_random=False))
def test_suppression_keeps_the_best_of_boxes_that_overlap(given_boxes: list[tuple[int, ...]], random: object) -> None:
    boxes = torch.tensor([(x, y, x + w, y + h) for x, y, w, h in given_boxes], dtype=torch.float32)
    scores = torch.tensor([random.random() for _ in given_boxes])  # type: ignore[attr-defined]
    overlap = box_overlaps(boxes, boxes)
    kept = suppress(overlap, scores, 0.5).tolist()
    assert kept == sorted(kept, key=lambda k: -float(scores[k]))
    for k in range(len(boxes)):
        worse_than = [j for j in kept if j != k and overlap[j, k] > 0.5 and scores[j] >= scores[k]]
        assert (k in kept) != bool(worse_than)


def test_overlaps_of_boxes_by_hand() -> None:
    one = torch.tensor([[0.0, 0.0, 4.0, 4.0]])
    other = torch.tensor([[2.0, 0.0, 6.0, 4.0], [8.0, 0.0, 12.0, 4.0], [0.0, 0.0, 4.0, 4.0]])
    torch.testing.assert_close(box_overlaps(one, other), torch.tensor([[8 / 24, 0.0, 1.0]]))
    giou = generalised_iou(one.expand(3, 4), other)
    torch.testing.assert_close(giou, torch.tensor([8 / 24, -16 / 48, 1.0]))


# Detector


def truth_of(count: int = 2) -> FrameGroundTruth:
    """Pictures with two squares each, of which one hides part of the other."""
    front, back = np.zeros((2, SIZE, SIZE), dtype=bool)
    front[4:16, 4:16] = True
    back[10:26, 10:26] = True
    visible, amodal = np.stack([front, back & ~front]), np.stack([front, back])
    return FrameGroundTruth.join(
        [frame_ground_truth(Picture(image.numpy(), visible, amodal, np.array([1, -1]))) for image in pictures(count)]
    )


def test_the_truth_of_a_picture_is_told_whole() -> None:
    truth = truth_of(1)
    assert truth.size == 2 and truth.valid.shape == (1, MOST)
    back, front = truth.boxes[0, :2].tolist()  # the one that shows more comes first
    assert back == [10, 10, 26, 26] and front == [4, 4, 16, 16] and truth.labels[0, :2].tolist() == [-1, 1]
    assert torch.equal(truth.occluding[0, 0], truth.visible[0, 1]) and not truth.occluding[0, 1].any()


def test_places_stand_for_the_smallest_object_near_whose_centre_they_lie() -> None:
    detector, truth = segmenter().detector, truth_of(1)
    targets = detector.targets(truth.boxes, truth.valid)
    points, found = detector.locations.points, targets.object[0]
    assert set(found.tolist()) == {-1, 0, 1}
    for place in range(len(points)):
        at = found[place]
        if at >= 0:
            left, top, right, bottom = truth.boxes[0, at].tolist()
            x, y = points[place].tolist()
            assert left < x < right and top < y < bottom and 0 < targets.centerness[0, place] <= 1
            assert (
                max(abs(x - (left + right) / 2), abs(y - (top + bottom) / 2)) < 1.5 * detector.locations.strides[place]
            )


def test_the_detector_learns_where_two_squares_are() -> None:
    torch.manual_seed(0)
    network = AISDiffSegmenter(
        replace(SMALL, detector=replace(DETECTOR, least=0.3, width=16, tower=1, mirrored=False))
    ).train()
    truth = truth_of(1)
    image = truth.visible[:, :2].float().repeat_interleave(torch.tensor([1, 2]), dim=1)
    truth = replace(truth, image=image)
    targets = network.detector.targets(truth.boxes, truth.valid)
    optimizer = torch.optim.Adam(network.detector.parameters(), lr=3e-3)
    for _ in range(150):
        focal, centre, sides = network.detector.losses(network.detector(image), targets, truth.labels)
        optimizer.zero_grad()
        (focal + centre + sides).backward()
        optimizer.step()
    network.eval()
    (found,) = network.detector.propose(image, network.detector(image))
    best = box_overlaps(truth.boxes[0, :2], found.boxes)
    assert len(found.scores) <= 4 and (best.amax(dim=1) > 0.8).all()


def test_a_mirrored_picture_has_the_same_regions_mirrored() -> None:
    network, images = segmenter(detector=replace(DETECTOR, least=0.0, overlap=0.5)), pictures(1)
    turned = images.flip(-1)
    (found,), (other,) = (network.detector.propose(each, network.detector(each)) for each in (images, turned))
    assert len(found.scores) > 3
    torch.testing.assert_close(found.scores, other.scores)
    back = SIZE - other.boxes[:, [2, 1, 0, 3]]
    back[:, [1, 3]] = other.boxes[:, [1, 3]]
    torch.testing.assert_close(found.boxes, back, atol=1e-3, rtol=1e-4)
    plain = segmenter(detector=replace(DETECTOR, least=0.0, overlap=0.5, mirrored=False)).detector
    assert not torch.allclose(plain.propose(images, plain(images))[0].scores[:3], found.scores[:3])


def test_a_detr_by_folder_gives_the_regions(tmp_path: Path) -> None:
    backbone = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic", out_features=["stage2"]
    )
    config = DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=backbone, d_model=16,
        encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16,
        decoder_ffn_dim=16, num_queries=5, id2label={0: "u_shape", 1: "something"}, label2id={"u_shape": 0},
    )  # fmt: skip
    torch.manual_seed(0)
    DetrForObjectDetection(config).save_pretrained(tmp_path / "detr")
    detector = replace(DETECTOR, proposals="detr", detr=str(tmp_path / "detr"), overlap=1.0)
    network, images = segmenter(detector=detector), pictures(2)
    network.load_pretrained()
    found = network.detector.propose(images, network.detector(images))
    assert [len(each.scores) for each in found] == [5, 5]
    assert all((each.boxes >= 0).all() and (each.boxes <= SIZE).all() for each in found)
    assert not any("detr" in name for name in network.state_dict())
    assert_same(network.segment(images, [0, 0])[1], network.segment(images[1:], [0])[0])
    parts = network.losses(truth_of(), 2, Noise.of(0, 1))
    assert "places" not in parts and "amodal" in parts
    processor = {"do_normalize": False, "size": {"height": 64, "width": 64}}
    (tmp_path / "detr/preprocessor_config.json").write_text(json.dumps(processor))
    read = read_detr(str(tmp_path / "detr"))
    enlarged = torch.nn.functional.interpolate(images, (64, 64), mode="bilinear", antialias=True)
    told = read.model(pixel_values=enlarged)  # its colours as they are
    corners = told.pred_boxes[..., :2] - told.pred_boxes[..., 2:] / 2
    torch.testing.assert_close(read(images)[0][..., :2], corners, atol=1e-5, rtol=1e-5)
    for legal, size in (({"size": 64}, 64), ({"size": None, "image_mean": None}, None), ({"do_resize": False}, None)):
        assert Detr(read.model, legal).size == size
    DetrModel(config).save_pretrained(tmp_path / "headless")
    shutil.copytree(tmp_path / "detr", tmp_path / "damaged")
    (tmp_path / "damaged/preprocessor_config.json").write_text("{")
    for name, words in (
        ("/nowhere", "there is no folder /nowhere.*hf download"),
        (f"{tmp_path}/headless", "is missing.*hf download"),
        (f"{tmp_path}/damaged", "preprocessor_config.json .* cannot be used"),
    ):
        with pytest.raises(InputError, match=words) as raised:
            segmenter(detector=replace(detector, detr=name)).load_pretrained()
        assert "\n" not in str(raised.value)


def test_a_backbone_begins_with_pretrained_weights_and_keeps_their_normalisation(tmp_path: Path) -> None:
    shape = {"embedding_size": 8, "hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1], "layer_type": "basic"}
    ResNetBackbone(ResNetConfig(**shape)).save_pretrained(tmp_path / "resnet")
    network = segmenter(detector=replace(DETECTOR, pretrained=str(tmp_path / "resnet")))
    network.load_pretrained()
    network.train()
    norms = [m for m in network.detector.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms and not any(norm.training for norm in norms)
    with pytest.raises(InputError, match="do not fit"):
        wide = replace(DETECTOR, widths=(8, 8, 8, 16), pretrained=str(tmp_path / "resnet"))
        segmenter(detector=wide).load_pretrained()


# The shape prior


def crops(count: int, labels: tuple[int, ...], cells: int = 8) -> ObjectCrops:
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(count, 3, cells, cells, generator=generator)
    visible = (torch.rand(count, cells, cells, generator=generator) > 0.5).float()
    return ObjectCrops(image, visible, 1 - visible, torch.tensor(labels))


def one_crop(given_crops: ObjectCrops, k: int) -> ObjectCrops:
    return ObjectCrops(*(getattr(given_crops, f.name)[k : k + 1] for f in fields(ObjectCrops)))


@pytest.mark.parametrize("grid", [16, 8])  # on the second, a layer's own attention is too fine to be read
@pytest.mark.parametrize("theirs", [AttnProcessor, AttnProcessor2_0])
def test_reading_the_attention_leaves_the_output_as_it_is(theirs: type, grid: int) -> None:
    torch.manual_seed(0)
    model = DiffSP(PriorConfig(), LABELS).eval().own
    assert model is not None
    tokens, _ = model.encode(torch.tensor([0, 2, -1]), LABELS)
    x = torch.randn(3, 7, 32, 32)
    maps = AttentionMaps(grid)
    with torch.no_grad():
        with recording(model.recorders, maps):
            ours = model.unet(x, 500, tokens).sample
        model.unet.set_attn_processor(theirs())
        assert (ours - model.unet(x, 500, tokens).sample).abs().max() < 1e-4
    assert set(maps.cross) == {16, 8} and set(maps.self_attention) == {16, 8} - {16 if grid == 8 else 0}
    for kind in (maps.cross, maps.self_attention):
        for total, count in kind.values():
            torch.testing.assert_close(total.sum(dim=-1), torch.full(total.shape[:2], float(count)))


def test_the_prior_is_the_self_attention_s_power_times_the_cross_attention() -> None:
    torch.manual_seed(0)
    maps = AttentionMaps(4)
    own, cross = ((9 * torch.rand(2, 16, k)).softmax(dim=-1) for k in (16, 2))
    for weight in (0.5, 1.5):  # two steps
        maps.add(weight * own, is_cross=False)
        maps.add(weight * cross, is_cross=True)
    found = maps.prior(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), power=3)
    for k, token in enumerate((1, 0)):
        expected = np.linalg.matrix_power(own[k].double().numpy(), 3) @ cross[k, :, token].double().numpy()
        expected = (expected - expected.min()) / (expected.max() - expected.min())
        np.testing.assert_allclose(found[k].flatten().numpy(), expected, atol=1e-4)


def test_maps_of_coarser_layers_are_brought_to_the_grid() -> None:
    coarse = torch.zeros(1, 4, 4)
    coarse[0, :, 0] = 1  # all look at the cell at the top left
    maps = AttentionMaps(4)
    maps.add(coarse, is_cross=False)
    maps.add(coarse[..., :2], is_cross=True)
    assert not maps.accepts(64, is_cross=False) and maps.accepts(64, is_cross=True)  # finer than the grid: left out
    fine = maps.prior(torch.tensor([[1.0, 0.0]]), 1)
    assert fine.shape == (1, 4, 4) and set(maps.self_attention) == {2} and torch.isfinite(fine).all()


def test_a_prior_is_drawn_alike_for_its_noise_whatever_is_painted_with_it() -> None:
    torch.manual_seed(0)
    model = DiffSP(PRIOR, LABELS).eval()
    objects = crops(5, (0, 1, 2, -1, 0))
    noise = model.initial_noise(Noise.of(*range(5)), objects.image)
    whole = model(objects, noise)
    assert whole.shape == (5, 4, 4) and whole.amin() == 0 and whole.amax() == 1
    for k in range(5):
        assert torch.equal(model(one_crop(objects, k), noise[k : k + 1])[0], whole[k])
    assert not torch.equal(model(objects, model.initial_noise(Noise.of(*range(5, 10)), objects.image)), whole)


@pytest.mark.parametrize("switch", ["category", "occluding"])
def test_what_is_switched_off_is_not_told_to_the_prior(switch: str) -> None:
    objects = crops(2, (0, 1))
    label, occluding = objects.label, objects.occluding
    changed = {"category": replace(objects, label=label + 1), "occluding": replace(objects, occluding=0 * occluding)}
    for on in (True, False):
        torch.manual_seed(0)
        model = DiffSP(replace(PRIOR, **{switch: on}), LABELS).eval()  # type: ignore[arg-type]
        noise = model.initial_noise(Noise.of(0, 1), objects.image)
        assert torch.equal(model(objects, noise), model(changed[switch], noise)) != on


def test_pixels_that_are_not_visible_are_not_seen() -> None:
    torch.manual_seed(0)
    model, objects = DiffSP(PRIOR, LABELS).eval(), crops(2, (0, 1))
    noise = model.initial_noise(Noise.of(0, 1), objects.image)
    other = replace(objects, image=torch.where(objects.visible[:, None] > 0, objects.image, 1 - objects.image))
    assert torch.equal(model(objects, noise), model(other, noise))


@pytest.fixture(scope="module")
def stable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Stable-Diffusion inpainting model, not trained."""
    folder, letters = tmp_path_factory.mktemp("stable"), "abcdefghijklmnopqrstuvwxyz"
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    torch.manual_seed(0)
    tokenizer = CLIPTokenizer(vocab={w: k for k, w in enumerate(words)}, merges=[], model_max_length=24)
    text = CLIPTextConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=24, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=9, out_channels=4, layers_per_block=1, block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16, attention_head_dim=2, norm_num_groups=4,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=4, sample_size=16,
    )  # fmt: skip
    parts = {"tokenizer": tokenizer, "text_encoder": CLIPTextModel(text), "unet": unet, "vae": vae}
    for name, part in (parts | {"scheduler": DDIMScheduler()}).items():
        part.save_pretrained(folder / name)
    return folder


def test_a_stable_diffusion_model_by_folder_gives_the_prior(stable: Path) -> None:
    network, images = segmenter(prior=replace(PRIOR, diffsp=str(stable), grid=8)), pictures(2)
    network.load_pretrained()
    assert not any(name.startswith("prior") for name in network.state_dict()) and not network.trains_prior
    both = network.segment(images, [4, 4])
    assert any(both)
    assert_same(both[1], network.segment(images[1:], [4])[0])
    model = read_inpainting(str(stable))
    _, told = model.encode(torch.tensor([1, 2, -1]), LABELS)
    ids = model.tokenizer(["a photo of a mug", "a photo of a u shape", ""], padding="max_length").input_ids
    words = [[i for i, t in zip(row, share, strict=True) if t > 0] for row, share in zip(ids, told, strict=True)]
    assert words[:2] == [model.tokenizer(w, add_special_tokens=False).input_ids for w in ("mug", "u shape")]
    assert words[2] == [1]  # the text's end
    torch.testing.assert_close(told.sum(dim=1), torch.ones(3))


def test_another_diffsp_may_be_given_to_a_segmenter(stable: Path) -> None:
    network, images = segmenter(prior=replace(PRIOR, grid=8)), pictures(1)
    before = network.segment(images, [0])
    network.use_diffsp(str(stable))
    assert network.prior is not None and network.prior.own is None
    assert network.prior.config.steps == 10 != PRIOR.steps  # the paper's, not those of our own model
    assert fingerprint(torch.nn.BatchNorm2d(8)) != fingerprint(torch.nn.BatchNorm2d(4))  # which counts its batches
    assert len(network.segment(images, [0])[0]) and len(before[0])
    segmenter(detector=replace(DETECTOR, pretrained="/gone")).use_diffsp(str(stable))  # what has learnt is not undone
    with pytest.raises(InputError, match="has no shape prior"):
        segmenter(shape_prior=False).use_diffsp(str(stable))


def test_a_model_that_is_missing_is_named_in_one_line_with_how_to_get_it(
    tmp_path: Path, stable: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    shutil.copytree(stable, tmp_path / "plain")
    config = json.loads((tmp_path / "plain/unet/config.json").read_text())
    shutil.rmtree(tmp_path / "plain/scheduler")
    shutil.copytree(stable, tmp_path / "wordless")
    shutil.rmtree(tmp_path / "wordless/tokenizer")
    broken = []
    for part, key in (("unet", "conv_in.weight"), ("vae", "encoder.conv_in.weight"), ("text_encoder", "")):
        broken.append(str(tmp_path / part))
        shutil.copytree(stable, broken[-1])
        (path,) = (Path(broken[-1]) / part).glob("*.safetensors")
        weights = load_file(path)
        save_file({k: v for k, v in weights.items() if k != (key or min(weights))}, path, {"format": "pt"})
        shutil.copytree(broken[-1], f"{broken[-1]}-shape")
        first = min(weights, key=lambda name: (-weights[name].ndim, name))
        narrow = weights | {first: weights[first][:, :1].clone()}
        save_file(narrow, tmp_path / f"{part}-shape" / part / path.name, {"format": "pt"})
        shutil.copytree(broken[-1], tmp_path / f"{part}-cut")
        (tmp_path / f"{part}-cut" / part / path.name).write_bytes(path.read_bytes()[:100])
    shutil.copytree(stable, tmp_path / "letters")
    (tmp_path / "letters/tokenizer/tokenizer.json").write_text("{")
    folders = [str(tmp_path / name) for name in ("plain", "wordless", "letters")]
    names = ["/nowhere/stable", "nobody/nothing", *folders, *broken]
    names += [f"{name}-{how}" for name in broken for how in ("shape", "cut")]
    capfd.readouterr()
    for name in names:
        with pytest.raises(InputError, match="hf download .* --local-dir FOLDER") as raised:
            segmenter(prior=replace(PRIOR, diffsp=name)).load_pretrained()
        assert name in str(raised.value) and "\n" not in str(raised.value)
        assert "is missing" in str(raised.value) or name.removesuffix("-shape") not in broken
    assert config["in_channels"] == 9 and not capfd.readouterr().err


# Instances


def assert_same(one: list[FrameInstance], other: list[FrameInstance]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert (a.visible == b.visible).all() and (a.amodal == b.amodal).all()
        assert (a.layer, a.label, a.score) == (b.layer, b.label, b.score)
        assert a.appearance is not None and b.appearance is not None and (a.appearance == b.appearance).all()


@pytest.mark.parametrize("changes", [{}, {"shape_prior": False}, {"amodal": "visible"}, {"labels": ()}], ids=str)
def test_a_frame_is_segmented_alike_whatever_is_given_with_it(changes: dict[str, object]) -> None:
    network, images = segmenter(**changes), pictures(3)
    together = network.segment(images, [1, 2, 1])
    assert sum(map(len, together)) >= 3
    for k, seed in enumerate([1, 2, 1]):
        assert_same(together[k], network.segment(images[k : k + 1], [seed])[0])


def test_visible_masks_do_not_overlap_and_lie_within_the_whole_ones() -> None:
    for found in segmenter().segment(pictures(4), [0] * 4):
        assert [each.layer for each in found] == sorted(each.layer for each in found)
        assert np.sum([each.visible for each in found], axis=0).max(initial=0) <= 1
        for each in found:
            assert not (each.visible & ~each.amodal).any() and each.visible.sum() >= SMALL.least_area
            assert 0 <= each.score <= 1 and each.label in LABELS
            assert each.appearance is not None and np.linalg.norm(each.appearance) == pytest.approx(1, abs=1e-5)


def test_what_is_copied_from_the_visible_branch_hides_nothing() -> None:
    for found in segmenter(amodal="visible").segment(pictures(4), [0] * 4):
        for each in found:
            assert (each.amodal & ~each.visible).sum() <= sum((each.amodal & o.visible).sum() for o in found)


def test_masks_become_instances_on_the_canvas() -> None:
    network = segmenter(labels=("box", "mug"), margin=1.0)
    boxes = torch.tensor([[4.0, 4.0, 20.0, 20.0], [12.0, 4.0, 28.0, 20.0], [0.0, 24.0, 4.0, 28.0]])
    seen = torch.full((3, 8, 8), 0.95)
    seen[1, :, :4] = 0.05  # the second is hidden behind the first
    whole, features = torch.full((3, 8, 8), 0.95), torch.rand(3, 8, 4, 4)
    found = Proposals(boxes, torch.tensor([0.9, 0.8, 0.02]))
    with torch.no_grad():
        regions = network.segment_regions(network.detector(pictures(1)), boxes, torch.zeros(3).long())
    regions, network = replace(regions, features=features), AISDiffSegmenter(replace(network.config, least_score=0.1))
    masks = RegionMasks(seen, torch.zeros_like(seen), torch.tensor([0, 1, 1]))
    out = network._assemble(found, regions, masks, whole)
    assert [(each.layer, each.label) for each in out] == [(1, "box"), (2, "mug")]
    front, back = out
    assert front.visible.sum() == 256 and back.amodal.sum() == 256 and back.visible.sum() == 128
    assert front.score == pytest.approx(0.9 * 0.95, abs=1e-6)
    # Of two that show the same cells the better one stays, however their boxes lie.
    twice = replace(found, scores=torch.tensor([0.8, 0.9, 0.7]))
    again = replace(regions, boxes=boxes.clone())
    again.boxes[0] = again.boxes[1] + torch.tensor([2.0, 0.0, 2.0, 0.0])
    (one, far) = network._assemble(twice, again, replace(masks, visible=torch.full((3, 8, 8), 0.95)), whole)
    assert (one.label, one.visible.sum(), far.visible.sum()) == ("mug", 256, 16)


# Training


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, clip: ToyClip) -> Path:
    """A data set of one clip with its pictures."""
    folder = tmp_path_factory.mktemp("data")
    shutil.copy(clip.video, folder / "clip.mp4")
    shutil.copy(clip.truth, folder / "clip.tracks.json")
    return folder


SAMPLE = ClipConfig(frames=2, world=WorldConfig(frames=6))
PLAIN: dict[str, object] = {
    "size": SIZE, "bins": 4, "learning_regions": 3, "least_score": 0.0,
    "detector": {"stem": 8, "widths": [8, 8, 8, 8], "width": 8, "tower": 1, "least": 0.0, "most": 6},
    "prior": {"cells": 8, "widths": [8, 8], "text": 8, "steps": 2, "grid": 4, "together": 3},
}  # fmt: skip


def short(output: Path, data: Path, **changes: object) -> TrainConfig:
    stage = StageConfig("painting", steps=2, clips=2, warmup=1, rate=1e-2, sample=SAMPLE)
    return TrainConfig(
        name="t", output=str(output), precision="fp32", device="cpu", worlds=str(data), workers=0, save_every=1,
        log_every=1, stages=(stage, replace(stage, kind="detection", steps=3)),
        model=AISDiffFamily(network={**PLAIN, **changes}),
    )  # fmt: skip


def run(config: TrainConfig) -> Path:
    try:
        return train(config, quiet=True)
    finally:
        AcceleratorState._reset_state(True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    return run(short(tmp_path_factory.mktemp("run"), data))


def test_both_stages_learn_and_the_labels_are_those_of_the_data(trained: Path, data: Path, clip: ToyClip) -> None:
    model = load_segmenter(str(trained)).model
    assert isinstance(model, AISDiffSegmenter)
    expected = sorted({track.label for track in clip.tracks.tracks if track.label is not None})
    assert model.config.labels == tuple(expected) == vocabulary(RecordedBank.load(data, False))
    lines = [json.loads(line) for line in (trained.parent / "metrics.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == 2 * ["diffsp"] + 3 * ["segmenter"]
    parts = {"places", "sides", "visible", "occluding", "amodal"} | ({"class"} if expected else set())
    assert parts <= lines[-1].keys() and all(math.isfinite(lines[-1][name]) for name in parts)
    with pytest.raises(InputError, match="is a segmenter"):
        load_model(str(trained))


def test_a_run_goes_on_where_it_was_stopped_and_ends_with_the_same_model(
    trained: Path, tmp_path: Path, data: Path
) -> None:
    for stage, step in (("segmenter", 3), ("diffsp", 2)):
        output = tmp_path / stage
        shutil.copytree(trained.parent, output)
        shutil.rmtree(output / "model")
        for path in [output / "checkpoints" / f"{stage}-{step:08d}"]:
            shutil.rmtree(path)
        if stage == "diffsp":
            for path in (output / "checkpoints").glob("segmenter-*"):
                shutil.rmtree(path)
        config = short(output, data)
        resolved = json.loads((output / "config.json").read_text())
        (output / "config.json").write_text(json.dumps(resolved | {"output": str(output)}))
        folder = run(config)
        assert (folder / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


@pytest.mark.parametrize("kind", [PaintingStage, DetectionStage])
def test_what_is_learnt_does_not_depend_on_how_a_step_is_cut_into_batches(kind: type) -> None:
    network = segmenter()
    stage = kind(network, LossConfig())
    whole, divide = truth_of(2), None
    parts = [FrameGroundTruth(*(getattr(whole, f.name)[k : k + 1] for f in fields(FrameGroundTruth))) for k in (0, 1)]
    divide = divisors([stage.counts(whole, (3, 4))])
    assert divide == divisors([stage.counts(part, (3,)) for part in parts])
    together = stage(whole, MicroStep((3, 4), divide, True))["loss"]
    apart = [stage(part, MicroStep((3 + k,), divide, k == 1))["loss"] for k, part in enumerate(parts)]
    torch.testing.assert_close(together, apart[0] + apart[1], atol=1e-4, rtol=1e-4)
    assert not torch.isclose(together, stage(whole, MicroStep((3, 5), divide, True))["loss"])


def test_a_deeper_detector_may_learn_alone_from_where_another_run_ended(
    trained: Path, tmp_path: Path, data: Path
) -> None:
    before = load_segmenter(str(trained)).model
    base = short(tmp_path / "run", data)
    settings = {"learning_regions": 0, "detector": {"least": 0.25, "depths": [1, 2, 1, 1]}}
    config = replace(
        base, init=str(trained), stages=base.stages[1:], model=AISDiffFamily(network=settings),
    )  # fmt: skip
    after = load_segmenter(str(run(config))).model
    assert isinstance(before, AISDiffSegmenter) and isinstance(after, AISDiffSegmenter)
    told = replace(before.config.detector, least=0.25, depths=(1, 2, 1, 1))
    assert after.config == replace(before.config, learning_regions=0, detector=told)
    old, new = before.state_dict(), after.state_dict()
    changed = {name.partition(".")[0] for name in old if not torch.equal(old[name], new[name])}
    assert changed == {"detector"}
    assert "Goes on from" in (tmp_path / "run" / "model" / "README.md").read_text()


def test_a_backbone_that_grew_says_at_first_what_it_said_before() -> None:
    small, large = (segmenter(detector=replace(DETECTOR, depths=depths)) for depths in ((1, 1, 1, 1), (2, 3, 2, 1)))
    state = small.state_dict()
    fresh = large.initialize_as_identity(set(large.state_dict()) - set(state))
    assert large.load_state_dict(state, strict=False).missing_keys == [k for k in large.state_dict() if k in fresh]
    images = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    for before, after in zip(small.detector(images), large.detector(images), strict=True):
        torch.testing.assert_close(before, after)
    sum(each.mean() for each in large.detector(images)).backward()
    stuck = {k for k, p in large.named_parameters() if k in fresh and (p.grad is None or not p.grad.any())}
    assert not {k for k in stuck if k.endswith("1.normalization.weight")}  # by these the others begin to learn


def test_a_segmenter_cannot_go_on_from_another_kind_or_size(trained: Path, tmp_path: Path, data: Path) -> None:
    wider, other = {"detector": {"width": 16}}, CumulativeFamily()
    for init, family, words in (
        (str(trained), AISDiffFamily(network=wider), "has shape"),
        (str(trained), other, "of the head 'aisdiff', not of 'cumulative'"),
        ("tiny", other, "is not a segmenter"),
    ):
        with pytest.raises(InputError, match=words):
            config = short(tmp_path / "run", data)
            kind = "layers" if family is other else "detection"
            run(replace(config, init=init, model=family, stages=(replace(config.stages[1], kind=kind),)))
    assert not (tmp_path / "run").exists()


def test_each_stage_moves_what_it_is_for() -> None:
    network, truth = segmenter(), truth_of(2)
    for kind, moves in ((PaintingStage, {"prior"}), (DetectionStage, {"detector", "occluding", "visible", "category",
                                                                      "amodal"})):  # fmt: skip
        network.zero_grad()
        stage = kind(network, LossConfig())
        stage(truth, MicroStep.single(stage, truth))["loss"].backward()
        moved = {name.partition(".")[0] for name, p in network.named_parameters() if p.grad is not None}
        assert moved == moves
        wanted = [p for p in network.parameters() if p.requires_grad]
        assert all(p.grad is not None for p in wanted)  # or processes that learn together would wait for it


def test_colours_that_are_really_hidden_are_not_learnt() -> None:
    network, truth = segmenter(), truth_of(2)
    other = replace(truth, image=truth.image.clone())
    only = replace(truth, valid=truth.valid & (torch.arange(MOST) == 0))  # the one behind
    hidden = (truth.amodal[:, 0] & ~truth.visible[:, 0])[:, None].expand_as(truth.image)
    away = torch.nn.functional.max_pool2d((~hidden).float(), 5, 1, 2) == 0  # none of it is mixed with what is seen
    other.image[away] = 0.123
    losses = [network.inpainting_loss(replace(only, image=each.image), 1, Noise.of(0, 1)) for each in (truth, other)]
    assert away.any() and torch.equal(*losses)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sise": 3}, "unknown key 'sise'"),
        ({"amodal": "all"}, "choose predicted or visible"),
        ({"size": 40}, "is not a multiple of the pyramid"),
        ({"detector": {"proposals": "detr"}}, "detector.detr must be set"),
        ({"prior": {"steps": 0}}, "between 1 and 1000"),
        ({"prior": {"grid": 2}}, "prior.grid must lie between"),
        ({"prior": {"text": 0}}, "at least 1"),
        ({"size": -128}, "is not a multiple of the pyramid"),
        ({"true_masks": 3.0}, "between 0 and 1"),
        ({"least_score": math.nan}, "between 0 and 1"),
        ({"detector": {"block": "foo"}}, "choose basic or bottleneck"),
        ({"detector": {"least": 2.0}}, "between 0 and 1"),
        ({"detector": {"depths": [0, 1, 1, 1]}}, "at least 1"),
        ({"prior": {"diffsp": "/nowhere"}}, "there is no folder /nowhere"),
    ],
)
def test_configs_that_cannot_work_are_refused_in_one_line(
    tmp_path: Path, data: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words) as raised:
        run(short(tmp_path / "run", data, **changes))
    assert "\n" not in str(raised.value) and not (tmp_path / "run").exists()


def test_a_segmenter_is_saved_whole_and_found_like_heads(tmp_path: Path) -> None:
    network = segmenter()
    save_segmenter(tmp_path / "m", network, {}, "# m\n")
    loaded = load_segmenter(str(tmp_path / "m"))
    assert loaded.head == "aisdiff" and loaded.model.config == network.config
    assert find_segmenter("aisdiff") is AISDiffSegmenter
    assert find_head("aisdiff") is AISDiffHead
    images = pictures(1)
    assert_same(network.segment(images, [0])[0], loaded.model.segment(images, [0])[0])


def test_a_bare_video_becomes_tracks(trained: Path, clip: ToyClip) -> None:
    finder = SegmenterFinder(load_segmenter(str(trained)).model, "cpu")
    video = open_video(clip.video)
    one, two = (finder.find(clip.tracks.video, video.frames) for _ in range(2))
    assert one == two and one.order is not None and len(one.order) == clip.tracks.video.frames


# Beside masks

CROP, FEATURES = 16, 6


def head(channels: int = 0, **changes: object) -> AISDiffHead:
    torch.manual_seed(0)
    return AISDiffHead(replace(AISDiffHeadConfig(width=8, prior=PRIOR), **changes), CROP, channels).eval()  # type: ignore[arg-type]


def inputs(channels: int = 0) -> HeadInputs:
    return head_inputs(CROP, channels)


def test_beside_a_transformer_the_head_begins_as_a_copy_of_the_coarse_mask() -> None:
    body = load_model("tiny").model
    assert isinstance(body, AmodalModel)
    model = AmodalModel(replace(body.config, head="aisdiff", temperature=1.0), AISDiffHeadConfig(prior=PRIOR)).eval()
    kept = {k: v for k, v in body.state_dict().items() if not k.startswith("head.")}
    model.load_state_dict(kept, strict=False)
    given_inputs = inputs(channels=FEATURES)
    torch.testing.assert_close(head(FEATURES)(given_inputs), given_inputs.coarse)
    assert model.head.has_transformer and model.view.pixels and model.view.order


@pytest.mark.parametrize("channels", [0, FEATURES])
@pytest.mark.parametrize("changes", [{}, {"per": "frame"}, {"shape_prior": False}], ids=str)
def test_the_head_draws_alike_for_a_seed_whatever_is_with_it(channels: int, changes: dict[str, object]) -> None:
    network, given_inputs = head(channels, **changes), inputs(channels=channels)
    torch.nn.init.normal_(network.amodal.predict[-1].weight)
    with torch.no_grad():
        whole = network(given_inputs)
        again = network(replace(given_inputs, noise=Noise.of(7, 8)))
        one = TrackCrops(*(getattr(given_inputs.crops, f.name)[1:] for f in fields(TrackCrops)))
        alone = network(HeadInputs(one, given_inputs.coarse[1:], given_inputs.features[1:], Noise.of(1)))
    torch.testing.assert_close(alone[0], whole[1], atol=1e-4, rtol=1e-4)
    assert whole.shape == (2, 3, CROP, CROP) and torch.equal(whole, again) != network.stochastic


def test_a_track_s_prior_is_that_of_the_frame_in_which_most_is_seen() -> None:
    given_inputs = inputs()
    visible = given_inputs.crops.visible.clone()
    visible[:, 1] = 1
    given_inputs = replace(given_inputs, crops=replace(given_inputs.crops, visible=visible))
    of_track = head(per="track").shape_prior(given_inputs)
    of_frames = head(per="frame").shape_prior(replace(given_inputs, noise=Noise.of(0, 1)))
    of_track_again = head(per="track").shape_prior(replace(given_inputs, noise=Noise.of(0, 1)))
    assert torch.equal(of_track_again[:, 0], of_track_again[:, 2])
    torch.testing.assert_close(of_track_again[:, 1], of_frames[:, 1], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(of_frames[:, 0], of_frames[:, 2]) and of_track.shape == (2, 3, 4, 4)


def test_the_head_takes_the_diffsp_of_a_trained_segmenter(trained: Path) -> None:
    network = head(diffsp=str(trained))
    assert network.prior is not None and network.prior.own is not None
    network.load_pretrained()
    theirs = load_segmenter(str(trained)).model.prior.own  # type: ignore[union-attr]
    assert torch.equal(network.prior.own.unet.conv_in.weight, theirs.unet.conv_in.weight)  # type: ignore[union-attr]
    network.requires_grad_(True)
    assert not any(p.requires_grad for p in network.prior.parameters())
    for changes, words in (
        ({"diffsp": None}, "head.diffsp is not set"),
        ({"diffsp": "/nowhere"}, "no model '/nowhere'"),
        ({"diffsp": str(trained), "prior": replace(PRIOR, text=16)}, "no DiffSP of the sizes"),
        ({"prior": replace(PRIOR, diffsp="/nowhere")}, "there is no folder /nowhere"),
    ):
        with pytest.raises(InputError, match=words) as raised:
            head(**changes).load_pretrained()  # type: ignore[arg-type]
        assert "\n" not in str(raised.value)


def test_the_head_learns_beside_the_bundled_model(tmp_path: Path, trained: Path, data: Path, clip: ToyClip) -> None:
    sample = ClipConfig(tracks=2, frames=3, whole=0.0, world=WorldConfig(size=32, frames=6))
    stage = StageConfig("head", steps=2, clips=1, warmup=1, rate=1e-3, sample=sample)
    settings_of_it = {"width": 8, "diffsp": str(trained), "prior": PLAIN["prior"]}
    folder = run(
        TrainConfig(
            name="t", output=str(tmp_path / "run"), precision="fp32", device="cpu", worlds=str(data), workers=0,
            stages=(stage,), init="tiny", model=HeadFamily(name="aisdiff", head=settings_of_it),
        )
    )  # fmt: skip
    found = vidamodal.predict(clip.video, clip.tracks, model=str(folder), head="aisdiff")
    assert all(track.amodal is not None for track in found.tracks)


def test_predict_takes_the_prior_of_another_model_by_name(
    tmp_path: Path, trained: Path, stable: Path, clip: ToyClip
) -> None:
    out = tmp_path / "out"
    vidamodal.predict(clip.video, None, out, detect=str(trained), diffsp=str(stable), formats=["tracks"])
    assert json.loads((out / "run.json").read_text())["masks"] == f"segmenter {trained.name}, diffsp {stable.name}"
    told = read_tracks(out / "tracks.json").provenance["outside"]
    assert [one["name"] for one in told] == [stable.name] and len(told[0]["weights"]) == 64
    loaded = load_segmenter(str(trained))
    before, _, after = (vidamodal.predict(clip.video, model=loaded, diffsp=p) for p in (None, str(stable), None))
    assert before == after and "outside" not in before.clip.provenance
    assert isinstance(loaded.model, AISDiffSegmenter) and loaded.model.trains_prior  # the caller's stays as it was
    with pytest.raises(InputError, match="Leave one out"):
        vidamodal.predict(clip.video, clip.truth, diffsp=str(stable))
