"""Runs the model, its losses and its data with every shape annotation of the package checked; prints one line."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import install_import_hook

CHECKED = ["data", "geometry", "heads", "models", "segmenters", "training.losses", "training.stages", "windows"]
CHECKED += ["occlusion", "worlds"]

with install_import_hook([f"vidamodal.{name}" for name in CHECKED], "beartype.beartype"):
    from tests.training.helpers import single_step
    from vidamodal.backbones.pvt import PyramidConfig
    from vidamodal.data.augment import AugmentConfig
    from vidamodal.data.clips import ClipConfig, TrainingClips
    from vidamodal.data.instance_frames import InstanceFrames
    from vidamodal.data.layer_frames import LayerClips
    from vidamodal.heads.aisdiff import AISDiffHeadConfig
    from vidamodal.heads.conddiff import CondDiffConfig
    from vidamodal.heads.conv import ConvConfig
    from vidamodal.heads.cumulative import CumulativeHeadConfig
    from vidamodal.models.amodal import AmodalModel, AmodalOutput, ModelConfig
    from vidamodal.models.framewise import FramewiseConfig, FramewiseModel
    from vidamodal.models.tokenizer import TokenizerConfig
    from vidamodal.models.transformer import TransformerConfig
    from vidamodal.segmenters.aisdiff import AISDiffSegmenter, AISDiffSegmenterConfig
    from vidamodal.segmenters.aisdiff.detector import DetectorConfig
    from vidamodal.segmenters.aisdiff.inpainting import PriorConfig
    from vidamodal.segmenters.cumulative import CumulativeSegmenter, CumulativeSegmenterConfig
    from vidamodal.segmenters.cumulative.denoiser import DenoiserConfig
    from vidamodal.training.losses import LossConfig
    from vidamodal.training.stages.aisdiff import DetectionStage, PaintingStage
    from vidamodal.training.stages.amodal import AmodalStage, TokenizerStage
    from vidamodal.training.stages.cumulative import LayersStage
    from vidamodal.training.stages.head import HeadStage
    from vidamodal.windows import View, WindowConfig
    from vidamodal.worlds.sample import ClipMasks, WorldConfig
    from vidamodal.worlds.toy import toy_bank

codec = TokenizerConfig(crop=16, width=16, dim=8, codes=16)
transformer = TransformerConfig(width=16, depth=2, heads=2, mlp=2, features=16, window=4)
model = AmodalModel(ModelConfig(codec, transformer), ConvConfig(width=8, deep=16))
augment = AugmentConfig(partial=0.5, unknown=0.5)
clips = ClipConfig(tracks=2, frames=5, whole=0.0, world=WorldConfig(size=48, frames=6), augment=augment)
data = TrainingClips(toy_bank(0), 0, 1, 4, clips, View(WindowConfig(), codec.crop, order=True))
generator = torch.Generator().manual_seed(0)
for index in range(len(data)):
    for stage in (TokenizerStage(model, LossConfig()), AmodalStage(model, LossConfig())):
        single_step(stage.train(), data[index])["loss"].backward()
model.eval().sample(data[0].crops, 3, generator)

pyramid = PyramidConfig((8, 8, 8, 8), (1, 1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1), inputs=4)
diffusion = CondDiffConfig(pyramid=pyramid, width=8, image=False, context=True, grain=1.0, steps=2)
for alone in (True, False):
    config = ModelConfig(codec, transformer, head="conddiff")
    both = FramewiseModel(FramewiseConfig(crop=16), diffusion) if alone else AmodalModel(config, diffusion)
    head_stage = HeadStage(both, LossConfig())
    single_step(head_stage.train(), data[0])["loss"].backward()
    both.eval().sample(data[0].crops, 3, generator)

denoiser = DenoiserConfig(widths=(8, 8), attention=1, steps=2)
for alone in (True, False):
    layering = CumulativeHeadConfig(denoiser, image=False, samples=2)
    config = ModelConfig(codec, transformer, head="cumulative")
    both = FramewiseModel(FramewiseConfig("cumulative", crop=16), layering) if alone else AmodalModel(config, layering)
    head_stage = HeadStage(both, LossConfig())
    single_step(head_stage.train(), data[0])["loss"].backward()
    both.eval().sample(data[0].crops, 3, generator)


class Pictures:
    """Worlds with black pictures."""

    bank = toy_bank(0)

    def __len__(self) -> int:
        return len(self.bank)

    def sample(self, rng: np.random.Generator, config: WorldConfig) -> ClipMasks:
        clip = self.bank.sample(rng, config)
        return replace(clip, image=np.zeros((*clip.visible.shape[1:], 3), dtype=np.uint8))


layers = LayerClips(Pictures(), 0, 2, replace(clips, frames=2), 16, 0.5)
for predicts in ("noise", "mask"):
    settings = CumulativeSegmenterConfig(denoiser, 16, predicts, most_layers=2, least_area=1)
    segmenter = CumulativeSegmenter(settings)
    segmenter_stage = LayersStage(segmenter, LossConfig())
    single_step(segmenter_stage, layers[0])["loss"].backward()
    segmenter.eval().segment(layers[0].image, [0, 1])

prior = PriorConfig(cells=8, widths=(8, 8), text=8, steps=2, grid=4, together=3)
detector = DetectorConfig(stem=8, widths=(8, 8, 8, 8), width=8, tower=1, most=4, least=0.0)
instances = InstanceFrames(Pictures(), 0, 2, replace(clips, frames=2), 32, ("box",))
network = AISDiffSegmenter(AISDiffSegmenterConfig(32, ("box",), detector, prior, bins=4, least_score=0.0))
for kind in (PaintingStage, DetectionStage):
    instance_stage = kind(network, LossConfig())
    single_step(instance_stage, instances[0])["loss"].backward()
network.eval().segment(instances[0].image, [0, 1])
for alone in (True, False):
    beside = AISDiffHeadConfig(8, image=False, shape_prior=False)
    config = ModelConfig(codec, transformer, head="aisdiff")
    both = FramewiseModel(FramewiseConfig("aisdiff", crop=16), beside) if alone else AmodalModel(config, beside)
    head_stage = HeadStage(both, LossConfig())
    single_step(head_stage.train(), data[0])["loss"].backward()
    both.eval().sample(data[0].crops, 3, generator)

try:  # the check itself must be at work
    AmodalOutput(torch.zeros(1, 2, 4, 4, 16), torch.zeros(1, 2, 16, 16), torch.zeros(1, 3, 16, 16))
except Exception as error:
    assert "refined" in str(error), error  # noqa: PT017
    print("all shapes hold")
