"""HTML elements of the report: tables, cells, lists and colour keys.

Names and titles are escaped; header cells, cells and rows are HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from vidamodal.metrics.averages import Interval
from vidamodal.metrics.primary import LOWER_IS_BETTER, Difference
from vidamodal.metrics.tables import percent
from vidamodal.report.colours import Colour

_MAX_LISTED = 20


def table(header: Sequence[str], rows: Iterable[str]) -> str:
    """Return a table that scrolls horizontally; the header cells and the rows are HTML."""
    columns = "".join(f"<th>{html}</th>" for html in header)
    return f'<div class="scroll"><table><thead><tr>{columns}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def row(name: str, cells: Iterable[str], css_class: str = "") -> str:
    """Return a table row of a name and cells in HTML."""
    return f'<tr class="{css_class}"><th>{escape(name)}</th>{"".join(cells)}</tr>'


def score_cell(value: float | None, interval: Interval | None = None) -> str:
    """Return a table cell with a score in per cent, a dash for None, above its confidence interval."""
    return _cell(value, interval)


def difference_cell(measure: str, difference: Difference) -> str:
    """Return a table cell with a signed difference, marked better or worse if its interval excludes 0."""
    low, high = difference.interval or (0.0, 0.0)
    css_class = ""
    if low > 0 or high < 0:
        css_class = "better" if (low > 0) != (measure in LOWER_IS_BETTER) else "worse"
    return _cell(difference.mean, difference.interval, "+", css_class)


def _cell(value: float | None, interval: Interval | None, sign: str = "", css_class: str = "") -> str:
    ends = f"<small>{' to '.join(percent(end, sign) for end in interval)}</small>" if interval else ""
    return f'<td class="{css_class}">{"&ndash;" if value is None else percent(value, sign)}{ends}</td>'


def name_list(title: str, names: Sequence[str]) -> str:
    """Return a note that lists the first 20 names, or an empty string if there are none."""
    if not names:
        return ""
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return f'<p class="note">{escape(title)}: {escape(", ".join(names[:_MAX_LISTED]))}{more}.</p>'


def colour_key(colours: Mapping[str, Colour]) -> str:
    """Return a legend of coloured squares."""
    entries = (f'<li><i style="background: rgb{colour}"></i>{escape(name)}</li>' for name, colour in colours.items())
    return f'<ul class="key">{"".join(entries)}</ul>'
