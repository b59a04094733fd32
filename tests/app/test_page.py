"""The actions of the page, without a browser."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.helpers import ToyClip
from vidamodal.app.session import AppSettings, Sessions


@pytest.mark.needs("gradio")
def test_an_empty_object_id_is_reported(tmp_path: Path, clip: ToyClip) -> None:
    import gradio as gr

    from vidamodal.app.page import _Page

    sessions = Sessions(tmp_path, AppSettings())
    sessions.of("tab").open([clip.video])
    with gr.Blocks():
        page = _Page(sessions)
    request: Any = SimpleNamespace(session_hash="tab")
    click: Any = SimpleNamespace(index=(3, 4))
    for changes in (page._do_mark(request, click, None, 0, True), page._answer(request, page._do_unmark, None, 0)):
        assert list(changes) == [page.status] and "no object is chosen" in changes[page.status]
    assert page._do_mark(request, click, 2, 0, True)[page.status] == "object 2: 1 point in frame 0"
