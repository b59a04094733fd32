"""Gradients of both stages on one global batch, by however many processes run this; rank 0 writes them to a file.

torchrun --nproc_per_node 2 tests/ddp_gradients.py FILE
"""

from __future__ import annotations

import sys

import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from torch import Tensor

from vidamodal.data.clips import ClipConfig
from vidamodal.heads.conv import Config
from vidamodal.models.amodal import AmodalModel, ModelConfig
from vidamodal.models.tokenizer import TokenizerConfig
from vidamodal.models.transformer import TransformerConfig
from vidamodal.training.stages import AmodalStage, TokenizerStage
from vidamodal.training.trainer import StageConfig, TrainConfig, _StageRun
from vidamodal.worlds.sample import WorldConfig

MODEL = ModelConfig(
    TokenizerConfig(crop=16, width=16, dim=8, codes=16),
    TransformerConfig(width=16, depth=2, heads=2, mlp=2, features=16, window=4),
)
STAGE = StageConfig(
    steps=1, clips=2, sample=ClipConfig(tracks=4, frames=6, world=WorldConfig(size=48, frames=12, move=1.0))
)


def small_model() -> AmodalModel:
    """With a codebook of its own, since k-means would draw another one with another number of processes."""
    torch.manual_seed(0)
    model = AmodalModel(MODEL, Config(width=8, deep=16))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in model.tokenizer.quantiser.named_buffers():
            if name.endswith("initted"):
                value.fill_(True)
            if name.endswith(("embed", "embed_avg")):
                value.copy_(torch.randn(value.shape, generator=generator))
            if name.endswith("cluster_size"):
                value.fill_(100.0)  # no code is dead
        for value in model.head.leave.parameters():
            value.normal_(generator=generator)
    return model


def gradients(output: str) -> dict[str, Tensor]:
    """Gradients, and the codebook after its update, as the trainer's stages make them from the trainer's batches."""
    accelerator = Accelerator(cpu=True, mixed_precision="no")
    config = TrainConfig(
        output=output, processes=accelerator.num_processes, worlds="toy", workers=0, seed=7, model=MODEL
    )
    found = {}
    for kind in (TokenizerStage, AmodalStage):
        stage = kind(small_model(), config.loss).train()
        run = _StageRun(accelerator, config, STAGE, stage, small_model(), small_model(), True)
        batch = next(run._batches(0))
        trained = accelerator.prepare(stage)
        stage.ALL_MASKED = 1.0  # type: ignore[union-attr]  # which codes are masked is drawn for each process
        losses = trained(batch, torch.Generator().manual_seed(0))
        accelerator.backward(losses["loss"])
        for name, value in stage.named_parameters():
            if value.grad is not None:
                found[f"{kind.name}/{name}"] = value.grad.clone()
        for name, value in stage.named_buffers():
            found[f"{kind.name}/{name}"] = value.float().clone()
        found[f"{kind.name}/counted/{accelerator.process_index}"] = batch.counted.sum()
        accelerator.wait_for_everyone()
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    mine = gradients(sys.argv[1])
    accelerator = Accelerator()
    if accelerator.is_main_process:
        save_file(mine, sys.argv[1])
    accelerator.wait_for_everyone()
    accelerator.end_training()  # a process that leaves with the group's threads alive may be aborted
