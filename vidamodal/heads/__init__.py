"""Framewise heads, which refine coarse amodal masks: one module or subpackage each."""
