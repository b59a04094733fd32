"""Segmenters of frames without masks: one module or subpackage each."""
