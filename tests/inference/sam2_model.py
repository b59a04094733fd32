"""A tiny SAM 2 video model with random weights."""

from __future__ import annotations

import torch
import transformers


def tiny_sam_model() -> transformers.Sam2VideoModel:
    """Return the model; its memory weights are scaled up, so that its masks depend on earlier frames."""
    torch.manual_seed(0)
    backbone = {
        "model_type": "sam2_hiera_det_model", "hidden_size": 8, "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 24, 32], "num_attention_heads_per_stage": [1, 1, 1, 1],
        "global_attention_blocks": [3], "image_size": [64, 64], "window_size_per_stage": [8, 4, 4, 2],
        "window_positional_embedding_background_size": [2, 2],
    }  # fmt: skip
    vision = {
        "model_type": "sam2_vision_model", "backbone_config": backbone, "backbone_channel_list": [32, 24, 16, 8],
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]], "fpn_hidden_size": 128,
    }  # fmt: skip
    config = transformers.Sam2VideoConfig(
        vision_config=vision, image_size=64,
        prompt_encoder_config={"hidden_size": 128, "image_size": 64, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 128, "mlp_dim": 16, "num_attention_heads": 2, "iou_head_hidden_dim": 16},
        memory_attention_hidden_size=128, memory_attention_num_layers=1, memory_attention_feed_forward_hidden_size=16,
        memory_attention_rope_feat_sizes=[4, 4], memory_encoder_hidden_size=128, memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=128, memory_fuser_embed_dim=128, memory_fuser_intermediate_dim=16,
        memory_fuser_num_layers=1, num_maskmem=4, max_object_pointers_in_encoder=6,
    )  # fmt: skip
    model = transformers.Sam2VideoModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "memory" in name and parameter.ndim > 1:
                parameter.mul_(8)
    return model


def tiny_edgetam_model() -> transformers.EdgeTamVideoModel:
    """Return an EdgeTAM video model with the same backbone; that of the released one needs timm."""
    torch.manual_seed(0)
    sam = tiny_sam_model().config
    config = transformers.EdgeTamVideoConfig(
        vision_config=sam.vision_config.to_dict(), image_size=64,
        prompt_encoder_config={"hidden_size": 128, "image_size": 64, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 128, "mlp_dim": 16, "num_attention_heads": 2, "iou_head_hidden_dim": 16},
        memory_attention_hidden_size=128, memory_attention_num_layers=1, memory_attention_mlp_hidden_size=16,
        memory_attention_rope_feat_sizes=[4, 4], memory_attention_rope_k_sizes=[2, 2],
        perceiver_resampler_num_latents=4, perceiver_resampler_num_latents_2d=4,
        perceiver_resampler_mlp_intermediate_size=16, perceiver_resampler_num_layers=1, memory_encoder_hidden_size=128,
        mask_downsampler_embed_dim=128, memory_fuser_embed_dim=128, memory_fuser_intermediate_dim=16,
        memory_fuser_num_layers=1, num_maskmem=4, max_object_pointers_in_encoder=6,
    )  # fmt: skip
    return transformers.EdgeTamVideoModel(config).eval()
