"""Stored values of a DICOM file to the grey levels that its header asks to display (PS3.3 C.11).

All steps depend only on the value of a pixel. So pydicom maps the ramp of all values that the depth
allows, once, and the pixels are looked up in the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from second_look.errors import DataError

Values = npt.NDArray[Any]  # (rows, cols) of integers
Levels = npt.NDArray[np.float64]
# A window that cuts off at most this share of the values at either end has no effect.
_NEGLIGIBLE = 0.001
# Tags without which the levels are the stored values.
_STEPS = ("ModalityLUTSequence", "RescaleSlope", "VOILUTSequence", "WindowCenter")
# Tags of functional groups that decide how a frame is displayed (PS3.3 C.7.6.16.2.10, .11).
_OF_FRAMES = {
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "VOILUTFunction"),
}
_CORRECT = "Correct the header, or take the file out of the data set."


def grey_levels(values: Values, data: Dataset, *, for_display: bool) -> Values:
    """Grey levels with bright tissue bright, in as many bits as the values are stored in.

    The steps of the standard: a table or a slope and intercept, then a table or a window (the first
    of several), then inversion for MONOCHROME1. A slope alone leaves the values as they are, since
    it moves both ends of the scale too; so does a window that cuts nothing off.

    Args:
        values: As stored, (rows, cols).
        data: The header.
        for_display: Apply tables and windows; else only the direction of the scale.

    Returns:
        (rows, cols), uint8 up to 8 bits, else uint16.

    Raises:
        DataError: A step cannot be applied.
    """
    bits = int(data.BitsStored)
    low = -(1 << bits - 1) if values.dtype.kind == "i" else 0
    dtype, white = np.dtype(np.uint8 if bits <= 8 else np.uint16), (1 << bits) - 1
    inverted = data.PhotometricInterpretation == "MONOCHROME1"
    if low == 0 and not inverted and not any(name in data for name in _STEPS):
        return values.astype(dtype, copy=False)
    ramp = np.arange(low, low + white + 1, dtype=np.int64)
    levels = _display_levels(ramp, data) if for_display else _linear(ramp, 1.0)
    if inverted:
        levels = 1 - levels
    table = np.rint(levels * white).astype(dtype)
    if low == 0 and np.array_equal(table, np.arange(white + 1)):
        return values.astype(dtype, copy=False)
    # Indices count from the lowest value, which is negative for signed values.
    indices = values if low == 0 else values.astype(np.int32) - low
    mapped: Values = table[indices]
    return mapped


def is_padding(values: Values, data: Dataset) -> npt.NDArray[np.bool_] | None:
    """Pixels that only fill the picture up (PS3.3 C.7.5.1.1.2), as stored; None if there are none.

    Args:
        values: As stored, (rows, cols).
        data: The header.
    """
    padding = data.get("PixelPaddingValue")
    if padding is None:
        return None
    limit = data.get("PixelPaddingRangeLimit")
    low, high = sorted((int(padding), int(padding if limit is None else limit)))
    pixels: npt.NDArray[np.bool_] = (values >= low) & (values <= high)
    return pixels if pixels.any() else None


def add_functional_groups(data: Dataset, frame: int) -> None:
    """Give the header the slope and window of a frame, which multi-frame files keep elsewhere."""
    groups = [
        *list(data.get("SharedFunctionalGroupsSequence") or ())[:1],
        *list(data.get("PerFrameFunctionalGroupsSequence") or ())[frame : frame + 1],
    ]
    for group in groups:
        for sequence, names in _OF_FRAMES.items():
            for item in list(group.get(sequence) or ())[:1]:
                for name in names:
                    if name in item:
                        setattr(data, name, item[name].value)


def _display_levels(ramp: npt.NDArray[np.int64], data: Dataset) -> Levels:
    """The level of every stored value as displayed, 0 to 1."""
    scanner_table = _first(data, "ModalityLUTSequence")
    slope = 1.0 if scanner_table is not None else float(data.get("RescaleSlope") or 1)
    modality = Dataset()
    if scanner_table is not None:
        modality.ModalityLUTSequence = [_complete(scanner_table)]
    else:
        modality.add_new("RescaleSlope", "FD", slope)
        modality.add_new("RescaleIntercept", "FD", float(data.get("RescaleIntercept") or 0))
    values = apply_modality_lut(ramp, modality).astype(np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"expected a slope and an intercept. Got {slope}.", remedy=_CORRECT)
    display_table = _first(data, "VOILUTSequence")
    if display_table is not None:
        display = Dataset()
        display.VOILUTSequence = [_complete(display_table)]
        # Cut to the ends of the table: pydicom's 16-bit indices wrap for values far above it.
        entries, first, _ = _descriptor(display_table)
        numbers = np.rint(values).clip(first, first + entries - 1).astype(np.int64)
        return np.asarray(apply_voi_lut(numbers, display) / _brightest(display_table))
    windowed = _windowed(values, data)
    if windowed is not None:
        return windowed
    return _linear(ramp, slope) if scanner_table is None else values / _brightest(scanner_table)


def _linear(ramp: npt.NDArray[np.int64], slope: float) -> Levels:
    """From 0 to 1 over all stored values, or from 1 to 0 if the slope is negative."""
    share = (ramp - ramp[0]) / (ramp[-1] - ramp[0])
    return np.asarray(share if slope > 0 else 1 - share)


def _windowed(values: Levels, data: Dataset) -> Levels | None:
    """Levels of the first window, 0 to 1; None if there is no window, or it cuts nothing off."""
    if any(data.get(name) in (None, "") for name in ("WindowCenter", "WindowWidth")):
        return None
    centre, width = (_number(data[name].value) for name in ("WindowCenter", "WindowWidth"))
    function = str(data.get("VOILUTFunction") or "LINEAR")
    minimum = 1.0 if function == "LINEAR" else np.finfo(np.float64).tiny
    if not (np.isfinite(centre) and minimum <= width < np.inf):
        raise DataError(
            f"expected a window with a centre and a width. Got {centre:g} and {width:g}.",
            remedy=_CORRECT,
        )
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise DataError(
            f"expected a window LINEAR, LINEAR_EXACT or SIGMOID. Got {function!r}.",
            remedy=_CORRECT,
        )
    if function != "SIGMOID" and not _cuts(function, centre, width, values):
        return None
    window = Dataset()
    # Of one unsigned bit, so that pydicom gives levels from 0 to 1.
    window.BitsStored, window.PixelRepresentation = 1, 0
    window.PhotometricInterpretation, window.VOILUTFunction = "MONOCHROME2", function
    window.add_new("WindowCenter", "FD", centre)
    window.add_new("WindowWidth", "FD", width)
    with np.errstate(over="ignore"):
        return np.asarray(apply_voi_lut(values, window))


def _cuts(function: str, centre: float, width: float, values: Levels) -> bool:
    """Whether a linear window cuts off more than one value or a negligible share of them."""
    if function == "LINEAR":
        # From the middle of the first value to the middle of the last (C.11.2.1.2.1).
        centre, width = centre - 0.5, width - 1
    low, high = float(values.min()), float(values.max())
    spare = max((high - low) / (values.size - 1), _NEGLIGIBLE * (high - low))
    return centre - width / 2 > low + spare or centre + width / 2 < high - spare


def _first(data: Dataset, name: str) -> Dataset | None:
    """The first item of a sequence."""
    items: Sequence[Dataset] = data.get(name) or ()
    return items[0] if len(items) else None


def _complete(table: Dataset) -> Dataset:
    """A table (PS3.3 C.11.1.1) with all of its entries, of 16 bits: pydicom refuses odd depths."""
    entries, first, _ = _descriptor(table)
    content = table.LUTData
    if isinstance(content, bytes):
        content = np.frombuffer(content, "<u2")
    levels = np.asarray(content)[:entries]
    if levels.size != entries:
        raise DataError(
            f"expected a table of {entries} values. Got {levels.size}.", remedy=_CORRECT
        )
    complete = Dataset()
    complete.add_new("LUTDescriptor", "SL", [entries % 65536, first, 16])
    complete.add_new("LUTData", "US", levels.tolist())
    return complete


def _brightest(table: Dataset) -> float:
    """The largest value that the entries of a table may have."""
    return float((1 << _descriptor(table)[2]) - 1)


def _descriptor(table: Dataset) -> tuple[int, int, int]:
    """How many entries, for which value the first is, and their bits."""
    entries, first, bits = (int(number) for number in table.LUTDescriptor)
    if not (0 <= entries <= 65536 and 1 <= bits <= 16):
        raise DataError(
            f"expected a table of up to 65536 entries of 1 to 16 bits. Got {entries} of {bits}.",
            remedy=_CORRECT,
        )
    # 65536 does not fit into the tag and is written as 0.
    return entries or 65536, first, bits


def _number(value: Any) -> float:  # noqa: ANN401
    """The first of several values, or the only one."""
    several = isinstance(value, Sequence) and not isinstance(value, str)
    return float(value[0] if several else value)
