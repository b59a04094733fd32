"""Synthetic videos with exact amodal ground truth.

Scenes are sampled by seeded code, simulated by PyBullet and rendered by Blender through Kubric.
"""
