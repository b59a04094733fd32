"""Scaled dot-product attention behind one function: written out, PyTorch's fused one, or xformers' on CUDA.

On a CPU with bf16 the written-out form trains 3 to 10 times faster than the fused kernel at our lengths (8-64 tokens),
and is as fast with fp32; `scripts/dev/bench.py` prints the ratio.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from vidamodal.types import InputError


def attend(
    query: Float[Tensor, "n h q c"],
    key: Float[Tensor, "n h k c"],
    value: Float[Tensor, "n h k c"],
    mask: Bool[Tensor, "n 1 q k"] | None,
    backend: str,
) -> Float[Tensor, "n h q c"]:
    """Attention; ``mask`` is True where a query may look. ``backend``: auto | math | sdpa | xformers.

    auto is math on a CPU and sdpa elsewhere.
    """
    if backend == "auto":
        backend = "sdpa" if query.is_cuda else "math"
    if backend == "math":
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return scores.softmax(dim=-1).to(value.dtype) @ value
    if backend == "sdpa":
        return scaled_dot_product_attention(query, key, value, attn_mask=mask)
    if backend != "xformers":
        raise InputError(f"unknown attention backend {backend!r}: choose auto, math, sdpa or xformers")
    if not query.is_cuda:
        raise InputError("the xformers attention backend runs on CUDA only: use auto, or --device cuda")
    from xformers.ops import memory_efficient_attention  # an extra, and slow to import

    bias = None
    if mask is not None:
        bias = query.new_zeros(()).expand(len(query), query.shape[1], query.shape[2], key.shape[2])
        bias = bias.masked_fill(~mask, float("-inf"))
    swapped = (x.transpose(1, 2) for x in (query, key, value))  # xformers wants (n, q, h, c)
    return memory_efficient_attention(*swapped, attn_bias=bias).transpose(1, 2)
