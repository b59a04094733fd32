"""Ablation tables."""
