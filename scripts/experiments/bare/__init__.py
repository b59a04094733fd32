"""Amodal tracks from videos without masks."""
