"""One pass of SAM 2 (Ravi et al. 2024) or EdgeTAM (Zhou et al. 2025) over the frames of a video, in either direction.

Frames are read one at a time. The models attend only to the last few memories and object pointers and to the prompted
frames, so older ones are dropped: the masks are the same as if the whole video was kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from vidamodal.backbones.pretrained import config_fingerprint, fingerprint, model_type, read_pretrained
from vidamodal.backbones.resnet import IMAGENET_MEAN, IMAGENET_STD
from vidamodal.inference.runtime import Runtime
from vidamodal.media.prompts import Prompt
from vidamodal.types import Frame, InputError, Rle

DEFAULT_SAM = "facebook/sam2.1-hiera-tiny"
"""The model unless another is named; its licence is Apache-2.0."""
FAMILIES = {"sam2_video": "Sam2Video", "edgetam_video": "EdgeTamVideo"}
"""Beginning of the class names in transformers, by the type of the model in config.json."""
PROMPTED = 4
"""Prompted frames of an object that are remembered: the first and the latest others."""
_BOX_CORNERS = (2, 3)
"""Labels of a box's corners among the labels of points."""

Logits = Float[Tensor, "s s"]


@dataclass(frozen=True)
class LoadedSam:
    """A SAM 2 or EdgeTAM video model ready to use, and what run.json records of it."""

    model: Any
    name: str
    config_hash: str
    weights_hash: str


def load_sam(name: str = DEFAULT_SAM) -> LoadedSam:
    """Load a SAM 2 or EdgeTAM video model.

    Args:
        name: A folder, or ``owner/name`` on the Hugging Face Hub.

    Raises:
        InputError: If there is no such model, if it cannot be downloaded, or if it is neither.
    """
    import transformers

    kind = model_type(name, "sam=", DEFAULT_SAM)
    if kind not in FAMILIES:
        raise InputError(
            f"sam=: {name!r} is a model of type {kind!r}, not a SAM 2 or EdgeTAM video model. Pass one such as "
            f"{DEFAULT_SAM}."
        )
    model = read_pretrained(getattr(transformers, f"{FAMILIES[kind]}Model"), name, "sam=", DEFAULT_SAM)
    return LoadedSam(model.eval(), name.rstrip("/").rpartition("/")[2], config_fingerprint(model), fingerprint(model))


@dataclass(frozen=True)
class Sighting:
    """What the model makes of one prompt in one frame."""

    frame: int
    logits: Logits
    memory: Mapping[str, Any]
    """Outputs of the model that later frames attend to."""


