"""The pictures of the report: WebP in place of PNG, and narrower where the page is too large."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

from PIL import Image

from second_look.errors import OutputError

MOST_BYTES = 25_000_000
# Widths (px) that pictures are reduced to, one after the other, where the page is too large.
WIDTHS = (1600, 1200, 900, 600)
# Charts stay without loss; what is larger than this is a photograph and loses what nobody sees.
_LOSSLESS_BYTES = 80_000
_QUALITY = 85
_PICTURE = re.compile(r"data:image/(?:png|webp);base64,([A-Za-z0-9+/=]+)")


def fitted(page: str, path: Path) -> str:
    """The page with its pictures as WebP, and smaller ones where it would be too large.

    Args:
        page: HTML with pictures as data.
        path: Of the page, for the message.

    Raises:
        OutputError: It is too large even with small pictures.
    """
    page = as_webp(page)
    for width in WIDTHS:
        if len(page.encode()) < MOST_BYTES:
            return page
        page = shrink_pictures(page, width)
    size = len(page.encode())
    if size >= MOST_BYTES:
        raise OutputError(
            f"{path}: {size / 1e6:.0f} MB, more than the {MOST_BYTES / 1e6:.0f} MB that a reader "
            "should have to load. Show fewer or smaller figures and tables."
        )
    return page


def as_webp(page: str) -> str:
    """The page with each PNG picture as WebP, where that is smaller."""

    def converted(match: re.Match[str]) -> str:
        with Image.open(io.BytesIO(base64.b64decode(match[1]))) as picture:
            data = _webp(picture)
        text = f"data:image/webp;base64,{base64.b64encode(data).decode()}"
        return text if len(text) < len(match[0]) else match[0]

    return _PICTURE.sub(converted, page)


def shrink_pictures(page: str, width: int) -> str:
    """The page with each of its pictures reduced to a width, px; narrower ones stay."""

    def smaller(match: re.Match[str]) -> str:
        with Image.open(io.BytesIO(base64.b64decode(match[1]))) as picture:
            if picture.width <= width:
                return match[0]
            height = max(1, round(picture.height * width / picture.width))
            data = _webp(picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS))
        return f"data:image/webp;base64,{base64.b64encode(data).decode()}"

    return _PICTURE.sub(smaller, page)


def _webp(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "WEBP", lossless=True)
    if stream.tell() > _LOSSLESS_BYTES:
        stream = io.BytesIO()
        picture.save(stream, "WEBP", quality=_QUALITY)
    return stream.getvalue()
