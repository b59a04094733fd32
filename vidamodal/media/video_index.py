"""An index of a video file: how many frames it displays, when, at which size, and whether the file is complete.

The decoder decides which frames a video has. In an mp4 or Matroska file whose counts agree, every packet is a frame,
and the index is made without decoding. All other videos are decoded once: AVI files, which may drop frames; transport
streams, which start and end anywhere; and files whose first pictures refer to pictures that were cut off.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av import Packet, VideoFrame, VideoStream
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideData

from vidamodal.media.container_end import is_cut_off, listed_png_frames
from vidamodal.media.mp4_tables import lists_impossible_counts
from vidamodal.media.video_source import VideoSource, choose_stream, moving_streams
from vidamodal.types import InputError

_STRUCTURED = ("mov", "matroska", "avi", "apng")
"""Formats of files that are complete as written; others may start and end anywhere."""


@dataclass(frozen=True)
class VideoIndex:
    """The properties of a video file that decoding relies on."""

    stream: int
    """Number of the video stream in the file."""
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
    open_ended: bool = False
    """True if the file may hold damaged pictures after the last frame, which are not read."""
    notes: tuple[str, ...] = ()
    """What was assumed, one line each, for the user."""

    def frame_number(self, time: int | None) -> int | None:
        """Return the number of the frame displayed at a presentation time, or None if it is unknown."""
        if self.times is None or time is None:
            return None
        place = bisect.bisect_left(self.times, time)
        return place if place < len(self.times) and self.times[place] == time else None


def index_video(source: VideoSource) -> VideoIndex:
    """Demux a whole video file, and decode its first frame, or all frames if their number is uncertain.

    Raises:
        InputError: The file is no video, or is damaged or cut off.
    """
    with source.open_binary() as file:
        if lists_impossible_counts(file):
            raise InputError(
                f"{source.name}: the index lists more frames than the file can hold. Pass a complete file."
            )
    with source.open() as (container, _):
        packets_of = _read_packets(container)
        stream, note = choose_stream(source.short_name, container, {k: len(p.times) for k, p in packets_of.items()})
        number, packets = stream.index, packets_of[stream.index]
        source = replace(source, stream=number)
        listed = _listed_frames(source, container, stream)
        _check_complete(source, packets, listed, container, stream)
        rate, base = stream.average_rate or stream.guessed_rate or Fraction(1), stream.time_base or Fraction(1)
        simple = _is_simple_h264(packets, container, stream)
        consistent = packets.decodable and listed in (0, len(packets.times)) and _holds(container, "mov", "matroska")
    times = _ordered(packets.times)
    with source.open() as (container, stream), source.decoding_errors():
        first = next((frame for frame in decode_pictures(container, stream) if frame is not None), None)
        if first is None:
            raise InputError(
                f"{source.name}: none of the {len(packets.times)} frames can be decoded. Pass a complete file."
            )
        # Containers may omit times, repeat them, or store decoding times in place of presentation times.
        reliable = times is not None and not (stream.codec_context.has_b_frames and list(times) == packets.times)
    matrix = _display_matrix(first)
    index = VideoIndex(
        stream=number,
        frames=len(packets.times),
        fps=_frame_rate(times if reliable else None, float(base), float(rate)),
        coded_size=(first.height, first.width),
        display_matrix=matrix,
        times=times if reliable else None,
        decord_safe=simple and matrix is None and reliable,
        notes=() if note is None else (note,),
    )
    return index if consistent and reliable else _count_by_decoding(source, index, max(listed, index.frames))


def decode_pictures(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame | None]:
    """Yield the frames from the current position on; None for a picture that is damaged.

    Pictures before the first key frame that refer to missing pictures are passed over.

    Raises:
        FFmpegError: The container cannot be read.
    """
    started = False
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            if started or packet.is_keyframe:
                yield None
            continue
        for frame in frames:
            started = started or frame.key_frame or not frame.is_corrupt
            if started:
                yield None if frame.is_corrupt else frame


def _count_by_decoding(source: VideoSource, index: VideoIndex, listed: int) -> VideoIndex:
    """Return the index with the frames that the decoder returns. Damage is tolerated only at an open end."""
    found: list[int | None] = []
    damaged = False
    with source.open() as (container, stream), source.decoding_errors():
        for frame in decode_pictures(container, stream):
            damaged = damaged or frame is None
            if damaged and (frame is not None or _holds(container, *_STRUCTURED)):
                raise InputError(f"{source.name}: frame {len(found)} is damaged. Pass an undamaged file.")
            if frame is not None:
                found.append(frame.pts)
        base = float(stream.time_base or 1)
        seekable = not _holds(container, "apng")  # its frames are drawn over the earlier ones
    times = tuple(time for time in found if time is not None)
    ordered = times if len(times) == len(found) and all(a < b for a, b in itertools.pairwise(times)) else None
    note = (
        f"{source.short_name}: {len(found)} frames can be decoded, although the file lists {listed}; "
        "frames are numbered as they are decoded"
    )
    return replace(
        index,
        frames=len(found),
        fps=_frame_rate(ordered, base, index.fps),
        times=ordered if seekable else None,
        decord_safe=False,
        open_ended=damaged,
        notes=(*index.notes, note) if len(found) != listed or damaged else index.notes,
    )


def _frame_rate(times: Sequence[int] | None, base: float, nominal: float) -> float:
    """Return the rate of the container, or the mean rate of the frames if it differs by more than a tenth."""
    if times is not None and len(times) > 1:
        mean = (len(times) - 1) / ((times[-1] - times[0]) * base)
        nominal = nominal if 0.9 < mean / nominal < 1.1 else mean
    return max(round(nominal, 4), 0.0001)


def _ordered(times: Sequence[int | None]) -> tuple[int, ...] | None:
    """Return the times in the order of display; None if some are missing or repeated."""
    ordered = tuple(sorted({time for time in times if time is not None}))
    return ordered if len(ordered) == len(times) else None


def _display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    side_data: Any = frame.side_data
    data = next((data for data in side_data if data.type is SideData.DISPLAYMATRIX), None)
    return None if data is None else tuple(np.frombuffer(bytes(data), dtype=np.int32).tolist())


def _holds(container: InputContainer, *names: str) -> bool:
    """Return True if a container has one of the formats."""
    return bool({*names} & {*container.format.name.split(",")})


@dataclass
class _Packets:
    """The packets of one stream."""

    times: list[int | None] = field(default_factory=list)
    """Presentation time of every displayed packet."""
    uniform: bool = True
    """False if an edit list discards a packet, or a packet carries parameters such as another size."""
    decodable: bool = True
    """False if the first packet is no key frame, or if pictures are displayed before it."""
    damaged_after: int | None = None
    """Number of displayed packets before a damaged one; None if none is damaged."""
    begun: bool = False
    first_time: int | None = None
    """Presentation time of the first packet, also if it is not displayed."""
    end: float = 0.0
    """End of the last packet of any stream in seconds."""

    def add(self, packet: Packet[Any], stream: VideoStream) -> None:
        """Add the next packet in the order of the file."""
        if packet.is_corrupt:
            self.damage()
        if not self.begun:
            self.begun, self.first_time, self.decodable = True, packet.pts, packet.is_keyframe
        self.uniform = self.uniform and not packet.is_discard and not _carries_parameters(packet)
        if not packet.is_discard and not _is_hidden_reference(packet, stream):
            self.times.append(packet.pts)
            self.decodable &= packet.pts is None or self.first_time is None or packet.pts >= self.first_time

    def damage(self) -> None:
        """Note that the next packet is damaged."""
        if self.damaged_after is None:
            self.damaged_after = len(self.times)


def _read_packets(container: InputContainer) -> dict[int, _Packets]:
    """Return the packets of all video streams that can be decoded, by the index of the stream."""
    streams = {stream.index: stream for stream in moving_streams(container) if stream.codec_context is not None}
    packets = {index: _Packets() for index in streams}
    end = 0.0
    try:
        for packet in container.demux():
            if packet.pts is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.size and packet.stream_index in packets:
                packets[packet.stream_index].add(packet, streams[packet.stream_index])
    except av.error.FFmpegError:
        for found in packets.values():
            found.damage()
    for found in packets.values():
        found.end = end
    return packets


def _listed_frames(source: VideoSource, container: InputContainer, stream: VideoStream) -> int:
    """Return how many frames the container lists, 0 if it does not say."""
    displayed = 0
    if _holds(container, "apng"):
        with source.open_binary() as file:
            return listed_png_frames(file)
    if _holds(container, "mov"):
        displayed = sum(entry.size > 0 and not entry.is_discard for entry in stream.index_entries)
    return displayed or stream.frames


def _check_complete(
    source: VideoSource, packets: _Packets, listed: int, container: InputContainer, stream: VideoStream
) -> None:
    count = len(packets.times)
    if _holds(container, "matroska") and container.duration is not None:
        # Matroska does not count frames, but its header holds the duration.
        rate = float(stream.average_rate or 1)
        missing = container.duration / av.time_base - packets.end
        listed = count + round(missing * rate) if missing > max(0.1, 3 / rate) else 0
    damaged = packets.damaged_after is not None and _holds(container, *_STRUCTURED)
    if listed > count or damaged or _holds(container, "apng"):
        with source.open_binary() as file:
            cut = is_cut_off(file)
        if listed > count and cut is not False:
            amount = f"only {count} of {listed} frames are in the file"
            raise InputError(f"{source.name}: {amount}; it is cut off. Pass the complete file.")
        if damaged or cut:
            state = "cut off" if cut else "damaged"
            intact = count if packets.damaged_after is None else packets.damaged_after
            raise InputError(f"{source.name}: {state} after {intact} frames. Pass a complete file.")
    if not count:
        raise InputError(f"{source.name}: the file holds no frames. Pass a video.")


def _is_simple_h264(packets: _Packets, container: InputContainer, stream: VideoStream) -> bool:
    context = stream.codec_context
    return (
        _holds(container, "mov")
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
