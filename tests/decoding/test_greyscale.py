"""Grey levels against the formulas of the standard, and against pydicom's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
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
    data.add_new("LUTDescriptor", "SL", [len(entries) % 65536, first, bits])
    data.add_new("LUTData", "US", [int(value) for value in entries])
    return data


def displayed(values=ALL_12, bits=12, **tags):
    return grey_levels(values, header(bits, **tags), for_display=True)


def test_nothing_said_is_nothing_done():
    np.testing.assert_array_equal(displayed(), ALL_12)
    eight = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert grey_levels(eight, header(8), for_display=True).dtype == np.uint8
    # 8 bits in words of 16 are 8 bits all the same.
    assert grey_levels(eight.astype(np.uint16), header(8), for_display=True).dtype == np.uint8


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
    levels = displayed(**tags)
    np.testing.assert_array_equal(levels, np.rint(level * 4095))
    data = header(**tags)
    peer = apply_voi_lut(apply_modality_lut(ALL_12, data), data)
    # pydicom scales to the rescaled range, which begins elsewhere.
    low, high = 0 * slope + intercept, 4095 * slope + intercept
    np.testing.assert_allclose(levels, (peer - low) / (high - low) * 4095, atol=0.51)


def test_the_first_of_several_windows_counts():
    first = displayed(WindowCenter=[1000, 3000], WindowWidth=[500, 100])
    np.testing.assert_array_equal(first, displayed(WindowCenter=1000, WindowWidth=500))
    assert not np.array_equal(first, displayed(WindowCenter=3000, WindowWidth=100))


@pytest.mark.parametrize("width", [4095, 4096, 4093, 65535])
def test_a_window_that_cuts_nothing_off_changes_nothing(width):
    np.testing.assert_array_equal(displayed(WindowCenter=2048, WindowWidth=width), ALL_12)


def test_the_narrowest_window_is_a_step():
    levels = displayed(WindowCenter=2000, WindowWidth=1)
    np.testing.assert_array_equal(levels, np.where(ALL_12 > 1999.5, 4095, 0))


def test_a_slope_alone_changes_no_more_than_the_direction():
    np.testing.assert_array_equal(displayed(RescaleSlope=3, RescaleIntercept=-1024), ALL_12)
    np.testing.assert_array_equal(displayed(RescaleSlope=-1, RescaleIntercept=4095), 4095 - ALL_12)


@pytest.mark.parametrize("for_display", [True, False])
def test_monochrome1_is_inverted(for_display):
    data = header(PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(grey_levels(ALL_12, data, for_display=for_display), 4095 - ALL_12)
    data.WindowCenter, data.WindowWidth = 2000, 1000
    level = np.clip((ALL_12 - 1999.5) / 999 + 0.5, 0, 1)
    expected = np.rint((1 - level) * 4095) if for_display else 4095 - ALL_12
    np.testing.assert_array_equal(grey_levels(ALL_12, data, for_display=for_display), expected)


def test_signed_values_and_their_windows():
    signed = (ALL_12.astype(np.int16) - 2048).astype(np.int16)
    np.testing.assert_array_equal(displayed(signed), ALL_12)
    levels = displayed(signed, WindowCenter=0, WindowWidth=1001)
    np.testing.assert_array_equal(
        levels, np.rint(np.clip((signed + 0.5) / 1000 + 0.5, 0, 1) * 4095)
    )


def test_a_table_of_display_is_looked_up_and_goes_before_a_window():
    entries = np.rint(1023 * np.linspace(0, 1, 2000) ** 2)
    lut = table(entries, first=1000, bits=10)
    levels = displayed(VOILUTSequence=[lut, table([0, 1])], WindowCenter=5, WindowWidth=9)
    peer = apply_voi_lut(ALL_12, header(VOILUTSequence=[lut]))
    np.testing.assert_array_equal(levels, np.rint(peer / 1023 * 4095))
    assert levels[0, 0] == 0
    assert levels[-1, -1] == 4095


def test_a_table_of_the_scanner_comes_first():
    curve = np.rint(65535 * np.sqrt(np.arange(4096) / 4095))
    lut = table(curve, bits=16)
    levels = displayed(ModalityLUTSequence=[lut])
    np.testing.assert_array_equal(levels, np.rint(curve / 65535 * 4095).reshape(64, 64))
    windowed = displayed(ModalityLUTSequence=[lut], WindowCenter=30000, WindowWidth=20000)
    level = np.clip((curve - 29999.5) / 19999 + 0.5, 0, 1)
    np.testing.assert_array_equal(windowed, np.rint(level * 4095).reshape(64, 64))


def test_a_table_of_65536_entries_says_0():
    lut = table(np.arange(65536) // 16, bits=12)
    assert lut.LUTDescriptor[0] == 0
    data, values = header(16, VOILUTSequence=[lut]), np.arange(65536, dtype=np.uint16)
    levels = grey_levels(values[None], data, for_display=True)
    np.testing.assert_array_equal(levels[0], np.rint(values // 16 / 4095 * 65535))


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
        displayed(**tags)


def formula(values, function, centre, width, slope, intercept, white):
    """Levels by the equations of PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    x = values * slope + intercept
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.minimum(-4 * (x - centre) / width, 700)))
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    low, high = centre - width / 2, centre + width / 2
    ends = sorted((x[0], x[-1]))
    spare = max((ends[1] - ends[0]) / white, 0.001 * (ends[1] - ends[0]))
    if low <= ends[0] + spare and high >= ends[1] - spare:  # nothing is cut off
        share = np.arange(white + 1) / white
        return share if slope > 0 else 1 - share
    return np.where(x <= low, 0, np.where(x > high, 1, (x - low) / max(width, 1e-9)))


