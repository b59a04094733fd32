"""Tiny models of transformers with random weights: detectors by text and instance segmentation models, in folders."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from vidamodal.types import Frame

HEIGHT, WIDTH = 48, 64
LABELS = {0: "mug", 1: "dog", 2: "box"}
_SWIN = {
    "model_type": "swin", "image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 1, 1, 1],
    "num_heads": [1, 1, 2, 2], "window_size": 2,
}  # fmt: skip


def random_frame(t: int) -> Frame:
    """Return a frame of random colours in coarse cells."""
    cells = np.random.default_rng(t).integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    return np.asarray(cells.repeat(8, axis=0).repeat(8, axis=1))


def random_video(frames: int) -> Any:
    """Return a source of so many frames that can begin anywhere."""

    def read(start: int = 0, stop: int | None = None) -> Any:
        return (random_frame(t) for t in range(start, frames if stop is None else stop))

    return read


def save_tokenizer(folder: Path) -> None:
    """Save a BERT tokenizer of a few words."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "person", "dog", "mug"]
    tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)  # fmt: skip


def save_grounding_dino(folder: Path) -> Path:
    """Save a Grounding DINO whose random scores lie on both sides of the library's threshold."""
    torch.manual_seed(0)
    text = {
        "model_type": "bert", "vocab_size": 16, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "max_position_embeddings": 32,
    }  # fmt: skip
    config = transformers.GroundingDinoConfig(
        backbone_config={**_SWIN, "out_indices": [2, 3, 4]}, text_config=text, d_model=32, encoder_layers=1,
        decoder_layers=2, encoder_ffn_dim=16, decoder_ffn_dim=16, encoder_attention_heads=2, decoder_attention_heads=2,
        num_queries=12, num_feature_levels=3, max_text_len=16,
    )  # fmt: skip
    transformers.GroundingDinoForObjectDetection(config).eval().save_pretrained(folder)
    size = {"shortest_edge": 64, "longest_edge": 96}
    transformers.GroundingDinoImageProcessorPil(size=size).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_owlv2(folder: Path) -> Path:
    """Save an OWLv2 model."""
    torch.manual_seed(0)
    layers = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.Owlv2Config(
        text_config={**layers, "vocab_size": 16, "max_position_embeddings": 8, "pad_token_id": 0, "eos_token_id": 3},
        vision_config={**layers, "image_size": 64, "patch_size": 16}, projection_dim=16,
    )  # fmt: skip
    transformers.Owlv2ForObjectDetection(config).eval().save_pretrained(folder)
    transformers.Owlv2ImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)
    save_tokenizer(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.model_max_length = 8
    tokenizer.save_pretrained(folder)
    return folder


def sharpen(model: Any) -> None:
    """Scale up the last layers, so that random scores lie on both sides of the library's thresholds."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            heads = ("mask_embedder", "decoder.class_embed", "decoder.mask_embed")
            if name.startswith(("class_predictor", "mask_head.fc3")) or any(head in name for head in heads):
                parameter.mul_(60)


def save_instance_model(folder: Path, kind: str) -> Path:
    """Save a model that segments instances in frames, of a type in `FRAME_MODELS`."""
    torch.manual_seed(0)
    getattr(_Builders, kind)(folder)
    return folder


def save_videomt(folder: Path, blocks: int = 1) -> Path:
    """Save a VidEoMT model."""
    from transformers.models.videomt.video_processing_videomt import VideomtVideoProcessor

    torch.manual_seed(0)
    config = transformers.VideomtConfig(**_eomt_settings(), num_blocks=blocks, id2label=LABELS)
    model = transformers.VideomtForUniversalSegmentation(config).eval()
    sharpen(model)
    model.save_pretrained(folder)
    VideomtVideoProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def _eomt_settings() -> dict[str, Any]:
    return {
        "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 64, "patch_size": 16,
        "num_queries": 8, "num_upscale_blocks": 1, "initializer_range": 0.3,
    }  # fmt: skip


class _Builders:
    """One function for each type of model."""

    @staticmethod
    def mask2former(folder: Path) -> None:
        config = transformers.Mask2FormerConfig(
            backbone_config={**_SWIN, "out_features": ["stage1", "stage2", "stage3", "stage4"]}, hidden_dim=32,
            feature_size=32, mask_feature_size=32, encoder_layers=1, decoder_layers=2, encoder_feedforward_dim=16,
            dim_feedforward=16, num_attention_heads=2, num_queries=8, id2label=LABELS,
        )  # fmt: skip
        model = transformers.Mask2FormerForUniversalSegmentation(config).eval()
        sharpen(model)
        model.save_pretrained(folder)
        transformers.Mask2FormerImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)

    @staticmethod
    def oneformer(folder: Path) -> None:
        config = transformers.OneFormerConfig(
            backbone_config={**_SWIN, "out_features": ["stage1", "stage2", "stage3", "stage4"]}, hidden_dim=32,
            mask_dim=32, conv_dim=32, encoder_layers=1, decoder_layers=2, encoder_feedforward_dim=16,
            dim_feedforward=16, num_attention_heads=2, num_queries=8, text_encoder_width=32, text_encoder_num_layers=1,
            text_encoder_vocab_size=16, text_encoder_context_length=8, task_seq_len=8, max_seq_len=8,
            text_encoder_n_ctx=2, query_dec_layers=1, id2label=LABELS,
        )  # fmt: skip
        model = transformers.OneFormerForUniversalSegmentation(config).eval()
        sharpen(model)
        model.save_pretrained(folder)
        size = {"height": 64, "width": 64}
        processor = transformers.OneFormerImageProcessorPil(size=size, num_text=2, num_labels=3)
        processor.class_info_file = "names.json"  # as in released models: it lies in another repository
        processor.save_pretrained(folder)
        save_tokenizer(folder)

    @staticmethod
    def eomt(folder: Path) -> None:
        config = transformers.EomtConfig(**_eomt_settings(), num_blocks=1, id2label=LABELS)
        model = transformers.EomtForUniversalSegmentation(config).eval()
        sharpen(model)
        model.save_pretrained(folder)
        size = {"shortest_edge": 64, "longest_edge": 64}
        transformers.EomtImageProcessorPil(size=size, do_pad=True).save_pretrained(folder)


def resident_memory() -> int:
    """Return the memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def watched_video(frames: int, used: list[int]) -> Any:
    """Return a `random_video` that adds the memory in use to a list at every frame."""
    read = random_video(frames)

    def watch(start: int = 0, stop: int | None = None) -> Any:
        for frame in read(start, stop):
            used.append(resident_memory())
            yield frame

    return watch
