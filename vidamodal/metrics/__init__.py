"""Evaluation of amodal tracks: one store of pixel counts, from which every measure is computed. Never imports torch."""
