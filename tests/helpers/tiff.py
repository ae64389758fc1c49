"""A writer of small TIFF files; the project reads them only."""

from __future__ import annotations

import io

import tifffile
from second_look.files import write_bytes


def write_tiff(path, pixels):
    """Write an uncompressed grey TIFF of 8 or 16 bit."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, photometric="minisblack")
    write_bytes(path, stream.getvalue())
