"""Stable-Diffusion inpainting models as shape priors."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.segmenters.aisdiff.helpers import (
    DETECTOR,
    LABELS,
    PRIOR,
    assert_same_instances,
    random_images,
    segmenter,
)
from vidamodal.backbones.pretrained import fingerprint
from vidamodal.segmenters.aisdiff.inpainting import read_inpainting
from vidamodal.types import InputError


def test_stable_diffusion_from_a_folder_gives_the_prior(stable_diffusion: Path) -> None:
    network, images = segmenter(prior=replace(PRIOR, diffsp=str(stable_diffusion), grid=8)), random_images(2)
    network.load_pretrained()
    assert not any(name.startswith("prior") for name in network.state_dict()) and not network.trains_prior
    both = network.segment(images, [4, 4])
    assert any(both)
    assert_same_instances(both[1], network.segment(images[1:], [4])[0])
    model = read_inpainting(str(stable_diffusion))
    _, weights = model.encode(torch.tensor([1, 2, -1]), LABELS)
    ids = model.tokenizer(["a photo of a mug", "a photo of a u shape", ""], padding="max_length").input_ids
    words = [[i for i, t in zip(row, share, strict=True) if t > 0] for row, share in zip(ids, weights, strict=True)]
    assert words[:2] == [model.tokenizer(w, add_special_tokens=False).input_ids for w in ("mug", "u shape")]
    assert words[2] == [1]  # the end token
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3))


def test_use_diffsp_replaces_the_inpainting_model(stable_diffusion: Path) -> None:
    network, images = segmenter(prior=replace(PRIOR, grid=8)), random_images(1)
    before = network.segment(images, [0])
    network.use_diffsp(str(stable_diffusion))
    assert network.prior is not None and network.prior.own is None
    assert network.prior.config.steps == 10 != PRIOR.steps  # the paper's
    assert fingerprint(torch.nn.BatchNorm2d(8)) != fingerprint(torch.nn.BatchNorm2d(4))  # they have integer buffers
    assert len(network.segment(images, [0])[0]) and len(before[0])
    segmenter(detector=replace(DETECTOR, pretrained="/gone")).use_diffsp(
        str(stable_diffusion)
    )  # keeps the trained backbone
    with pytest.raises(InputError, match="has no shape prior"):
        segmenter(shape_prior=False).use_diffsp(str(stable_diffusion))


def test_missing_and_damaged_models_are_refused_in_one_line_with_a_download_hint(
    tmp_path: Path, stable_diffusion: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    shutil.copytree(stable_diffusion, tmp_path / "plain")
    config = json.loads((tmp_path / "plain/unet/config.json").read_text())
    shutil.rmtree(tmp_path / "plain/scheduler")
    shutil.copytree(stable_diffusion, tmp_path / "wordless")
    shutil.rmtree(tmp_path / "wordless/tokenizer")
    broken = []
    for part, key in (("unet", "conv_in.weight"), ("vae", "encoder.conv_in.weight"), ("text_encoder", "")):
        broken.append(str(tmp_path / part))
        shutil.copytree(stable_diffusion, broken[-1])
        (path,) = (Path(broken[-1]) / part).glob("*.safetensors")
        weights = load_file(path)
        save_file({k: v for k, v in weights.items() if k != (key or min(weights))}, path, {"format": "pt"})
        shutil.copytree(broken[-1], f"{broken[-1]}-shape")
        first = min(weights, key=lambda name: (-weights[name].ndim, name))
        narrow = weights | {first: weights[first][:, :1].clone()}
        save_file(narrow, tmp_path / f"{part}-shape" / part / path.name, {"format": "pt"})
        shutil.copytree(broken[-1], tmp_path / f"{part}-cut")
        (tmp_path / f"{part}-cut" / part / path.name).write_bytes(path.read_bytes()[:100])
    shutil.copytree(stable_diffusion, tmp_path / "letters")
    (tmp_path / "letters/tokenizer/tokenizer.json").write_text("{")
    folders = [str(tmp_path / name) for name in ("plain", "wordless", "letters")]
    names = ["/nowhere/stable", "nobody/nothing", *folders, *broken]
    names += [f"{name}-{how}" for name in broken for how in ("shape", "cut")]
    capfd.readouterr()
    for name in names:
        with pytest.raises(InputError, match=r"hf download .* --local-dir FOLDER") as raised:
            segmenter(prior=replace(PRIOR, diffsp=name)).load_pretrained()
        assert name in str(raised.value) and "\n" not in str(raised.value)
        assert "is missing" in str(raised.value) or name.removesuffix("-shape") not in broken
    assert config["in_channels"] == 9 and not capfd.readouterr().err
