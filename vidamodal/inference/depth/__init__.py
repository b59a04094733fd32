"""Depth as evidence of what is in front: maps from files or from a depth model, and which way their values point."""
