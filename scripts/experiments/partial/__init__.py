"""Partial scenes: how masks are decided where an occluder without a mask is possible."""
