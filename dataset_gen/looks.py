"""Sampling of surfaces and light."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dataset_gen.library import TEXTURES
from dataset_gen.rounding import DECIMALS, round_vector
from vidamodal.worlds.spec import LightSpec, Material, Vector


def sample_material(
    rng: np.random.Generator, saturation: float = 0.85, scales: tuple[float, float] = (2.0, 8.0)
) -> Material:
    """Sample a surface, given the largest saturation and the range of texture cells per metre."""
    hue, strength, value = rng.random(), rng.uniform(0.0, saturation), rng.uniform(0.3, 0.95)
    second = (hue + rng.normal(0.0, 0.12), rng.uniform(0.0, saturation), value * rng.uniform(0.3, 0.8))
    return Material(
        color=_linear_rgb(hue, strength, value),
        roughness=round(rng.uniform(0.15, 0.9), DECIMALS),
        metallic=1.0 if rng.random() < 0.1 else 0.0,
        texture=TEXTURES[0 if rng.random() < 0.4 else rng.integers(1, len(TEXTURES))],
        color2=_linear_rgb(*second),
        texture_scale=round(rng.uniform(*scales), DECIMALS),
    )


def _linear_rgb(hue: float, saturation: float, value: float) -> Vector:
    """Convert hue (in turns), saturation and value of an sRGB colour to linear RGB."""
    wheel = np.clip(np.abs((hue * 6 + np.array((0, 4, 2))) % 6 - 3) - 1, 0, 1)
    return round_vector((value * (1 - saturation * (1 - wheel))) ** 2.2)


def sample_light(rng: np.random.Generator, maps: tuple[str, ...]) -> LightSpec:
    """Sample the sun, one of some environment maps, and the floor."""
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(30, 75))
    direction = np.array((np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)))
    return LightSpec(
        sun_direction=round_vector(direction),
        sun_strength=round(rng.uniform(1.0, 4.0), DECIMALS),
        hdri=maps[rng.integers(len(maps))],
        hdri_rotation=round(rng.uniform(0, 2 * np.pi), DECIMALS),
        hdri_strength=round(rng.uniform(0.6, 1.2), DECIMALS),
        floor=replace(sample_material(rng, saturation=0.4, scales=(0.3, 1.5)), metallic=0.0),
    )
