"""CondDiff-AMO (AAAI 2026) as a framewise head: amodal completion as the denoising of a mask."""

from vidamodal.heads.conddiff.config import CondDiffConfig
from vidamodal.heads.conddiff.head import CondDiffHead

__all__ = ["CondDiffConfig", "CondDiffHead"]
