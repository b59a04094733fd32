"""`vidamodal demo`: predict the bundled clip with the bundled model and score the result."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from vidamodal.inference.api import predict
from vidamodal.inference.prediction import Prediction
from vidamodal.media.files import write_text
from vidamodal.media.images import save_png
from vidamodal.media.video import open_video
from vidamodal.metrics.evaluate import evaluate
from vidamodal.metrics.tables import format_table
from vidamodal.report.sheet import clip_sheet
from vidamodal.tracks import read_tracks


def sample_clip() -> tuple[Path, Path]:
    """Return the bundled video and its tracks.json: visible masks, which are the input, and ground truth."""
    folder = Path(str(resources.files("vidamodal") / "assets" / "sample"))
    return folder / "sample.mp4", folder / "sample.tracks.json"


def demo(out: Path, quiet: bool = False) -> None:
    """Predict the sample clip and print its scores, the files to look at and the speed.

    Args:
        out: Folder to write to.
        quiet: Show no progress bar.
    """
    video, truth = sample_clip()
    prediction = predict(video, truth, out, quiet=quiet)
    result = evaluate(out / "tracks.json", truth)
    write_text(out / "metrics.json", result.to_json())
    _save_sheet(out / "sheet.png", video, truth, prediction)
    print(format_table(result.primary_rows("vidamodal")))
    print(f"\nper cent of the sample clip's {result.primary.object_frames} object-frames, primary protocol")
    print(f"watch:  {out / 'overlay.mp4'}   (tinted: visible, hatched: predicted)")
    print(f"look:   {out / 'sheet.png'}   (beside the ground truth, with the errors)")
    seconds = sum(prediction.timings.seconds[step] for step in ("cut", "model", "order", "paste"))
    milliseconds = 1000 * seconds / max(prediction.timings.object_frames, 1)
    run = prediction.run
    print(f"speed:  {milliseconds:.1f} ms an object-frame on {run['device']} with {run['threads']} threads")


def _save_sheet(path: Path, video: Path, truth: Path, prediction: Prediction) -> None:
    """Save four frames of the prediction beside the ground truth."""
    reader = open_video(video)
    shown = [reader.info.frames * k // 4 for k in range(4)]
    frames = {t: next(reader.frames(t, t + 1)) for t in shown}
    save_png(path, clip_sheet(frames, prediction.clip, read_tracks(truth)))
