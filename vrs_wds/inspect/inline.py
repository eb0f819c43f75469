"""Pieces of HTML that the views are made of: escaped, styled inline, without scripts.

Colors are the page's own (`currentColor`, `inherit`), so that dark and light themes both work.
"""

import base64
import io
from collections.abc import Sequence
from html import escape

from PIL import Image

_QUALITY = 85
_RULE = "1px solid rgba(128,128,128,.35)"
_CELL = f"padding:3px 12px 3px 0;text-align:left;vertical-align:top;border-bottom:{_RULE}"


def inline_picture(image: Image.Image, alt: str) -> str:
    """Return a picture as an `img`, in its own size or as wide as there is room."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)  # full color: outlines are thin
    content = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<img alt="{escape(alt, quote=True)}" width="{image.width}" height="{image.height}" '
        f'src="data:image/jpeg;base64,{content}" style="max-width:100%;height:auto;margin:0">'
    )


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with a line of headings; its first column is in a monospaced font."""
    headings = "".join(f'<th style="{_CELL};font-weight:600">{escape(name)}</th>' for name in head)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="{_CELL}">{f"<code>{escape(cell)}</code>" if i == 0 else escape(cell)}</td>'
            for i, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return (
        '<table style="border-collapse:collapse;color:inherit;margin:4px 0">'
        f"<thead><tr>{headings}</tr></thead><tbody>{body}</tbody></table>"
    )