def decimals(low, high):
    return st.decimals(low, high, places=3).map(float)


@hypothesis_settings(max_examples=400, deadline=None)
@given(
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    bits=st.integers(2, 11),
    signed=st.booleans(),
    centre=decimals(-3000, 3000),
    width=decimals(1, 4500),
    slope=decimals(-4, 4).filter(bool),
    intercept=decimals(-2000, 2000),
    inverted=st.booleans(),
)
def test_random_windows_are_those_of_the_standard(
    function, bits, signed, centre, width, slope, intercept, inverted
):
    white = 2**bits - 1
    low = -(2 ** (bits - 1)) if signed else 0
    ramp = np.arange(low, low + white + 1, dtype=np.int16)
    stored = (ramp if signed else ramp.astype(np.uint16))[None]
    tags = {"VOILUTFunction": function, "WindowCenter": centre, "WindowWidth": width}
    tags |= {"RescaleSlope": slope, "RescaleIntercept": intercept}
    if inverted:
        tags["PhotometricInterpretation"] = "MONOCHROME1"
    levels = displayed(stored, bits=bits, **tags)[0]
    expected = formula(ramp.astype(float), function, centre, width, slope, intercept, white)
    expected = (1 - expected if inverted else expected) * white
    # Another order of the same sums may round a half the other way.
    np.testing.assert_allclose(levels, expected, atol=0.5 + 1e-6)
    assert levels.dtype == (np.uint8 if bits <= 8 else np.uint16)


@hypothesis_settings(max_examples=100, deadline=None)
@given(
    entries=st.lists(st.integers(0, 2**9 - 1), min_size=2, max_size=300),
    first=st.integers(-200, 600),
    bits=st.integers(9, 16),
    by_scanner=st.booleans(),
    slope=st.sampled_from([1.0, 0.5, -1.25]),
)
def test_random_tables_are_looked_up(entries, first, bits, by_scanner, slope):
    lut = table(entries, first, bits)
    tags = {"ModalityLUTSequence": [lut]} if by_scanner else {"VOILUTSequence": [lut]}
    tags |= {"RescaleSlope": slope, "RescaleIntercept": 3}
    stored = np.arange(512, dtype=np.uint16)
    levels = displayed(stored[None], bits=9, **tags)[0]
    numbers = stored if by_scanner else np.rint(stored * slope + 3).astype(int)
    indices = [min(max(int(number) - first, 0), len(entries) - 1) for number in numbers]
    expected = np.array([entries[index] for index in indices]) / (2**bits - 1)
    np.testing.assert_array_equal(levels, np.rint(expected * 511))


def test_a_table_of_bytes_and_one_of_an_odd_depth_are_read():
    entries = np.arange(4096, dtype=np.uint16)[::-1]
    for vr in ("OW", "US"):
        lut = Dataset()
        lut.add_new("LUTDescriptor", "US", [4096, 0, 12])
        lut.add_new("LUTData", vr, entries.tobytes() if vr == "OW" else entries.tolist())
        for name in ("ModalityLUTSequence", "VOILUTSequence"):
            np.testing.assert_array_equal(displayed(**{name: [lut]}), 4095 - ALL_12)
