"""Small pieces of HTML for notebooks: escaped, with styles of their own, without scripts."""

import base64
from collections.abc import Sequence
from html import escape

MAX_THUMBNAIL_BYTES = 2 * 1024 * 1024
"""A larger picture is not shown inline."""

_BROWSER_FORMATS = {
    "png": "png",
    "jpg": "jpeg",
    "jpeg": "jpeg",
    "webp": "webp",
    "gif": "gif",
}

# `currentColor` follows the notebook's theme, light or dark.
_CELL = "padding:2px 8px;text-align:left;border-bottom:1px solid rgba(128,128,128,.35)"


def table(caption: str, rows: Sequence[tuple[str, object]]) -> str:
    """Return a table of names and values."""
    body = "".join(
        f'<tr><th style="{_CELL}">{escape(str(name))}</th>'
        f'<td style="{_CELL}">{escape(str(value))}</td></tr>'
        for name, value in rows
    )
    return (
        '<table style="border-collapse:collapse;color:currentColor">'
        f'<caption style="text-align:left;font-weight:600">{escape(caption)}</caption>'
        f"<tbody>{body}</tbody></table>"
    )


def tree(caption: str, lines: Sequence[str]) -> str:
    """Return a numbered list of steps, each in a monospaced font."""
    items = "".join(f"<li><code>{escape(line)}</code></li>" for line in lines)
    return f"<div><strong>{escape(caption)}</strong><ol>{items}</ol></div>"


def picture(data: bytes, extension: str, alt: str, *, max_side: int = 256) -> str:
    """Return an inline picture, or nothing where a browser would not show it or it is too large."""
    kind = _BROWSER_FORMATS.get(extension)
    if kind is None or len(data) > MAX_THUMBNAIL_BYTES:
        return ""
    content = base64.b64encode(data).decode("ascii")
    return (
        f'<img alt="{escape(alt, quote=True)}" src="data:image/{kind};base64,{content}" '
        f'style="max-width:{max_side}px;max-height:{max_side}px;image-rendering:auto">'
    )


def beside(*parts: str) -> str:
    """Return parts side by side."""
    cells = "".join(f"<div>{part}</div>" for part in parts if part)
    return f'<div style="display:flex;gap:16px;flex-wrap:wrap">{cells}</div>'
