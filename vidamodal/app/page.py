"""The Gradio page: components and their events, each of which calls one method of the tab's session."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from vidamodal.app.bundle import DEFAULT_CHOICES, export_choices
from vidamodal.app.painting import marked_frame
from vidamodal.app.session import Session, Sessions
from vidamodal.commandline import with_option_names
from vidamodal.types import InputError

THEME = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
"""A theme that loads no font from outside."""
CSS = """
.gradio-container { max-width: 1320px !important; margin: 0 auto !important; padding-bottom: 110px !important; }
#result iframe { width: 100%; height: min(1180px, 92vh); border: 1px solid var(--border-color-primary);
  border-radius: 8px; background: white; }
#painter iframe { width: 100%; height: min(860px, 80vh, 100vw + 60px); border: 1px solid var(--border-color-primary);
  border-radius: 8px; background: white; }
#status { position: fixed; bottom: 8px; left: 50%; width: min(1280px, 100vw - 24px); transform: translateX(-50%);
  z-index: 20; padding: 8px !important; border: 1px solid var(--body-text-color-subdued) !important;
  border-radius: 8px !important; background: var(--background-fill-primary); box-shadow: 0 2px 14px rgb(0 0 0 / 25%); }
"""
_SOURCES = [
    ("the masks that were opened", "masks"),
    ("marked points, which SAM 2 follows", "points"),
    ("words, with a text detector and SAM 2", "text"),
    ("objects that the bundled segmenter detects", "detect"),
]
_SHOWN_FRAME = """() => {
  const shown = document.querySelector("#result iframe")?.contentDocument?.documentElement.dataset.frame;
  return Number(shown ?? 0);
}"""
"""Returns the frame that the result shows."""
_PAINTED_MASK = """() => document.querySelector("#painter iframe")?.contentWindow.paintedMask?.() ?? \"\" """
"""Returns what the painter hands back, and an empty text if there is none."""
_DOWNLOAD = """() => {
  const link = document.querySelector("#link a[data-new]");
  link?.removeAttribute("data-new");
  link?.click();
}"""
"""Downloads an export once, if there is a new one."""
_CARRY = "complete again to carry it into the other frames"
_PROGRESS = gr.Progress(track_tqdm=True)
"""As the default of an argument, it shows the progress bars of an action on the page."""


def build_page(sessions: Sessions) -> gr.Blocks:
    """Return the page of some sessions."""
    blocks = gr.Blocks(title="vidamodal", analytics_enabled=False, delete_cache=(3600, 86400))
    with blocks:
        gr.Markdown("# vidamodal\nComplete the masks of occluded objects: open, complete, correct, export.")
        _Page(sessions)

        def close(request: gr.Request) -> None:
            sessions.close(_tab(request))

        blocks.unload(close)
    blocks.queue(default_concurrency_limit=4)
    return blocks


def _tab(request: gr.Request) -> str:
    return str(request.session_hash)


def _frame(session: Session, name: str, title: str, shown: int = 0) -> str:
    """Return an inline frame with a page of the session, at a new address, so that the browser loads it again."""
    return f'<iframe title="{title}" src="/files/{session.key}/{name}?{secrets.token_hex(4)}#{shown}"></iframe>'


