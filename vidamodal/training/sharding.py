"""Weights split over processes (FSDP2), and the moving average of weights that may be split."""

from __future__ import annotations

from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

Network = TypeVar("Network", bound=nn.Module)


def shard(module: nn.Module, device: torch.device, ranks: int) -> None:
    """Split the parameters of a module over all processes, in place. Buffers are not split.

    The blocks of every innermost ModuleList are gathered one at a time. All processes must hold the same values.
    """
    mesh = init_device_mesh(device.type, (ranks,))
    for blocks in module.modules():
        if isinstance(blocks, nn.ModuleList) and not _is_nested(blocks):
            for block in blocks:
                fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)


def _is_nested(blocks: nn.ModuleList) -> bool:
    """Return whether a block contains another ModuleList. Such a block may never be called as a whole."""
    return any(isinstance(part, nn.ModuleList) for block in blocks for part in block.modules())


def full(tensor: Tensor) -> Tensor:
    """Gather a tensor that may be split. All processes must call this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shard_like(tensor: Tensor, other: Tensor) -> Tensor:
    """Return a whole tensor on the device of another one, split like that one."""
    tensor = tensor.to(other.device)
    if not isinstance(other, DTensor):
        return tensor
    return distribute_tensor(tensor, other.device_mesh, other.placements, src_data_rank=None)


class Average(Generic[Network]):
    """Exponential moving average of a model's weights, split as they are.

    Buffers are copied: the codebook has its own average. ``whole`` holds the average as of the last call of `gather`.
    """

    def __init__(self, whole: Network, model: nn.Module) -> None:
        self.whole, self.model = whole, model
        pairs = zip(whole.parameters(), model.parameters(), strict=True)
        self.parts = [shard_like(mine.detach(), theirs) for mine, theirs in pairs]

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Update the average after a step: it keeps ``decay`` of its value."""
        torch._foreach_lerp_(_local(self.parts), _local(list(self.model.parameters())), 1 - decay)
        for name, mine in self.whole.named_buffers():
            mine.copy_(self.model.get_buffer(name))

    @torch.no_grad()
    def gather(self) -> Network:
        """Return the whole average. All processes must call this if it is split."""
        for mine, part in zip(self.whole.parameters(), self.parts, strict=True):
            if isinstance(part, DTensor):
                mine.copy_(part.full_tensor())
        return self.whole


def _local(tensors: list[Tensor]) -> list[Tensor]:
    return [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]
