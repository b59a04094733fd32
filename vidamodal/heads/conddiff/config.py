"""Settings of the CondDiff-AMO head."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vidamodal.backbones.pvt import PyramidConfig


@dataclass(frozen=True)
class CondDiffConfig:
    """Sizes, the switches of the paper's Table 4, and switches of what goes beyond the paper."""

    pyramid: PyramidConfig = field(default_factory=PyramidConfig)
    width: int = 64
    """Channels of the fused condition and of the Denoising Network."""
    image: bool = True
    """Condition on the colours of the window (I of Eq. 6)."""
    mask: bool = True
    """Condition on the visible mask (M_v of Eq. 6; Table 4: VM)."""
    context: bool = False
    """Condition on other objects, borders and the end of the image; not in the paper."""
    ocr: bool = True
    """Refine the deepest features by Occlusion-aware Context Refinement."""
    afg: bool = True
    """Fuse the finest features by the Adaptive Feature Gate instead of a convolution (Table 4: LE)."""
    ust: bool = True
    """Use the Unidirectional State Transition instead of noise only (Eqs. 1 to 3)."""
    vgpe: bool = True
    """Return the Visible-Guided Prediction Ensemble instead of the prediction of the last step."""
    late: bool = False
    """Feed the noisy mask and the time to the Denoising Network only, so that the condition is computed once."""
    start: Literal["visible", "coarse"] = "visible"
    """Modal state, in which the transition ends and sampling starts."""
    noise: Literal["track", "frame"] = "track"
    """Sampling noise: shared by the frames of a track, or independent in each frame."""
    grain: float = 0.0
    """Standard deviation in cells of the Gaussian that smooths the noise; 0 for independent cells, as in the paper."""
    draw: bool = False
    """Sample a binary mask from each prediction before it becomes the next state, instead of keeping probabilities."""
    steps: int = 10
    """Sampling steps: T."""
    blind: float = 0.0
    """Share of object-frames that are trained at t = 1, where the shape is decided; the others have uniform times."""
    rollout: float = 0.0
    """Share of object-frames whose training state is made of the network's first prediction, as in sampling, instead of
    the ground truth."""
    regression: bool = False
    """Predict the mask from the modal state in one step, without noise: a control."""
