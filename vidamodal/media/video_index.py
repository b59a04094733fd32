"""An index of a video file: how many frames it displays, when, at which size, and whether the file is complete."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av import Packet, VideoStream
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideData

from vidamodal.media.video_source import VideoSource
from vidamodal.types import InputError


@dataclass(frozen=True)
class VideoIndex:
    """The properties of a video file that decoding relies on."""

    frames: int
    """Number of displayed frames."""
    fps: float
    coded_size: tuple[int, int]
    """Height and width of the decoded pictures before rotation."""
    display_matrix: tuple[int, ...] | None
    """Rotation and mirroring as nine 16.16 fixed-point numbers, row by row."""
    times: tuple[int, ...] | None
    """Presentation time of every displayed frame in order; None if the container's times are unreliable."""
    decord_safe: bool
    """True if decord decodes this file correctly: plain H.264 in mp4 without edit lists or rotation."""

    def frame_number(self, time: int | None) -> int | None:
        """Return the number of the frame displayed at a presentation time, or None if it is unknown."""
        if self.times is None or time is None:
            return None
        place = bisect.bisect_left(self.times, time)
        return place if place < len(self.times) and self.times[place] == time else None


def index_video(source: VideoSource) -> VideoIndex:
    """Demux a whole video file and decode its first frame.

    Raises:
        InputError: The file is no video, is damaged, or holds fewer frames than it declares.
    """
    with source.open() as (container, stream):
        packets = _read_packets(container, stream)
        _check_complete(source.name, packets, _declared_frames(packets, container, stream))
        rate = stream.average_rate or stream.guessed_rate or Fraction(1)
        simple = _is_simple_h264(packets, container, stream)
    with source.open() as (container, stream), source.decoding_errors():
        first = next(container.decode(stream), None)
        if first is None:
            raise InputError(
                f"{source.name}: none of the {len(packets.times)} frames can be decoded. Pass a complete file."
            )
        reordered = stream.codec_context.has_b_frames
        side_data: Any = first.side_data
        data = next((data for data in side_data if data.type is SideData.DISPLAYMATRIX), None)
        matrix = None if data is None else tuple(np.frombuffer(bytes(data), dtype=np.int32).tolist())
    known = [time for time in packets.times if time is not None]
    ordered = sorted(set(known))
    # Containers may omit times, repeat them, or store decoding times in place of presentation times.
    reliable = len(ordered) == len(packets.times) and not (reordered and ordered == known)
    return VideoIndex(
        frames=len(packets.times),
        fps=max(round(float(rate), 4), 0.0001),
        coded_size=(first.height, first.width),
        display_matrix=matrix,
        times=tuple(ordered) if reliable else None,
        decord_safe=simple and matrix is None and reliable,
    )


@dataclass
class _Packets:
    times: list[int | None] = field(default_factory=list)
    """Presentation time of every displayed packet."""
    end: float = 0.0
    """End of the last packet of any stream in seconds."""
    uniform: bool = True
    """False if an edit list discards a packet, or a packet carries parameters such as another size."""
    intact: bool = True
    """False if reading stopped at a damaged packet."""


def _read_packets(container: InputContainer, stream: VideoStream) -> _Packets:
    packets = _Packets()
    try:
        for packet in container.demux():
            if packet.pts is not None:
                packets.end = max(packets.end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream_index != stream.index or not packet.size:
                continue
            if packet.is_corrupt:
                packets.intact = False
                break
            packets.uniform = packets.uniform and not packet.is_discard and not _carries_parameters(packet)
            if not packet.is_discard and not _is_hidden_reference(packet, stream):
                packets.times.append(packet.pts)
    except av.error.FFmpegError:
        packets.intact = False
    return packets


def _declared_frames(packets: _Packets, container: InputContainer, stream: VideoStream) -> int:
    """Return how many frames the container promises, 0 if it does not say."""
    if "matroska" in container.format.name and container.duration is not None:
        # Matroska does not count frames, but its header holds the duration.
        rate = float(stream.average_rate or 1)
        missing = container.duration / av.time_base - packets.end
        if missing > max(0.1, 3 / rate):
            return len(packets.times) + round(missing * rate)
    displayed = sum(not entry.is_discard for entry in stream.index_entries) if "mp4" in container.format.name else 0
    return displayed or stream.frames


def _check_complete(name: str, packets: _Packets, declared: int) -> None:
    count = len(packets.times)
    if declared > count:
        raise InputError(
            f"{name}: only {count} of {declared} frames are in the file; it is cut off. Pass the complete file."
        )
    if not packets.intact:
        raise InputError(f"{name}: damaged after {count} frames. Pass an undamaged file.")
    if not count:
        raise InputError(f"{name}: the file holds no frames. Pass a video.")


def _is_simple_h264(packets: _Packets, container: InputContainer, stream: VideoStream) -> bool:
    context = stream.codec_context
    return (
        "mp4" in container.format.name
        and context.name == "h264"
        and context.pix_fmt == "yuv420p"
        and len(container.streams.video) == 1
        and stream.start_time == 0
        and stream.frames == len(packets.times)
        and packets.uniform
    )


def _is_hidden_reference(packet: Packet[Any], stream: VideoStream) -> bool:
    """Return True for a VP8 reference frame that is never displayed (RFC 6386, section 9.1)."""
    return stream.codec_context.name == "vp8" and not bytes(packet)[0] & 0x10


def _carries_parameters(packet: Packet[Any]) -> bool:
    """Return True if an H.264 packet in mp4 carries a sequence parameter set, which may change the size."""
    if not packet.is_keyframe:
        return False
    data, position = bytes(packet), 0
    while position + 4 < len(data):
        if data[position + 4] & 31 == 7:
            return True
        position += 4 + int.from_bytes(data[position : position + 4], "big")
    return False
