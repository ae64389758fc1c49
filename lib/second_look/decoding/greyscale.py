"""Stored values of a DICOM file to the grey levels that its header asks to be shown (PS3.3 C.11).

All steps depend on nothing but the value of a pixel, so they are done once for every value that the
depth allows, and the picture is looked up in the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from second_look.errors import DataError

Values = npt.NDArray[Any]  # (rows, cols) of integers
Levels = npt.NDArray[np.float64]
# A window that cuts off no more than this share of the values at either end cuts off none.
_ALL = 0.001
# What makes anything but the stored values of a picture.
_STEPS = ("ModalityLUTSequence", "RescaleSlope", "VOILUTSequence", "WindowCenter")
_MEND = "Mend the header, or take the file out of the data set."


def grey_levels(values: Values, data: Dataset, *, shown: bool) -> Values:
    """Grey levels with bright tissue bright, in as many bits as the values are stored in.

    The steps of the standard: a table or a slope and intercept, then a table or a window (the first
    where there are several), then the other way round for MONOCHROME1. A slope alone leaves the
    values as they are, since it moves both ends of the scale with them; so does a window that cuts
    nothing off.

    Args:
        values: As stored, (rows, cols).
        data: The header.
        shown: Apply tables and windows; else only the direction of the scale.

    Returns:
        (rows, cols), uint8 up to 8 bits, else uint16.

    Raises:
        DataError: A step is none that can be applied.
    """
    bits = int(data.BitsStored)
    low = -(1 << bits - 1) if values.dtype.kind == "i" else 0
    dtype, white = np.dtype(np.uint8 if bits <= 8 else np.uint16), (1 << bits) - 1
    turned = data.PhotometricInterpretation == "MONOCHROME1"
    if low == 0 and not turned and not any(name in data for name in _STEPS):
        return values.astype(dtype, copy=False)
    stored = np.arange(low, low + white + 1, dtype=np.float64)
    levels = _shown(stored, data) if shown else _as_stored(stored, 1.0)
    if turned:
        levels = 1 - levels
    table = np.rint(levels * white).astype(dtype)
    if low == 0 and np.array_equal(table, np.arange(white + 1)):
        return values.astype(dtype, copy=False)
    # Indices from the lowest value on, whatever its sign.
    places = values if low == 0 else values.astype(np.int32) - low
    found: Values = table[places]
    return found


def _shown(stored: Levels, data: Dataset) -> Levels:
    """The level of each stored value, 0 to 1, as it is to be shown."""
    table = _first(data, "ModalityLUTSequence")
    slope = 1.0
    if table is not None:
        values = _looked_up(stored, table)
    else:
        slope = float(data.get("RescaleSlope") or 1)
        values = stored * slope + float(data.get("RescaleIntercept") or 0)
    if not np.isfinite(values).all():
        raise DataError(f"expected a slope and an intercept. Got {slope}.", remedy=_MEND)
    shape = _first(data, "VOILUTSequence")
    if shape is not None:
        return np.asarray(_looked_up(values, shape) / _brightest(shape))
    if data.get("WindowCenter") not in (None, "") and data.get("WindowWidth") not in (None, ""):
        windowed = _window(values, data)
        if windowed is not None:
            return windowed
    return values / _brightest(table) if table is not None else _as_stored(stored, slope)


def _as_stored(stored: Levels, slope: float) -> Levels:
    """From 0 to 1 over all stored values, or back where the slope is negative."""
    share = (stored - stored[0]) / (stored[-1] - stored[0])
    return np.asarray(share if slope > 0 else 1 - share)


def _window(values: Levels, data: Dataset) -> Levels | None:
    """The first window, from 0 to 1; None where it cuts nothing off."""
    centre, width = (_number(data[name].value) for name in ("WindowCenter", "WindowWidth"))
    shape = str(data.get("VOILUTFunction") or "LINEAR")
    least = 1.0 if shape == "LINEAR" else np.finfo(np.float64).tiny
    if not (np.isfinite(centre) and least <= width < np.inf):
        raise DataError(
            f"expected a window with a centre and a width. Got {centre:g} and {width:g}.",
            remedy=_MEND,
        )
    if shape == "SIGMOID":
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-4 * (values - centre) / width)))
    if shape == "LINEAR":
        # Counted from the middle of the first value to the middle of the last (C.11.2.1.2.1).
        centre, width = centre - 0.5, width - 1
    elif shape != "LINEAR_EXACT":
        raise DataError(
            f"expected a window LINEAR, LINEAR_EXACT or SIGMOID. Got {shape!r}.", remedy=_MEND
        )
    low, high = float(values.min()), float(values.max())
    step = (high - low) / (values.size - 1)
    spare = max(step, _ALL * (high - low))
    if centre - width / 2 <= low + spare and centre + width / 2 >= high - spare:
        return None
    if width == 0:
        return (values > centre).astype(np.float64)
    return np.clip((values - centre) / width + 0.5, 0, 1)


def _first(data: Dataset, name: str) -> Dataset | None:
    """The first item of a sequence."""
    items: Sequence[Dataset] = data.get(name) or ()
    return items[0] if len(items) else None


def _looked_up(values: Levels, table: Dataset) -> Levels:
    """Values of a table (PS3.3 C.11.1.1): its first entry for all below, its last for all above."""
    entries, first, _ = _descriptor(table)
    content = table.LUTData
    if isinstance(content, bytes):
        content = np.frombuffer(content, "<u2")
    found = np.asarray(content, dtype=np.float64)[:entries]
    if found.size != entries:
        raise DataError(f"expected a table of {entries} values. Got {found.size}.", remedy=_MEND)
    return np.asarray(found[np.clip(np.rint(values) - first, 0, entries - 1).astype(np.int64)])


def _brightest(table: Dataset) -> float:
    """The largest value that the entries of a table may have."""
    return float((1 << _descriptor(table)[2]) - 1)


def _descriptor(table: Dataset) -> tuple[int, int, int]:
    """How many entries, for which value the first is, and their bits."""
    entries, first, bits = (int(number) for number in table.LUTDescriptor)
    if not (0 <= entries <= 65536 and 1 <= bits <= 16):
        raise DataError(
            f"expected a table of up to 65536 entries of 1 to 16 bits. Got {entries} of {bits}.",
            remedy=_MEND,
        )
    # 65536 does not fit into the tag and is written as 0.
    return entries or 65536, first, bits


def _number(value: Any) -> float:  # noqa: ANN401
    """The first of several values, or the only one."""
    several = isinstance(value, Sequence) and not isinstance(value, str)
    return float(value[0] if several else value)
