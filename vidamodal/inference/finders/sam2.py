"""Visible masks from points, boxes or the masks of a few frames, by SAM 2 (Ravi et al. 2024) in transformers.

Frames are read one at a time. SAM 2 attends only to the last few memories and object pointers and to the prompted
frames, so older ones are dropped: the masks are the same as if it kept the whole video.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import interpolate
from tqdm import tqdm

from vidamodal.backbones.pretrained import config_fingerprint, fingerprint, quiet_libraries, read_pretrained
from vidamodal.backbones.resnet import IMAGENET_MEAN, IMAGENET_STD
from vidamodal.inference.finders.base import Finder
from vidamodal.inference.runtime import FrameSource, Runtime, Timings, open_frames
from vidamodal.media.prompts import Prompt
from vidamodal.types import ClipTracks, Frame, InputError, Rle, Track, VideoInfo

DEFAULT_SAM = "facebook/sam2.1-hiera-tiny"
PROMPTED = 4
"""Prompted frames of an object that are remembered: the first and the latest others."""
_BOX_CORNERS = (2, 3)
"""Labels of a box's corners among the labels of points."""


@dataclass(frozen=True)
class LoadedSam:
    """A SAM 2 video model ready to use, and what run.json records of it."""

    model: Any
    name: str
    config_hash: str
    weights_hash: str


def load_sam(name: str = DEFAULT_SAM) -> LoadedSam:
    """Load a SAM 2 video model.

    Args:
        name: A folder, or ``owner/name`` on the Hugging Face Hub.

    Raises:
        InputError: If there is no such model, if it cannot be downloaded, or if it is not a SAM 2 video model.
    """
    from transformers import Sam2VideoModel

    model = read_pretrained(Sam2VideoModel, name, "sam=", DEFAULT_SAM)
    with quiet_libraries():
        model_type = Sam2VideoModel.config_class.get_config_dict(name)[0].get("model_type")
    if model_type != Sam2VideoModel.config_class.model_type:
        raise InputError(f"sam=: {name!r} is not a SAM 2 video model. Pass one such as {DEFAULT_SAM}.")
    return LoadedSam(model.eval(), name.rstrip("/").rpartition("/")[2], config_fingerprint(model), fingerprint(model))


