"""Providers of visible masks, one file each: a video in, tracks with visible masks out. See `base.Finder`."""
