"""tracks.json: the project's file format for ground truth and predictions, single or in WebDataset shards."""

from vidamodal.tracks.parse import is_tracks, loads_tracks, read_tracks
from vidamodal.tracks.write import dumps_tracks, write_tracks

__all__ = ["dumps_tracks", "is_tracks", "loads_tracks", "read_tracks", "write_tracks"]