class Sam2Finder(Finder):
    """SAM 2 on a device. It follows each object from its first prompt on; before, the visible mask is unknown."""

    ID = "sam2"

    def __init__(
        self,
        model: Any,
        prompts: Sequence[Prompt] = (),
        known: ClipTracks | None = None,
        device: str = "auto",
        memory: int | None = None,
    ) -> None:
        """Move the model to a device.

        Args:
            model: A ``Sam2VideoModel``; it is switched to evaluation mode.
            prompts: Points or boxes that mark objects.
            known: Tracks with some known visible masks, which are kept and prompt the other frames.
            device: "auto", "cpu", "cuda" or "mps".
            memory: Number of frames that are remembered besides the prompted ones; None for as many as the model
                attends to. Fewer frames take less memory and change the masks.

        Raises:
            InputError: If ``memory`` is less than 1, or if the device is not available.
        """
        if memory is not None and memory < 1:
            raise InputError(f"memory must be at least 1 frame, not {memory}")
        attended = max(model.config.num_maskmem, model.config.max_object_pointers_in_encoder) - 1
        self.runtime = Runtime.choose(device)
        self.model = model.to(self.runtime.device).eval()
        self.memory = attended if memory is None else memory
        self.prompts, self.known_tracks = tuple(prompts), known.tracks if known is not None else ()
        self.exhaustive = known is not None and known.exhaustive
        self.timings = Timings()

    @classmethod
    def create(cls, device: str, seed: int) -> Sam2Finder:
        """SAM 2 needs prompts, so there is no default.

        Raises:
            InputError: Always.
        """
        raise InputError("SAM 2 follows objects that are marked. Pass points=, boxes= or masks= instead of detect=.")

    @property
    def size(self) -> int:
        """Side in pixels of the square that the model reads."""
        return int(self.model.config.image_size)

    def find(self, video: VideoInfo, frames: FrameSource, quiet: bool = True) -> ClipTracks:
        """Return a track with visible masks for each prompt; a pixel belongs to the object with the largest logit."""
        ids = [prompt.id for prompt in self.prompts] + [track.id for track in self.known_tracks]
        visible: dict[int, list[Rle | None]] = {key: [None] * video.frames for key in ids}
        stream = self._stream(open_frames(frames, "SAM 2"))
        bar = tqdm(stream, total=video.frames, desc="follow", unit="frame", disable=quiet)
        for t, masks in enumerate(bar):
            for key, mask in masks.items():
                visible[key][t] = mask
        for track in self.known_tracks:
            pairs = zip(track.visible, visible[track.id], strict=True)
            visible[track.id] = [known or predicted for known, predicted in pairs]
        labels = {track.id: track.label for track in self.known_tracks}
        tracks = tuple(Track(key, tuple(masks), label=labels.get(key)) for key, masks in visible.items())
        return ClipTracks(video, tracks, exhaustive=self.exhaustive)

    def _stream(self, frames: Iterator[Frame]) -> Iterator[Mapping[int, Rle]]:
        """The visible masks of each frame, by id, of the objects that have been prompted so far."""
        from transformers import Sam2VideoInferenceSession

        devices = {f"{use}_device": self.runtime.device for use in ("inference", "inference_state", "video_storage")}
        session = Sam2VideoInferenceSession(dtype=torch.float32, **devices)
        for t, frame in enumerate(frames):
            began = time.perf_counter()
            height, width = frame.shape[:2]
            self._add_prompts(session, t, height, width)
            if session.get_obj_num() == 0:
                yield {}
                continue
            with self.runtime.autocast():
                out = self.model(inference_session=session, frame_idx=t, frame=self._normalise(frame))
            self._forget(session, t)
            masks = disjoint_masks(rearrange(out.pred_masks, "n 1 h w -> n h w").float(), height, width)
            self.timings.add("model", began)
            yield {key: Rle.encode(mask) for key, mask in zip(out.object_ids, masks, strict=True)}

    def _normalise(self, frame: Frame) -> Float[Tensor, "1 3 s s"]:
        """The frame as the model reads it: resized to a square regardless of its shape, and normalised."""
        pixels = torch.from_numpy(np.ascontiguousarray(frame))
        colours = rearrange(pixels, "h w c -> 1 c h w").float().to(self.runtime.device)
        colours = interpolate(colours / 255, (self.size, self.size), mode="bilinear", antialias=True)
        mean, std = (torch.tensor(v, device=self.runtime.device)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
        return (colours - mean) / std

    def _add_prompts(self, session: Any, t: int, height: int, width: int) -> None:
        """Add the prompts of frame t to the session."""
        for prompt in self.prompts:
            if prompt.frame == t:
                self._add_prompt(session, prompt, height, width)
        for track in self.known_tracks:
            mask = track.visible[t]
            if mask is not None and mask.area():
                plane = torch.from_numpy(mask.decode())[None, None].float()
                plane = interpolate(plane, (self.size, self.size), mode="bilinear", antialias=True)
                session.add_mask_inputs(session.obj_id_to_idx(track.id), t, (plane >= 0.5).float())
                session.obj_with_new_inputs.append(track.id)

    def _add_prompt(self, session: Any, prompt: Prompt, height: int, width: int) -> None:
        corners = [] if prompt.box is None else [prompt.box[:2], prompt.box[2:]]
        labels = [*(_BOX_CORNERS if corners else ()), *prompt.labels]
        scale = torch.tensor([self.size / width, self.size / height])
        points = torch.tensor([*corners, *prompt.points]) * scale
        inputs = {"point_coords": points[None, None], "point_labels": torch.tensor(labels)[None, None].int()}
        session.add_point_inputs(session.obj_id_to_idx(prompt.id), prompt.frame, inputs)
        session.obj_with_new_inputs.append(prompt.id)

    def _forget(self, session: Any, t: int) -> None:
        """Drop the frame, and everything that no later frame attends to."""
        session.processed_frames.clear()
        for prompts in (session.point_inputs_per_obj, session.mask_inputs_per_obj, session.frames_tracked_per_obj):
            for by_frame in prompts.values():
                by_frame.clear()
        for outputs in session.output_dict_per_obj.values():
            followed, prompted = outputs["non_cond_frame_outputs"], outputs["cond_frame_outputs"]
            for old in [k for k in followed if k <= t - self.memory]:
                del followed[old]
            for old in sorted(prompted)[1 : 1 - PROMPTED]:
                del prompted[old]
            for output in (*followed.values(), *prompted.values()):  # as large as a frame, and never attended to
                output.pop("high_res_masks", None)


def disjoint_masks(logits: Float[Tensor, "n s s"], height: int, width: int) -> Iterator[Bool[np.ndarray, "h w"]]:
    """Return masks at the size of the video; each pixel belongs to the object with the largest positive logit."""
    best = torch.zeros(height, width, device=logits.device)
    owner = torch.full((height, width), -1, device=logits.device)
    for number, plane in enumerate(logits):  # one at a time: all at the size of the video would take too much memory
        enlarged = interpolate(plane[None, None], (height, width), mode="bilinear")[0, 0]
        owner[enlarged > best] = number
        best = torch.maximum(best, enlarged)
    owners = owner.cpu().numpy()
    return (owners == number for number in range(len(logits)))
