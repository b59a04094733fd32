"""Image backbones and pretrained weights from transformers and diffusers."""
