"""Lossless JPEG: an encoder written from the standard, and every way for a file to be damaged."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from second_look.decoding import pixels as px
from second_look.decoding.ljpeg import Frame, decode, encode, is_lossless, read_frame
from second_look.errors import DataError

RNG = np.random.default_rng(0)


def smooth(rows=12, cols=9, top=60000):
    """A picture with small steps and large values."""
    steps = np.cumsum(RNG.integers(-200, 201, (rows, cols)), axis=1)
    return np.clip(steps + top // 2, 0, top).astype(np.uint16)


def segment(marker, body):
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def guess(values, row, col, predictor, precision):
    """Table H.1 of ITU-T T.81: what the neighbours a (left), b (above) and c make one expect."""
    if row == 0:
        return 1 << (precision - 1) if col == 0 else values[row][col - 1]
    if col == 0:
        return values[row - 1][col]
    a, b, c = values[row][col - 1], values[row - 1][col], values[row - 1][col - 1]
    return (None, a, b, c, a + b - c, a + (b - c >> 1), b + (a - c >> 1), a + b >> 1)[predictor]


def slow_encode(pixels, *, predictor=1, precision=16, prefix=b"", frame=b"", table=b"", scan=b""):
    """A lossless JPEG; the last four arguments add segments or replace their contents.

    A difference has a code of five bits, its number of bits, and then those bits.
    """
    values = pixels.tolist()
    code = ""
    for row, line in enumerate(values):
        for col, value in enumerate(line):
            difference = (value - guess(values, row, col, predictor, precision)) % 65536
            difference -= 65536 if difference > 32768 else 0
            length = abs(difference).bit_length() if difference != 32768 else 16
            code += f"{length:05b}"
            if 0 < length < 16:
                code += f"{difference % (1 << length) - (difference < 0):0{length}b}"[-length:]
    code += "1" * (-len(code) % 8)
    data = int(code, 2).to_bytes(len(code) // 8, "big").replace(b"\xff", b"\xff\x00")
    rows, cols = pixels.shape
    return (
        b"\xff\xd8"
        + prefix
        + segment(0xC3, frame or struct.pack(">BHHBBBB", precision, rows, cols, 1, 1, 0x11, 0))
        + segment(0xC4, table or b"\0" + bytes([0, 0, 0, 0, 17] + [0] * 11) + bytes(range(17)))
        + segment(0xDA, scan or bytes([1, 1, 0, predictor, 0, 0]))
        + data
        + b"\xff\xd9"
    )


@pytest.mark.parametrize("predictor", range(1, 8))
def test_every_predictor_is_decoded(predictor):
    pixels = smooth()
    np.testing.assert_array_equal(decode(slow_encode(pixels, predictor=predictor)), pixels)


@pytest.mark.parametrize(("precision", "dtype"), [(8, np.uint8), (12, np.uint16), (16, np.uint16)])
def test_pixels_of_every_depth_are_decoded_to_the_smallest_dtype(precision, dtype):
    pixels = smooth() >> (16 - precision)
    content = slow_encode(pixels, precision=precision, prefix=segment(0xFE, b"a comment"))
    decoded = decode(content)
    np.testing.assert_array_equal(decoded, pixels)
    assert decoded.dtype == dtype
    assert read_frame(content) == Frame(12, 9, 1, precision)


def test_what_is_encoded_is_decoded():
    for dtype in (np.uint8, np.uint16):
        pixels = (smooth(40, 30) >> (16 - 8 * np.dtype(dtype).itemsize)).astype(dtype)
        np.testing.assert_array_equal(decode(encode(pixels)), pixels)


@pytest.mark.parametrize("bits", [12, 16, None])
def test_exchanged_bytes_are_put_right(bits):
    pixels = smooth(top=4000 if bits == 12 else 60000)
    for stored in (pixels, pixels.byteswap()):
        np.testing.assert_array_equal(decode(encode(stored), bits), pixels)


def test_the_bits_decide_where_only_one_order_fits():
    # Noise in the low byte: smoothness alone would choose the wrong order.
    pixels = RNG.integers(0, 256, (8, 8), dtype=np.uint16)
    pixels[0, 0] = 256
    np.testing.assert_array_equal(decode(encode(pixels), 12), pixels)
    np.testing.assert_array_equal(decode(encode(pixels.byteswap()), 12), pixels)
    with pytest.raises(DataError, match="expected values below 256"):
        decode(encode(pixels), 8)


WHOLE = slow_encode(smooth())
TABLE = b"\0" + bytes([0, 0, 0, 0, 17] + [0] * 11) + bytes(range(17))


def frame(precision=16, rows=12, cols=9, count=1, sampling=0x11):
    return struct.pack(">BHHBBBB", precision, rows, cols, count, 1, sampling, 0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "expected a JPEG"),
        (WHOLE[:-5], "truncated or damaged: the data end before the picture does"),
        (WHOLE[:70], "truncated"),
        (WHOLE[:15], "truncated or damaged"),
        (WHOLE[:-20] + b"\xff\xd9", "the data end before the picture does"),
        (slow_encode(smooth(), frame=frame(precision=1)), "2 to 16 bits"),
        (slow_encode(smooth(), frame=frame(precision=17)), "2 to 16 bits"),
        (slow_encode(smooth(), frame=frame(rows=0)), "2 to 16 bits and a size"),
        (slow_encode(smooth(), frame=frame(rows=60000, cols=60000)), "cannot hold 3600000000"),
        (slow_encode(smooth(), frame=frame(count=2)), "frame header is damaged"),
        (slow_encode(smooth(), frame=frame(sampling=0x22)), "components of one size"),
        (slow_encode(smooth(), table=TABLE[:-1]), "Huffman table"),
        (slow_encode(smooth(), table=b"\x11" + TABLE[1:]), "Huffman table"),
        (slow_encode(smooth(), table=TABLE[:-1] + b"\x01"), "Huffman table"),
        (slow_encode(smooth(), table=TABLE[:-1] + b"\x1f"), "Huffman table"),
        (slow_encode(smooth(), table=b"\0\3" + bytes(15) + b"\0\1\2"), "Huffman table"),
        (slow_encode(smooth(), table=b"\1" + TABLE[1:]), "scan header"),
        (slow_encode(smooth(), scan=bytes([1, 1, 0, 0, 0, 0])), "scan header"),
        (slow_encode(smooth(), scan=bytes([1, 1, 0, 8, 0, 0])), "scan header"),
        (slow_encode(smooth(), scan=bytes([1, 1, 0, 1, 0, 1])), "not stored without loss"),
        (slow_encode(smooth(), scan=bytes([2, 1, 0, 1, 0, 0])), "scan header"),
        (slow_encode(smooth(), prefix=segment(0xDD, b"\0\x09")), "restart intervals"),
        (slow_encode(smooth(), prefix=segment(0xC1, b"")), "unexpected segment 0xc1"),
        (slow_encode(smooth(), prefix=segment(0xDA, b"")), "unexpected segment 0xda"),
        (WHOLE[:-2] + b"\xff\xd0\xff\xd9", "unexpected marker 0xd0"),
    ],
)
def test_a_damaged_file_is_refused_before_it_is_decoded(content, words):
    with pytest.raises(DataError, match=words):
        decode(content)


def test_without_a_frame_it_is_no_lossless_jpeg():
    assert is_lossless(WHOLE)
    assert not is_lossless(b"\xff\xd8" + segment(0xDA, b""))
    assert not is_lossless(WHOLE[:10])
    with pytest.raises(DataError, match="no frame header"):
        read_frame(b"\xff\xd8" + segment(0xDA, b""))


@settings(max_examples=300)
@given(data=st.data())
def test_no_damage_gets_past_the_checks(data):
    content = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(2, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(2, len(content)))
    candidate = bytes(content) if data.draw(st.booleans()) else bytes(content[:cut]) + b"\xff\xd9"
    try:
        decoded = decode(candidate)
    except DataError:
        return
    assert decoded.dtype in (np.uint8, np.uint16)
    assert decoded.size > 0


def test_the_store_reads_a_film_like_any_picture(tmp_path):
    pixels = smooth(30, 20)
    path = tmp_path / "A_0001_1.LEFT_CC.LJPEG"
    path.write_bytes(encode(pixels.byteswap()))
    assert px.read_header(path) == px.Header(30, 20, 16)
    np.testing.assert_array_equal(px.read_pixels(path), pixels)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"A_0001_1.LEFT_CC.LJPEG: .*truncated"):
        px.read_pixels(path)
    path.write_bytes(slow_encode(pixels, frame=frame(precision=17, rows=30, cols=20)))
    with pytest.raises(DataError, match=r"A_0001_1.LEFT_CC.LJPEG: .*2 to 16 bits"):
        px.read_header(path)


def test_a_file_that_lacks_its_end_marker_alone_is_read():
    for missing in (1, 2):
        np.testing.assert_array_equal(decode(WHOLE[:-missing]), decode(WHOLE))
