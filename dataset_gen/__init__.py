"""Synthetic videos with exact amodal truth: sampled, settled by PyBullet, rendered by Blender through Kubric."""