class _Page:
    """The components, section by section, and their events."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self._make_opening()
        self._make_marking()
        self._make_result()
        self._make_correcting()
        self._make_export()
        self.status = gr.Textbox(
            "Open a video.", label="Status", interactive=False, lines=1, max_lines=4, elem_id="status"
        )
        self._connect()

    def _make_opening(self) -> None:
        gr.Markdown("## 1. Open")
        with gr.Row():
            self.video = gr.File(label="Video, or frames (zip)", file_count="multiple")
            self.masks = gr.File(
                label="Visible masks (optional)",
                file_count="multiple",
            )
        self.exhaustive = gr.Checkbox(label="Every object that may hide another one has a mask (exhaustive scene)")
        with gr.Row():
            self.open = gr.Button("Open", variant="primary", elem_id="open")
            self.sample = gr.Button("Open the sample clip", elem_id="sample")

    def _make_marking(self) -> None:
        gr.Markdown("## 2. Complete")
        with gr.Accordion("No masks? Mark the objects by points", open=False):
            with gr.Row():
                self.mark_frame = gr.Slider(0, 1, value=0, step=1, label="Frame", elem_id="mark-frame")
                self.mark_object = gr.Number(1, label="Object id", precision=0, minimum=0)
                self.mark_inside = gr.Radio(
                    [("on the object", True), ("outside it", False)], value=True, label="The point lies"
                )
            self.marks = gr.Image(
                label="Click on the object", interactive=False, type="numpy", elem_id="marks", buttons=[]
            )
            self.unmark = gr.Button("Clear the marks of this object")
        self.source = gr.Radio(_SOURCES, value="masks", label="Visible masks", elem_id="source")
        self.text = gr.Textbox(label="Words", placeholder="person. dog.", elem_id="text")
        self.complete = gr.Button("Complete", variant="primary", elem_id="complete")

    def _make_result(self) -> None:
        self.result = gr.HTML("", elem_id="result")

    def _make_correcting(self) -> None:
        gr.Markdown("## 3. Correct")
        with gr.Row():
            self.object = gr.Dropdown([], label="Object", elem_id="object")
            self.frame = gr.Slider(0, 1, value=0, step=1, label="Frame", elem_id="frame")
            self.take = gr.Button("Take the frame shown above", elem_id="take")
        self.painter = gr.HTML("", elem_id="painter")
        self.painted = gr.Textbox(visible=False)
        with gr.Row():
            self.use = gr.Button("Use the painted mask", elem_id="use")
            self.gone = gr.Button("Gone in this frame", elem_id="gone")
            self.uncorrect = gr.Button("Remove the correction")
        self.corrections = gr.Textbox(label="Corrections", interactive=False, elem_id="corrections")
        self.again = gr.Button("Complete again with the corrections", variant="primary", elem_id="again")

    def _make_export(self) -> None:
        gr.Markdown("## 4. Export")
        self.formats = gr.CheckboxGroup(
            export_choices(), value=list(DEFAULT_CHOICES), label="Formats", elem_id="formats"
        )
        self.export = gr.Button("Export", variant="primary", elem_id="export")
        self.link = gr.HTML("", elem_id="link")

    def _connect(self) -> None:
        opened = [self.status, self.mark_frame, self.marks, self.source]
        results = [self.status, self.result, self.painter, self.object, self.frame, self.corrections]
        corrected = [self.status, self.corrections]
        place = [self.object, self.frame]
        running: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model", "show_progress_on": [self.status]}
        self._on(self.open.click, self._do_open, [self.video, self.masks, self.exhaustive], opened)
        self._on(self.sample.click, self._do_open_sample, [], opened)
        self._on(self.mark_frame.change, self._do_show_marks, [self.mark_frame], [self.status, self.marks])
        marking = [self.mark_object, self.mark_frame, self.mark_inside]
        self.marks.select(self._do_mark, marking, [self.status, self.marks, self.source], api_visibility="private")
        self._on(self.unmark.click, self._do_unmark, [self.mark_object, self.mark_frame], [self.status, self.marks])
        self._on(self.complete.click, self._do_complete, [self.source, self.text], results, **running)
        loading = (place, [self.status, self.painter])
        taken = self.take.click(None, None, self.frame, js=_SHOWN_FRAME)
        self._on(taken.then, self._do_load, *loading)
        for change in (self.object.input, self.frame.input):
            self._on(change, self._do_load, *loading, trigger_mode="always_last")
        self._on(self.use.click, self._do_use, [self.painted], corrected, js=_PAINTED_MASK)
        self._on(self.gone.click, self._do_gone, place, corrected)
        self._on(self.uncorrect.click, self._do_uncorrect, place, corrected)
        self._on(self.again.click, self._do_complete_again, place, results, **running)
        exported = self._on(self.export.click, self._do_export, [self.formats], [self.status, self.link])
        exported.then(None, js=_DOWNLOAD)

    def _on(
        self, listen: Callable[..., Any], action: Callable[..., dict[Any, Any]], inputs: list[Any], outputs: list[Any],
        **settings: Any,
    ) -> Any:  # fmt: skip
        """Run an action with the tab's session and the values of some components at an event, and return its end."""

        def run(request: gr.Request, _progress: gr.Progress = _PROGRESS, *values: Any) -> dict[Any, Any]:
            return self._answer(request, action, *values)

        return listen(run, inputs, outputs, api_visibility="private", **settings)

    def _answer(self, request: gr.Request, action: Callable[..., dict[Any, Any]], *values: Any) -> dict[Any, Any]:
        """Return the changes that an action makes, or its error in the status line."""
        try:
            return action(self.sessions.of(_tab(request)), *values)
        except (InputError, OSError) as error:  # OSError: the disk is full, say
            return {self.status: f"Not possible: {with_option_names(' '.join(str(error).split()))}"}

    # Open and mark

    def _do_open(
        self, session: Session, video: list[str] | None, masks: list[str] | None, exhaustive: bool
    ) -> dict[Any, Any]:
        notes = session.open(list(map(Path, video or ())), list(map(Path, masks or ())), exhaustive)
        return self._opened(session, notes)

    def _do_open_sample(self, session: Session) -> dict[Any, Any]:
        return self._opened(session, session.open_sample())

    def _opened(self, session: Session, notes: tuple[str, ...]) -> dict[Any, Any]:
        return {
            self.status: "\n".join(notes),
            self.mark_frame: gr.update(maximum=max(session.length - 1, 1), value=0),
            self.marks: session.frame(0),
            self.source: "points" if session.masks is None else "masks",
        }

    def _do_show_marks(self, session: Session, frame: float) -> dict[Any, Any]:
        return {self.marks: self._marked(session, int(frame))} if session.length else {}

    def _do_mark(
        self, request: gr.Request, event: gr.SelectData, number: float | None, frame: float, inside: bool
    ) -> dict[Any, Any]:
        def mark(session: Session) -> dict[Any, Any]:
            x, y = event.index
            chosen = self._object(number)
            session.mark(chosen, int(frame), x, y, inside)
            count = len(session.prompts[chosen].points)
            status = f"object {chosen}: {count} point{'s' * (count != 1)} in frame {int(frame)}"
            return {self.status: status, self.marks: self._marked(session, int(frame)), self.source: "points"}

        return self._answer(request, mark)

    def _do_unmark(self, session: Session, number: float | None, frame: float) -> dict[Any, Any]:
        chosen = self._object(number)
        session.unmark(chosen)
        return {self.status: f"object {chosen} has no marks", self.marks: self._marked(session, int(frame))}

    def _marked(self, session: Session, frame: int) -> Any:
        prompts = [prompt for prompt in session.prompts.values() if prompt.frame == frame]
        return marked_frame(session.frame(frame), prompts)

    # Complete and correct

    def _do_complete(self, session: Session, source: Any, text: str) -> dict[Any, Any]:
        return self._completed(session, session.complete(source, text, quiet=False))

    def _do_complete_again(self, session: Session, number: int | None, frame: float) -> dict[Any, Any]:
        return self._completed(session, session.complete_again(quiet=False), number, int(frame))

    def _completed(
        self, session: Session, notes: tuple[str, ...], number: int | None = None, frame: int = 0
    ) -> dict[Any, Any]:
        path = session.write_page()
        choices = [(f"{track.id} {track.label or ''}".strip(), track.id) for track in session.tracks]
        done = f"{len(session.tracks)} objects completed in {session.length} frames"
        return {
            self.status: "\n".join((done, *notes)),
            self.result: _frame(session, path.name, "Result", frame),
            self.painter: "",
            self.object: gr.update(choices=choices, value=choices[0][1] if number is None else number),
            self.frame: gr.update(maximum=max(session.length - 1, 1), value=frame),
            self.corrections: self._listed(session),
        }

    def _do_load(self, session: Session, number: int | None, frame: float) -> dict[Any, Any]:
        path = session.write_painter(self._object(number), int(frame))
        return {
            self.status: f"object {number} is loaded in frame {int(frame)}",
            self.painter: _frame(session, path.name, "Painter"),
        }

    def _do_use(self, session: Session, text: str) -> dict[Any, Any]:
        painted, note = session.correct_as_painted(text)
        done = f"object {painted.object} is corrected in frame {painted.frame}; {_CARRY}"
        return {self.status: "\n".join(filter(None, (done, note))), self.corrections: self._listed(session)}

    def _do_gone(self, session: Session, number: int | None, frame: float) -> dict[Any, Any]:
        session.correct(self._object(number), int(frame), None)
        done = f"object {number} is gone in frame {int(frame)}; {_CARRY}"
        return {self.status: done, self.corrections: self._listed(session)}

    def _do_uncorrect(self, session: Session, number: int | None, frame: float) -> dict[Any, Any]:
        session.uncorrect(self._object(number), int(frame))
        done = f"object {number} is not corrected in frame {int(frame)}"
        return {self.status: done, self.corrections: self._listed(session)}

    def _object(self, number: float | None) -> int:
        if number is None:
            raise InputError("no object is chosen. Write the id of the object to mark, or complete the video first.")
        return int(number)

    def _listed(self, session: Session) -> str:
        return "\n".join(
            f"object {number}: frames "
            + ", ".join(f"{t}{'' if mask.area() else ' (gone)'}" for t, mask in sorted(masks.items()))
            for number, masks in sorted(session.corrections.masks.items())
        )

    # Export

    def _do_export(self, session: Session, choices: list[str]) -> dict[Any, Any]:
        path = session.export(choices)
        address = f"/files/{session.key}/{path.name}"
        text = f"Download {path.name} ({path.stat().st_size / 1e6:.1f} MB)"
        link = f'<a href="{address}" download="{path.name}" data-new>{text}</a>'
        return {self.status: f"exported: {', '.join(choices)}", self.link: link}
