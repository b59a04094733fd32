"""Samplers of layers."""
