"""Scaled dot-product attention: written out, PyTorch's fused kernel, or xformers' on CUDA.

On a CPU with bf16 the written-out form trains 3 to 10 times faster than the fused kernel at the lengths used here (8 to
64 tokens), and is as fast with fp32; `scripts/dev/bench.py` prints the ratio.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from vidamodal.types import InputError

Backend = Literal["auto", "math", "sdpa", "xformers"]
"""auto is sdpa on CUDA and math elsewhere; xformers needs CUDA."""


def attend(
    query: Float[Tensor, "n h q c"],
    key: Float[Tensor, "n h k c"],
    value: Float[Tensor, "n h k c"],
    mask: Bool[Tensor, "n 1 q k"] | None,
    backend: Backend,
) -> Float[Tensor, "n h q c"]:
    """Return the attention of h heads; ``mask`` is True where a query may attend to a key.

    Raises:
        InputError: If the backend is xformers and the tensors are not on a CUDA device.
    """
    if backend == "auto":
        backend = "sdpa" if query.is_cuda else "math"
    if backend == "math":
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        weights: Tensor = scores.softmax(dim=-1).to(value.dtype)
        return weights @ value
    if backend == "sdpa":
        return scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return _attend_xformers(query, key, value, mask)


def _attend_xformers(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    if not query.is_cuda:
        raise InputError("the attention backend xformers runs on CUDA only. Choose auto, or the device cuda.")
    from xformers.ops import memory_efficient_attention  # an extra, and slow to import

    bias = None
    if mask is not None:
        bias = query.new_zeros(()).expand(len(query), query.shape[1], query.shape[2], key.shape[2])
        bias = bias.masked_fill(~mask, float("-inf"))
    swapped = (x.transpose(1, 2) for x in (query, key, value))  # xformers expects (n, q, h, c)
    attended: Tensor = memory_efficient_attention(*swapped, attn_bias=bias)
    return attended.transpose(1, 2)
