"""The choice of a device."""

from __future__ import annotations

import pytest
import torch

from vidamodal.inference.runtime import pick_device
from vidamodal.types import InputError


def test_without_cuda_auto_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == pick_device("cpu").type == "cpu"
    with pytest.raises(InputError, match="cuda"):
        pick_device("cuda")
