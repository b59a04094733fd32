"""Visible masks from points, boxes or the masks of a few frames, by SAM 2 (Ravi et al. 2024) in transformers.

Frames stream through one at a time. What SAM 2 remembers of earlier frames is a window that slides with it: it attends
to the last few memories and object pointers and to the prompted frames, so whatever is older is dropped, and its masks
are those of a run over the whole video at once.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from vidamodal.backbones.pretrained import fingerprint, one_line, read_pretrained, transformers
from vidamodal.backbones.resnet import MEAN, STD
from vidamodal.inference.predictor import Pictures, Timings, pick_device, pick_precision
from vidamodal.media.prompts import Prompt
from vidamodal.types import ClipTracks, Frame, InputError, Rle, Track, VideoInfo

DEFAULT_SAM = "facebook/sam2.1-hiera-tiny"
PROMPTED = 4
"""Prompted frames of an object that are remembered: its first one and the latest others."""
_BOX_CORNERS = (2, 3)
"""Labels of a box's corners among the labels of points."""


@dataclass(frozen=True)
class LoadedSam:
    """A SAM 2 video model, ready to be used, and what run.json says of it."""

    model: Any
    name: str
    config_hash: str
    weights_hash: str


def load_sam(name: str = DEFAULT_SAM) -> LoadedSam:
    """Load a SAM 2 video model by folder or by its name on the Hub. InputError if it cannot be had, or does not fit."""
    library = transformers("SAM 2", "sam")
    kind = library.Sam2VideoModel
    model = read_pretrained(kind, name, "--sam", DEFAULT_SAM)
    with one_line():
        told = kind.config_class.get_config_dict(name)[0].get("model_type")
    if told != kind.config_class.model_type:
        raise InputError(f"--sam: {name!r} is not a SAM 2 video model")
    settings = {k: v for k, v in model.config.to_dict().items() if k not in ("_name_or_path", "transformers_version")}
    config = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()
    return LoadedSam(model.eval(), name.rstrip("/").rpartition("/")[2], config, fingerprint(model))


