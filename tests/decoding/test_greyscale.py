"""Grey levels against the formulas of the standard, and against pydicom's own."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from second_look.decoding.greyscale import grey_levels
from second_look.errors import DataError

ALL_12 = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def header(bits=12, **tags):
    data = Dataset()
    data.PhotometricInterpretation, data.BitsStored, data.PixelRepresentation = (
        "MONOCHROME2",
        bits,
        0,
    )
    for name, value in tags.items():
        setattr(data, name, value)
    return data


def table(entries, first=0, bits=12):
    data = Dataset()
    data.add_new("LUTDescriptor", "US", [len(entries) % 65536, first, bits])
    data.add_new("LUTData", "US", [int(value) for value in entries])
    return data


def shown(values=ALL_12, **tags):
    return grey_levels(values, header(**tags), shown=True)


def test_nothing_said_is_nothing_done():
    np.testing.assert_array_equal(shown(), ALL_12)
    eight = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert grey_levels(eight, header(8), shown=True).dtype == np.uint8
    # 8 bits in words of 16 are 8 bits all the same.
    assert grey_levels(eight.astype(np.uint16), header(8), shown=True).dtype == np.uint8


@pytest.mark.parametrize("function", ["", "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(2000, 1000), (100.5, 700.25), (4000, 3000)])
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (2, -1000), (0.5, 300)])
def test_windows_are_those_of_the_standard(function, centre, width, slope, intercept):
    tags = {"WindowCenter": centre, "WindowWidth": width}
    tags |= {"RescaleSlope": slope, "RescaleIntercept": intercept}
    if function:
        tags["VOILUTFunction"] = function
    x = ALL_12.astype(float) * slope + intercept
    if function == "SIGMOID":
        level = 1 / (1 + np.exp(-4 * (x - centre) / width))
    elif function == "LINEAR_EXACT":
        level = np.clip((x - centre) / width + 0.5, 0, 1)
    else:
        level = np.clip((x - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
    found = shown(**tags)
    np.testing.assert_array_equal(found, np.rint(level * 4095))
    data = header(**tags)
    peer = apply_voi_lut(apply_modality_lut(ALL_12, data), data)
    # pydicom scales to the rescaled range, which begins elsewhere.
    low, high = 0 * slope + intercept, 4095 * slope + intercept
    np.testing.assert_allclose(found, (peer - low) / (high - low) * 4095, atol=0.51)


def test_the_first_of_several_windows_counts():
    first = shown(WindowCenter=[1000, 3000], WindowWidth=[500, 100])
    np.testing.assert_array_equal(first, shown(WindowCenter=1000, WindowWidth=500))
    assert not np.array_equal(first, shown(WindowCenter=3000, WindowWidth=100))


@pytest.mark.parametrize("width", [4095, 4096, 4093, 65535])
def test_a_window_that_cuts_nothing_off_changes_nothing(width):
    np.testing.assert_array_equal(shown(WindowCenter=2048, WindowWidth=width), ALL_12)


def test_the_narrowest_window_is_a_step():
    found = shown(WindowCenter=2000, WindowWidth=1)
    np.testing.assert_array_equal(found, np.where(ALL_12 > 1999.5, 4095, 0))


def test_a_slope_alone_changes_no_more_than_the_direction():
    np.testing.assert_array_equal(shown(RescaleSlope=3, RescaleIntercept=-1024), ALL_12)
    np.testing.assert_array_equal(shown(RescaleSlope=-1, RescaleIntercept=4095), 4095 - ALL_12)


@pytest.mark.parametrize("how", [True, False])
def test_monochrome1_is_turned_round(how):
    data = header(PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(grey_levels(ALL_12, data, shown=how), 4095 - ALL_12)
    data.WindowCenter, data.WindowWidth = 2000, 1000
    level = np.clip((ALL_12 - 1999.5) / 999 + 0.5, 0, 1)
    expected = np.rint((1 - level) * 4095) if how else 4095 - ALL_12
    np.testing.assert_array_equal(grey_levels(ALL_12, data, shown=how), expected)


def test_signed_values_and_their_windows():
    signed = (ALL_12.astype(np.int16) - 2048).astype(np.int16)
    np.testing.assert_array_equal(shown(signed), ALL_12)
    found = shown(signed, WindowCenter=0, WindowWidth=1001)
    np.testing.assert_array_equal(found, np.rint(np.clip((signed + 0.5) / 1000 + 0.5, 0, 1) * 4095))


def test_a_table_of_display_is_looked_up_and_goes_before_a_window():
    entries = np.rint(1023 * np.linspace(0, 1, 2000) ** 2)
    lut = table(entries, first=1000, bits=10)
    found = shown(VOILUTSequence=[lut, table([0, 1])], WindowCenter=5, WindowWidth=9)
    peer = apply_voi_lut(ALL_12, header(VOILUTSequence=[lut]))
    np.testing.assert_array_equal(found, np.rint(peer / 1023 * 4095))
    assert found[0, 0] == 0
    assert found[-1, -1] == 4095


def test_a_table_of_the_scanner_comes_first():
    curve = np.rint(65535 * np.sqrt(np.arange(4096) / 4095))
    lut = table(curve, bits=16)
    found = shown(ModalityLUTSequence=[lut])
    np.testing.assert_array_equal(found, np.rint(curve / 65535 * 4095).reshape(64, 64))
    windowed = shown(ModalityLUTSequence=[lut], WindowCenter=30000, WindowWidth=20000)
    level = np.clip((curve - 29999.5) / 19999 + 0.5, 0, 1)
    np.testing.assert_array_equal(windowed, np.rint(level * 4095).reshape(64, 64))


def test_a_table_of_65536_entries_says_0():
    lut = table(np.arange(65536) // 16, bits=12)
    assert lut.LUTDescriptor[0] == 0
    data, values = header(16, VOILUTSequence=[lut]), np.arange(65536, dtype=np.uint16)
    found = grey_levels(values[None], data, shown=True)
    np.testing.assert_array_equal(found[0], np.rint(values // 16 / 4095 * 65535))


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"WindowCenter": 5, "WindowWidth": 0}, "a window with a centre and a width. Got 5 and 0"),
        ({"WindowCenter": 5, "WindowWidth": 9, "VOILUTFunction": "GAMMA"}, "Got 'GAMMA'"),
        ({"VOILUTSequence": [table([])]}, "expected a table of 65536 values. Got 0"),
    ],
)
def test_steps_that_cannot_be_applied_are_named(tags, words):
    with pytest.raises(DataError, match=words):
        shown(**tags)
