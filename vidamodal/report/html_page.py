"""Pages that hold everything that they need: a script of the package, which alone may run, and data for it."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from importlib import resources
from typing import Any


def read_asset(name: str) -> str:
    """Return the text of a bundled file."""
    return (resources.files("vidamodal") / "assets" / name).read_text(encoding="utf-8")


def page_start(title: str, name: str) -> str:
    """Return a page up to the start of its body.

    Args:
        title: The title, as plain text.
        name: Name of the bundled script and style sheet, such as "view" for view.js and view.css. The content policy of
            the page allows that script and nothing from outside.
    """
    digest = base64.b64encode(hashlib.sha256(read_asset(f"{name}.js").encode("utf-8")).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    style = read_asset("report.css") + read_asset(f"{name}.css")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
    )


def data_element(record: Any) -> str:
    """Return the element with the data of the script, in which no text can end the element."""
    text = json.dumps(record, separators=(",", ":"), sort_keys=True).replace("<", "\\u003c")
    return f'<script id="data" type="application/json">{text}</script>\n'


def page_end(name: str) -> str:
    """Return the script and the end of a page."""
    return f"<script>{read_asset(f'{name}.js')}</script>\n</body>\n</html>\n"
