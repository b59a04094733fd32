"""The server of `vidamodal app`: the page and the files of its sessions, on 127.0.0.1 alone."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from vidamodal.app.session import AppSettings, Sessions
from vidamodal.hub import find_model
from vidamodal.media.files import check_target
from vidamodal.types import InputError

HOST = "127.0.0.1"
FILES = {"view.html": "text/html", "paint.html": "text/html", "export.zip": "application/zip"}
"""Files of a session that the server offers, and their types."""


def serve(settings: AppSettings, workdir: Path | None = None, port: int = 7860, show: bool = False) -> None:
    """Serve the page until the process is interrupted.

    Args:
        settings: Settings of all sessions.
        workdir: Folder for everything that is written, whose content is kept; None for a temporary one.
        port: Port on 127.0.0.1; 0 for any free one.
        show: Open the page in the user's browser, if there is a screen.

    Raises:
        InputError: If Gradio is missing, if the port is taken, or if the folder or the model cannot be used.
    """
    if importlib.util.find_spec("gradio") is None:
        raise InputError("the page needs Gradio, which is not installed. Run `make app`, or install vidamodal[app].")
    if settings.max_upload < 1:
        raise InputError("max_upload= must be more than 0 megabytes.")
    find_model(settings.model)
    with ExitStack() as stack:
        listener = stack.enter_context(_listen(port))
        folder = stack.enter_context(_working_folder(workdir))
        _keep_inside(folder)
        sessions = Sessions(folder, settings, keep=workdir is not None)
        stack.callback(sessions.close_all)
        app = make_app(sessions)  # imports Gradio, which reads the environment

        import uvicorn

        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        address = f"http://{HOST}:{listener.getsockname()[1]}"
        print(f"vidamodal app: {address}   (files in {folder}; stop with Ctrl-C)", flush=True)
        if show and _has_screen():
            webbrowser.open(address)
        server.run(sockets=[listener])


def make_app(sessions: Sessions) -> Any:
    """Return the web application: the page at /, and the files of a session under its key.

    It answers only requests for this computer's own names, so that no web page can reach it through a foreign one.
    """
    import gradio
    from fastapi import FastAPI, HTTPException
    from fastapi.responses import FileResponse
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from vidamodal.app.page import CSS, THEME, build_page

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])

    def session_file(key: str, name: str) -> FileResponse:
        session = sessions.with_key(key)
        if session is None or name not in FILES or not (session.folder / name).is_file():
            raise HTTPException(404)
        download = name if name.endswith(".zip") else None
        headers = {"Cache-Control": "no-store"}
        return FileResponse(session.folder / name, media_type=FILES[name], filename=download, headers=headers)

    app.add_api_route("/files/{key}/{name}", session_file)
    return gradio.mount_gradio_app(
        app, build_page(sessions), path="/", server_name=HOST, footer_links=[], run_history=False, show_error=True,
        max_file_size=sessions.settings.max_upload, ssr_mode=False, pwa=False, theme=THEME, css=CSS,
    )  # fmt: skip


def _has_screen() -> bool:
    """Return whether a browser has somewhere to open a window."""
    return sys.platform != "linux" or any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY"))


@contextmanager
def _listen(port: int) -> Iterator[socket.socket]:
    """Open the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise InputError(f"port= {port} cannot be used ({error}). Pass another one, or 0 for any.") from None
        listener.listen()  # from now on browsers wait for the server
        yield listener


@contextmanager
def _working_folder(workdir: Path | None) -> Iterator[Path]:
    """Create the working folder, and remove it at the end if it is temporary."""
    if workdir is None:
        with tempfile.TemporaryDirectory(prefix="vidamodal-app-", ignore_cleanup_errors=True) as temporary:
            yield Path(temporary)
    else:
        check_target(workdir, folder=True)
        workdir.mkdir(parents=True, exist_ok=True)
        yield workdir.absolute()


def _keep_inside(folder: Path) -> None:
    """Let this process and Gradio write their temporary files into a folder, and Gradio report nothing."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    tempfile.tempdir = str(temporary)
    os.environ["TMPDIR"] = os.environ["GRADIO_TEMP_DIR"] = str(temporary)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