class Sam2Finder:
    """SAM 2 on a device. An object is followed from its first prompt on; before, its visible mask is not known."""

    def __init__(
        self,
        model: Any,
        prompts: Sequence[Prompt] = (),
        given: ClipTracks | None = None,
        device: str = "auto",
        window: int | None = None,
    ) -> None:
        """``prompts``: points or boxes. ``given``: tracks whose known visible masks stay and prompt the others.

        ``window``: frames that are remembered, beside the prompted ones; None: as many as the model ever attends to. A
        shorter window takes less memory and changes the masks.
        """
        reads = max(model.config.num_maskmem, model.config.max_object_pointers_in_encoder) - 1
        if window is not None and window < 1:
            raise InputError(f"the window must be at least 1 frame, not {window}")
        self.device = pick_device(device)
        self.precision = pick_precision(self.device)
        self.model = model.to(self.device).eval()
        self.window = reads if window is None else window
        self.prompts, self.given = tuple(prompts), given
        self.timings = Timings()

    @property
    def size(self) -> int:
        return int(self.model.config.image_size)

    def find(self, video: VideoInfo, pictures: Pictures, quiet: bool = True) -> ClipTracks:
        """Tracks with the ids of their prompts; a pixel belongs to the object that is surest of it."""
        frames = pictures()
        if frames is None:
            raise InputError("SAM 2 reads pictures, and there are none: give the video")
        tracks = self.given.tracks if self.given is not None else ()
        visible: dict[int, list[Rle | None]] = {k: [None] * video.frames for k in self._ids()}
        bar = tqdm(self._stream(frames), total=video.frames, desc="follow", unit="frame", disable=quiet)
        for t, found in enumerate(bar):
            for key, mask in found.items():
                visible[key][t] = mask
        for track in tracks:
            visible[track.id] = [known or found for known, found in zip(track.visible, visible[track.id], strict=True)]
        labels = {track.id: track.label for track in tracks}
        out = tuple(Track(k, tuple(masks), label=labels.get(k)) for k, masks in visible.items())
        return ClipTracks(video, out, exhaustive=self.given is not None and self.given.exhaustive)

    def _ids(self) -> list[int]:
        return [prompt.id for prompt in self.prompts] + [
            track.id for track in (self.given.tracks if self.given else ())
        ]

    def _stream(self, frames: Iterator[Frame]) -> Iterator[Mapping[int, Rle]]:
        """The visible masks of each frame, by id, of the objects that have been prompted."""
        library = transformers("SAM 2", "sam")
        places = {f"{use}_device": self.device for use in ("inference", "inference_state", "video_storage")}
        session = library.Sam2VideoInferenceSession(dtype=torch.float32, **places)
        for t, frame in enumerate(frames):
            began = time.perf_counter()
            height, width = frame.shape[:2]
            self._prompt(session, t, height, width)
            if session.get_obj_num() == 0:
                yield {}
                continue
            with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
                out = self.model(inference_session=session, frame_idx=t, frame=self._read(frame))
            self._forget(session, t)
            masks = _apart(rearrange(out.pred_masks, "n 1 h w -> n h w").float(), height, width)
            self.timings.add("model", began)
            yield {key: Rle.encode(mask) for key, mask in zip(out.object_ids, masks, strict=True)}

    def _read(self, frame: Frame) -> Float[Tensor, "1 3 s s"]:
        """A frame's colours as the model reads them: brought to its square, whatever their shape was."""
        colours = rearrange(torch.from_numpy(np.ascontiguousarray(frame)), "h w c -> 1 c h w").float().to(self.device)
        colours = F.interpolate(colours / 255, (self.size, self.size), mode="bilinear", antialias=True)
        mean, std = (torch.tensor(v, device=self.device)[:, None, None] for v in (MEAN, STD))
        return (colours - mean) / std

    def _prompt(self, session: Any, t: int, height: int, width: int) -> None:
        """Tell the session what is known of frame t before it is read."""
        scale = torch.tensor([self.size / width, self.size / height])
        for prompt in self.prompts:
            if prompt.frame != t:
                continue
            corners = [] if prompt.box is None else [prompt.box[:2], prompt.box[2:]]
            labels = [*(_BOX_CORNERS if corners else ()), *prompt.labels]
            points = torch.tensor([*corners, *prompt.points]) * scale
            inputs = {"point_coords": points[None, None], "point_labels": torch.tensor(labels)[None, None].int()}
            session.add_point_inputs(session.obj_id_to_idx(prompt.id), t, inputs)
            session.obj_with_new_inputs.append(prompt.id)
        for track in self.given.tracks if self.given is not None else ():
            mask = track.visible[t]
            if mask is None or not mask.area():
                continue
            plane = torch.from_numpy(mask.decode())[None, None].float()
            plane = F.interpolate(plane, (self.size, self.size), mode="bilinear", antialias=True)
            session.add_mask_inputs(session.obj_id_to_idx(track.id), t, (plane >= 0.5).float())
            session.obj_with_new_inputs.append(track.id)

    def _forget(self, session: Any, t: int) -> None:
        """Drop the picture, and what no later frame attends to."""
        session.processed_frames.clear()
        for prompts in (session.point_inputs_per_obj, session.mask_inputs_per_obj, session.frames_tracked_per_obj):
            for by_frame in prompts.values():
                by_frame.clear()
        for outputs in session.output_dict_per_obj.values():
            followed, prompted = outputs["non_cond_frame_outputs"], outputs["cond_frame_outputs"]
            for old in [k for k in followed if k <= t - self.window]:
                del followed[old]
            for old in sorted(prompted)[1 : 1 - PROMPTED]:
                del prompted[old]
            for output in (*followed.values(), *prompted.values()):  # of the model's size; only its memory is read
                output.pop("high_res_masks", None)


def _apart(logits: Float[Tensor, "n s s"], height: int, width: int) -> Iterator[Bool[np.ndarray, "h w"]]:
    """Masks at the size of the video, none of which shares a pixel with another."""

    def enlarged(plane: Float[Tensor, "s s"]) -> Float[Tensor, "h w"]:
        return F.interpolate(plane[None, None], (height, width), mode="bilinear")[0, 0]

    best, owner = torch.zeros(height, width, device=logits.device), torch.full((height, width), -1)
    owner = owner.to(logits.device)
    for number, plane in enumerate(logits):
        large = enlarged(plane)
        owner[large > best] = number
        best = torch.maximum(best, large)
    told = owner.cpu().numpy()
    return (told == number for number in range(len(logits)))
