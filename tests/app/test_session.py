from __future__ import annotations

import re
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import FRAMES, SIZE, ToyClip
from tests.inference.sam2_model import tiny_sam_model
from vidamodal.app.session import AppSettings, Session, Sessions
from vidamodal.metrics.evaluate import evaluate
from vidamodal.tracks import read_tracks
from vidamodal.types import InputError


@pytest.fixture
def sessions(tmp_path: Path, model_folder: Path) -> Sessions:
    return Sessions(
        tmp_path / "work", AppSettings(10**7, model=str(model_folder), detector=str(tmp_path / "none"), offline=True)
    )


@pytest.fixture
def session(sessions: Sessions) -> Session:
    return sessions.of("tab")


@pytest.fixture
def completed(session: Session, clip: ToyClip) -> Session:
    session.open([clip.video], [clip.truth])
    session.complete("masks")
    return session


def test_opening_reports_how_the_files_were_understood(session: Session, clip: ToyClip) -> None:
    notes = session.open([clip.video], [clip.truth])
    assert notes[0] == f"clip.mp4: {FRAMES} frames of {SIZE} x {SIZE} pixels, masks of 4 objects, exhaustive scene"
    assert session.frame(3).shape == (SIZE, SIZE, 3)
    assert session.masks is not None and all(track.amodal is None for track in session.masks.tracks)
    assert "no masks" in session.open([clip.video])[0] and session.masks is None


def test_earlier_uploads_are_removed(session: Session, clip: ToyClip) -> None:
    session.open([clip.video], [clip.truth])
    session.open([clip.video])
    assert len(list(session.folder.rglob("clip.mp4"))) == 1 and session.frame(3).shape == (SIZE, SIZE, 3)
    session.open_sample()
    assert not list(session.folder.iterdir()) and session.frame(3).any()


def test_a_bad_upload_leaves_the_session_as_it_was(session: Session, clip: ToyClip, tmp_path: Path) -> None:
    session.open([clip.video], [clip.truth])
    (tmp_path / "bad <b>.mp4").write_bytes(b"no video")
    before = sorted(session.folder.rglob("*"))
    with pytest.raises(InputError, match=r"^video/bad_b_\.mp4: "):
        session.open([tmp_path / "bad <b>.mp4"])
    with pytest.raises(InputError, match="no video was chosen"):
        session.open([])
    assert sorted(session.folder.rglob("*")) == before and session.length == FRAMES and session.masks is not None


def test_a_correction_is_kept_and_exported(completed: Session, clip: ToyClip, tmp_path: Path) -> None:
    track = completed.tracks[0]
    truth = (clip.tracks.tracks[0].amodal or ())[6]
    assert truth is not None
    assert completed.correct(track.id, 6, truth.decode()) is None
    assert np.array_equal(completed.amodal(track.id, 6), truth.decode())
    completed.complete_again()
    assert (completed.tracks[0].amodal or ())[6] == truth
    with zipfile.ZipFile(completed.export(["tracks"])) as archive:
        archive.extractall(tmp_path / "out")
    exported = read_tracks(tmp_path / "out" / "tracks.json").tracks
    assert [track.amodal for track in exported] == [track.amodal for track in completed.tracks]
    assert evaluate(tmp_path / "out" / "tracks.json", clip.truth).primary.object_frames > 0
    assert '"anchors":[6]' in completed.write_page().read_text(encoding="utf-8")
    completed.uncorrect(track.id, 6)
    completed.complete_again()
    assert (completed.tracks[0].amodal or ())[6] != truth


def test_the_painter_hands_back_what_it_was_given(completed: Session) -> None:
    mask = completed.amodal(2, 4)
    page = completed.write_painter(2, 4).read_text(encoding="utf-8")
    found = re.search(r'type="application/json">(.*?)</script>', page)
    assert found is not None and mask.any()
    painted, _ = completed.correct_as_painted(found[1])
    assert (painted.object, painted.frame) == (2, 4) and np.array_equal(painted.mask, mask)
    assert np.array_equal(completed.corrections.masks[2][4].decode(), mask)


def test_completing_from_masks_again_drops_the_corrections(completed: Session) -> None:
    completed.correct(completed.tracks[0].id, 2, np.ones((SIZE, SIZE), bool))
    completed.complete("masks")
    assert completed.corrections.count == 0


