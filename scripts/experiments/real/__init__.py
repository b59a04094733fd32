"""Scores on real video: composites of real silhouettes, and amodal boxes of KITTI tracking."""
