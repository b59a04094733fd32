"""Furniture, carried things and static occluders."""
