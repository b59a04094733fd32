"""One step of both stages on the same clips by any number of processes, with whole (DDP) and sharded weights (FSDP2).

Rank 0 writes gradients and weights to FOLDER/learnt.safetensors.

torchrun --nproc_per_node 2 tests/training/ddp_gradients.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from torch import Tensor

from vidamodal.data.clips import ClipConfig
from vidamodal.heads.conv import ConvConfig
from vidamodal.models.amodal import AmodalModel, ModelConfig
from vidamodal.models.tokenizer import TokenizerConfig
from vidamodal.models.transformer import TransformerConfig
from vidamodal.training.config import StageConfig, TrainConfig
from vidamodal.training.loop import StageLoop
from vidamodal.training.sharding import full
from vidamodal.training.stages.amodal import AmodalStage, TokenizerStage
from vidamodal.worlds.sample import WorldConfig

MODEL = ModelConfig(
    TokenizerConfig(crop=16, width=16, dim=8, codes=16),
    TransformerConfig(width=16, depth=2, heads=2, mlp=2, features=16, window=4),
)
STAGE = StageConfig(
    steps=1,
    clips=4,
    accumulate=2,
    rate=1e-3,
    warmup=0,
    sample=ClipConfig(tracks=4, frames=6, world=WorldConfig(size=48, frames=12, move=1.0)),
)


def small_model() -> AmodalModel:
    """With a codebook of its own, since k-means would draw another one with another number of processes."""
    torch.manual_seed(0)
    model = AmodalModel(MODEL, ConvConfig(width=8, deep=16))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in model.tokenizer.quantiser.named_buffers():
            if name.endswith("initted"):
                value.fill_(True)
            if name.endswith(("embed", "embed_avg")):
                value.copy_(torch.randn(value.shape, generator=generator))
            if name.endswith("cluster_size"):
                value.fill_(100.0)  # no code is dead
        assert isinstance(model.head.leave, torch.nn.Module)
        for value in model.head.leave.parameters():
            value.normal_(generator=generator)
    return model


def learn(output: Path, sharded: bool = False) -> dict[str, Tensor]:
    """Gradients and weights of one step of both stages, as the trainer makes them from its own batches."""
    accelerator = Accelerator(cpu=True, mixed_precision="no")
    config = TrainConfig(
        output=str(output), processes=accelerator.num_processes, worlds="toy", workers=0, seed=7,
        precision="fp32", shard=sharded,
    )  # fmt: skip
    found = {}
    for kind in (TokenizerStage, AmodalStage):
        model = small_model()
        for name, value in model.state_dict().items():
            found[f"{kind.name} begun {name}"] = value.clone()
        stage = kind(model, config.loss).train()
        loop = StageLoop(accelerator, config, STAGE, stage)
        loop.batches.start(0)
        trained, optimizer = loop.distribute()
        loop.backward(trained, loop.batches.current)
        for name, parameter in stage.named_parameters():
            if parameter.grad is not None:
                found[f"{kind.name} gradient {name}"] = full(parameter.grad).clone()
        optimizer.step()
        for name, value in model.state_dict().items():
            found[f"{kind.name} weight {name}"] = full(value).clone()
        found[f"{kind.name} counted"] = torch.stack([batch.counted.sum() for _, batch in loop.batches.current]).sum()
        accelerator.wait_for_everyone()
    return found


def main() -> None:
    torch.set_num_threads(1)
    output = Path(sys.argv[1])
    mine = learn(output) | {f"sharded {name}": value for name, value in learn(output, sharded=True).items()}
    accelerator = Accelerator()
    if accelerator.is_main_process:
        output.mkdir(parents=True)
        save_file(mine, output / "learnt.safetensors")
    accelerator.wait_for_everyone()
    accelerator.end_training()  # a process that leaves with the group's threads alive may be aborted


if __name__ == "__main__":
    main()