class SamStream:
    """Follows objects through consecutive frames, forward or backward in time."""

    def __init__(self, model: Any, runtime: Runtime, memory: int | None = None, backward: bool = False) -> None:
        """Begin with no objects.

        Args:
            model: A ``Sam2VideoModel`` or ``EdgeTamVideoModel`` in evaluation mode, on the device of the runtime.
            runtime: The device and precision.
            memory: Number of frames that are remembered besides the prompted ones; None for as many as the model
                attends to.
            backward: True if the frames come in reverse order.
        """
        attended = max(model.config.num_maskmem, model.config.max_object_pointers_in_encoder) - 1
        self.model, self.runtime, self.backward = model, runtime, backward
        self.memory = attended if memory is None else memory
        self._session = self._new_session(None)

    @property
    def ids(self) -> list[int]:
        """The objects that are followed."""
        return list(self._session.obj_ids)

    @property
    def size(self) -> int:
        """Side in pixels of the square that the model reads."""
        return int(self.model.config.image_size)

    def prepare(self, frame: Frame) -> Float[Tensor, "1 3 s s"]:
        """Return the frame as the model reads it: resized to a square regardless of its shape, and normalised."""
        pixels = torch.from_numpy(np.ascontiguousarray(frame))
        colours = rearrange(pixels, "h w c -> 1 c h w").float().to(self.runtime.device)
        colours = interpolate(colours / 255, (self.size, self.size), mode="bilinear", antialias=True)
        mean, std = (torch.tensor(v, device=self.runtime.device)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
        return (colours - mean) / std

    def look(self, t: int, pixels: Float[Tensor, "1 3 s s"], prompt: Prompt | Rle, height: int, width: int) -> Sighting:
        """Return what the model makes of a prompt, without following it.

        Args:
            t: The frame.
            pixels: The frame as `prepare` returns it.
            prompt: Points, a box or a mask of the object.
            height: Height of the video in pixels.
            width: Width of the video in pixels.
        """
        session = self._new_session(self._session.cache)
        index = session.obj_id_to_idx(0)
        if isinstance(prompt, Rle):
            plane = torch.from_numpy(prompt.decode())[None, None].float()
            plane = interpolate(plane, (self.size, self.size), mode="bilinear", antialias=True)
            session.add_mask_inputs(index, t, (plane >= 0.5).float())
        else:
            session.add_point_inputs(index, t, self._point_inputs(prompt, height, width))
        session.obj_with_new_inputs.append(0)
        logits = self._run(session, t, pixels)[0]
        return Sighting(t, logits, session.output_dict_per_obj[index]["cond_frame_outputs"][t])

    def follow(self, key: int, sighting: Sighting) -> None:
        """Follow an object from a sighting on; further sightings of the same object correct it."""
        index = self._session.obj_id_to_idx(key)
        self._session.output_dict_per_obj[index]["cond_frame_outputs"][sighting.frame] = dict(sighting.memory)

    def step(self, t: int, pixels: Float[Tensor, "1 3 s s"]) -> dict[int, Logits]:
        """Return the logits of all objects in the next frame, or in the one of their sighting."""
        if not self.ids:
            return {}
        logits = self._run(self._session, t, pixels)
        self._forget(t)
        return {key: logits[k] for k, key in enumerate(self.ids)}

    def drop(self, keys: Collection[int]) -> None:
        """Follow these objects no longer."""
        if not keys:
            return
        old, self._session = self._session, self._new_session(self._session.cache)
        for key in old.obj_ids:
            if key not in keys:
                before, after = old.obj_id_to_idx(key), self._session.obj_id_to_idx(key)
                self._session.output_dict_per_obj[after] = old.output_dict_per_obj[before]

    def _new_session(self, cache: Any) -> Any:
        """A session of transformers; sessions that share a cache encode a frame only once."""
        import transformers

        kind = getattr(transformers, f"{FAMILIES[self.model.config.model_type]}InferenceSession")
        devices = {f"{use}_device": self.runtime.device for use in ("inference", "inference_state", "video_storage")}
        session = kind(dtype=torch.float32, **devices)
        session.cache = session.cache if cache is None else cache
        return session

    def _run(self, session: Any, t: int, pixels: Float[Tensor, "1 3 s s"]) -> Float[Tensor, "n s s"]:
        with self.runtime.autocast():
            out = self.model(inference_session=session, frame_idx=t, frame=pixels, reverse=self.backward)
        session.processed_frames.clear()
        masks: Float[Tensor, "n 1 s s"] = out.pred_masks
        return rearrange(masks, "n 1 h w -> n h w").float()

    def _point_inputs(self, prompt: Prompt, height: int, width: int) -> dict[str, Tensor]:
        corners = [] if prompt.box is None else [prompt.box[:2], prompt.box[2:]]
        labels = [*(_BOX_CORNERS if corners else ()), *prompt.labels]
        scale = torch.tensor([self.size / width, self.size / height])
        points = torch.tensor([*corners, *prompt.points]) * scale
        return {"point_coords": points[None, None], "point_labels": torch.tensor(labels)[None, None].int()}

    def _forget(self, t: int) -> None:
        """Drop everything that no later frame attends to."""
        for by_frame in self._session.frames_tracked_per_obj.values():
            by_frame.clear()
        for outputs in self._session.output_dict_per_obj.values():
            followed, prompted = outputs["non_cond_frame_outputs"], outputs["cond_frame_outputs"]
            for old in [k for k in followed if abs(t - k) >= self.memory]:
                del followed[old]
            for old in sorted(prompted, reverse=self.backward)[1 : 1 - PROMPTED]:
                del prompted[old]
            for output in (*followed.values(), *prompted.values()):  # as large as a frame, and never attended to
                output.pop("high_res_masks", None)


def disjoint_masks(logits: Mapping[int, Logits], height: int, width: int) -> dict[int, Rle]:
    """Return masks at the size of the video; each pixel belongs to the object with the largest positive logit."""
    planes = list(logits.values())
    if not planes:
        return {}
    best = torch.zeros(height, width, device=planes[0].device)
    owner = torch.full((height, width), -1, device=planes[0].device)
    for number, plane in enumerate(planes):  # one at a time: all at the size of the video would take too much memory
        enlarged = interpolate(plane[None, None], (height, width), mode="bilinear")[0, 0]
        owner[enlarged > best] = number
        best = torch.maximum(best, enlarged)
    owners = owner.cpu().numpy()
    return {key: Rle.encode(owners == number) for number, key in enumerate(logits)}
