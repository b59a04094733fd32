"""Sampling of the denoiser."""

from __future__ import annotations

import torch
from diffusers import DDPMScheduler

from tests.segmenters.cumulative.helpers import (
    SIZE,
    segmenter,
)


def test_ddpm_steps_equal_those_of_the_library() -> None:
    network, planes = segmenter(sampler="ddpm", steps=20).denoise, torch.rand(2, 4, SIZE, SIZE)
    drawn = [torch.randn(2, SIZE, SIZE, generator=torch.Generator().manual_seed(k)) for k in range(21)]
    ours = network.sample(planes, iter(drawn).__next__)
    schedule = DDPMScheduler(beta_schedule="linear", clip_sample=True, timestep_spacing="trailing")
    schedule.set_timesteps(20)
    x = drawn[0]
    with torch.no_grad():
        for time, noise in zip(schedule.timesteps, drawn[1:], strict=True):
            step = schedule.step(network(planes, x, time.expand(2)), int(time), x)
            guess = step.pred_original_sample
            before = schedule.previous_timestep(time)
            now = schedule.alphas_cumprod[time]
            then = schedule.alphas_cumprod[before] if before >= 0 else torch.ones(())
            mean = then.sqrt() * (1 - now / then) / (1 - now) * guess + (now / then).sqrt() * (1 - then) / (1 - now) * x
            x = mean + ((1 - then) / (1 - now) * (1 - now / then)).sqrt() * noise
    torch.testing.assert_close(ours, x, atol=1e-4, rtol=1e-4)