def test_the_sample_clip_opens_without_its_ground_truth(session: Session) -> None:
    assert "masks of 14 objects" in session.open_sample()[0]
    assert session.masks is not None and not any(track.amodal for track in session.masks.tracks)


def test_points_are_checked_and_kept_by_object(session: Session, clip: ToyClip) -> None:
    session.open([clip.video])
    session.mark(1, 3, 10, 20, True)
    session.mark(1, 3, 40, 50, False)
    session.mark(2, 5, 7, 8, True)
    assert session.prompts[1].points == ((10, 20), (40, 50)) and session.prompts[1].labels == (1, 0)
    for arguments, message in (
        ((1, 4, 5, 5, True), "object 1 is marked in frame 3"),
        ((3, 4, 5, 5, False), "the first point must lie on the object"),
        ((3, 4, 500, 5, True), "outside the image"),
        ((3, 99, 5, 5, True), "there is no frame 99"),
        ((-1, 4, 5, 5, True), "ids are integers"),
    ):
        with pytest.raises(InputError, match=message):
            session.mark(*arguments)
    session.unmark(1)
    assert list(session.prompts) == [2]


def test_marked_points_are_followed_by_sam(tmp_path: Path, model_folder: Path, clip: ToyClip) -> None:
    tiny_sam_model().save_pretrained(tmp_path / "sam")
    settings = AppSettings(10**7, str(model_folder), str(tmp_path / "sam"))
    session = Sessions(tmp_path / "work", settings).of("tab")
    session.open([clip.video])
    session.mark(3, 0, 40, 40, True)
    session.mark(5, 0, 10, 80, True)
    session.complete("points")
    assert [track.id for track in session.tracks] == [3, 5]


def test_a_missing_model_is_one_line(tmp_path: Path, model_folder: Path, clip: ToyClip) -> None:
    settings = AppSettings(10**7, str(model_folder), str(tmp_path / "none"))
    session = Sessions(tmp_path / "work", settings).of("tab")
    session.open([clip.video])
    session.mark(1, 0, 40, 40, True)
    with pytest.raises(InputError, match="none") as caught:
        session.complete("points")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda s: s.complete("masks"), "no masks are open"),
        (lambda s: s.complete("points"), "no object is marked"),
        (lambda s: s.complete("text", " "), "no words are written"),
        (lambda s: s.complete("text", "dog."), "detector="),
        (lambda s: s.complete_again(), "there is no result yet"),
        (lambda s: s.export(["png"]), "there is no result yet"),
        (lambda s: s.frame(FRAMES), "there is no frame 14"),
    ],
)
def test_what_is_missing_is_said(action: object, message: str, session: Session, clip: ToyClip) -> None:
    session.open([clip.video])
    with pytest.raises(InputError, match=message):
        action(session)  # type: ignore[operator]


def test_tabs_do_not_mix(sessions: Sessions, clip: ToyClip) -> None:
    one, two = sessions.of("one"), sessions.of("two")
    assert sessions.of("one") is one and one.folder != two.folder and one.key != two.key
    one.open([clip.video], [clip.truth])
    assert two.length == 0
    assert sessions.with_key(one.key) is one and sessions.with_key("ünknown") is None
    sessions.close("one")
    assert not one.folder.exists() and two.folder.exists() and sessions.with_key(one.key) is None
    with pytest.raises(InputError, match="this tab was closed"):
        one.frame(0)
    sessions.close_all()
    assert not list(sessions.workdir.iterdir())


def test_closing_stops_a_running_prediction(session: Session, sessions: Sessions, clip: ToyClip) -> None:
    session.open([clip.video], [clip.truth])
    with session.lock:
        closing = threading.Thread(target=sessions.close, args=("tab",))
        closing.start()
        session.closing.wait(10)
        with pytest.raises(InputError, match="this tab was closed"):
            session.complete("masks")
        assert session.folder.exists() and session.prediction is None
    closing.join()
    assert not session.folder.exists()


def test_the_folders_of_a_given_working_folder_are_kept(tmp_path: Path, clip: ToyClip) -> None:
    sessions = Sessions(tmp_path, AppSettings(), keep=True)
    folder = sessions.of("tab").folder
    for _ in range(2):
        sessions.of("tab").open([clip.video])
    sessions.close_all()
    assert len(list(folder.rglob("clip.mp4"))) == 2
