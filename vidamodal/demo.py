"""The bundled clip, completed by the bundled model and scored against its truth."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from vidamodal.formats.tracks import read_tracks
from vidamodal.inference.api import predict
from vidamodal.media.files import write_text
from vidamodal.media.images import save_png
from vidamodal.media.video import open_video
from vidamodal.metrics.evaluate import evaluate
from vidamodal.metrics.tables import format_table
from vidamodal.report.sheet import clip_sheet


def sample_clip() -> tuple[Path, Path]:
    """The bundled video and its truth (a tracks.json, whose visible masks are the input)."""
    folder = Path(str(resources.files("vidamodal") / "assets" / "sample"))
    return folder / "sample.mp4", folder / "sample.tracks.json"


def demo(out: Path, quiet: bool = False) -> None:
    """Predict the sample clip into ``out`` and print a table, where the overlay is and how fast it was."""
    video, truth = sample_clip()
    prediction = predict(video, truth, out, quiet=quiet)
    result = evaluate(out / "tracks.json", truth)
    write_text(out / "metrics.json", result.to_json())
    reader = open_video(video)
    shown = [reader.info.frames * k // 4 for k in range(4)]
    frames = {t: next(reader.frames(t, t + 1)) for t in shown}
    save_png(out / "sheet.png", clip_sheet(frames, prediction, read_tracks(truth)))
    run = json.loads((out / "run.json").read_text())
    steps = {name: run["seconds"][name] for name in ("cut", "model", "order", "paste")}
    milliseconds = 1000 * sum(steps.values()) / max(run["object_frames"], 1)
    print(format_table(result.primary_rows("vidamodal")))
    print(f"\nper cent of the sample clip's {result.primary.object_frames} object-frames, primary protocol")
    print(f"watch:  {out / 'overlay.mp4'}   (tinted = visible, hatched = completed)")
    print(f"look:   {out / 'sheet.png'}   (beside the truth, with the errors)")
    print(f"speed:  {milliseconds:.1f} ms an object-frame on {run['device']} with {run['threads']} threads")
