"""Weights split over processes (FSDP2), each holding a part of every tensor, and the average of weights so split."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def shard(module: nn.Module, device: torch.device, ranks: int) -> None:
    """Split the parameters of a module over all processes, in place; every block of a list of blocks is gathered alone.

    Each process must hold the same values. Buffers stay whole.
    """
    mesh = init_device_mesh(device.type, (ranks,))
    for blocks in module.modules():
        if isinstance(blocks, nn.ModuleList):
            for block in blocks:
                fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)


def full(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be sharded; all processes must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shard_like(tensor: Tensor, other: Tensor) -> Tensor:
    """A tensor that every process holds whole, on the other's device and split as that is."""
    tensor = tensor.to(other.device)
    if not isinstance(other, DTensor):
        return tensor
    return distribute_tensor(tensor, other.device_mesh, other.placements, src_data_rank=None)


class Average:
    """The exponential moving average of a model's weights, sharded as they are; ``whole`` is brought up to date by
    `gather`. Buffers (the codebook has its own average) are copied."""

    def __init__(self, whole: nn.Module, model: nn.Module) -> None:
        self.whole, self.model = whole, model
        pairs = zip(whole.parameters(), model.parameters(), strict=True)
        self.parts = [shard_like(mine.detach(), theirs) for mine, theirs in pairs]

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """One step further."""
        torch._foreach_lerp_(_local(self.parts), _local(list(self.model.parameters())), 1 - decay)
        for mine, theirs in zip(self.whole.buffers(), self.model.buffers(), strict=True):
            mine.copy_(theirs)

    @torch.no_grad()
    def gather(self) -> nn.Module:
        """All of it; all processes must ask. Not sharded, it is the average itself."""
        for mine, part in zip(self.whole.parameters(), self.parts, strict=True):
            if isinstance(part, DTensor):
                mine.copy_(part.full_tensor())
        return self.whole


def _local(tensors: list[Tensor]) -> list[Tensor]:
    return [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]
