"""Picture files: what is written is read, and every way to be broken is named."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pydicom
import pytest
import tifffile
from helpers.tiff import write_tiff
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from second_look.decoding import pixels as px
from second_look.errors import DataError

RNG = np.random.default_rng(0)
WRITERS = {"pgm": px.write_pgm, "png": px.write_png, "tif": write_tiff}


def picture(dtype, rows=7, cols=5):
    return RNG.integers(0, np.iinfo(dtype).max, (rows, cols), dtype=dtype, endpoint=True)


def write_dicom(path, pixels, *, photometric="MONOCHROME2", bits=None, **tags):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = (
        meta.MediaStorageSOPClassUID,
        meta.MediaStorageSOPInstanceUID,
    )
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, photometric
    data.BitsAllocated = 8 * pixels.itemsize
    data.BitsStored = bits or data.BitsAllocated
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, 0
    data.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    for name, value in tags.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("ending", list(WRITERS))
def test_what_is_written_is_read(tmp_path, ending, dtype):
    pixels, path = picture(dtype), tmp_path / f"a.{ending}"
    WRITERS[ending](path, pixels)
    again = px.read_pixels(path)
    np.testing.assert_array_equal(again, pixels)
    assert again.dtype == dtype
    assert px.read_header(path) == px.Header(
        7, 5, 8 * pixels.itemsize, bits_stated=ending == "pgm" or dtype == np.uint8
    )


def test_independent_writers_are_read_alike(tmp_path):
    pixels = picture(np.uint16)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", pixels, byteorder=">")
    write_dicom(tmp_path / "a.dcm", pixels)
    for name in ("a.png", "a.tif", "a.dcm"):
        np.testing.assert_array_equal(px.read_pixels(tmp_path / name), pixels)


def test_pgm_comments_and_pillow_agree(tmp_path):
    pixels = picture(np.uint8)
    (tmp_path / "a.pgm").write_bytes(b"P5\n# made by hand\n5 7\n# more\n255\n" + pixels.tobytes())
    np.testing.assert_array_equal(px.read_pixels(tmp_path / "a.pgm"), pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.pgm")), pixels)


def test_jpeg_is_read_as_its_decoder_does(tmp_path):
    Image.fromarray(picture(np.uint8, 16, 16)).save(tmp_path / "a.jpg")
    np.testing.assert_array_equal(
        px.read_pixels(tmp_path / "a.jpg"), np.asarray(Image.open(tmp_path / "a.jpg"))
    )


def test_grey_saved_as_rgb_is_grey_and_colour_is_refused(tmp_path):
    grey = picture(np.uint8)
    Image.fromarray(np.repeat(grey[..., None], 3, axis=2)).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(px.read_pixels(tmp_path / "grey.png"), grey)
    Image.fromarray(RNG.integers(0, 255, (7, 5, 3), dtype=np.uint8)).save(tmp_path / "rgb.png")
    with pytest.raises(DataError, match="colours"):
        px.read_pixels(tmp_path / "rgb.png")


def test_monochrome1_is_inverted_within_its_bits(tmp_path):
    pixels = RNG.integers(0, 4096, (6, 4), dtype=np.uint16)
    write_dicom(tmp_path / "a.dcm", pixels, photometric="MONOCHROME1", bits=12)
    np.testing.assert_array_equal(px.read_pixels(tmp_path / "a.dcm"), 4095 - pixels)
    assert px.read_header(tmp_path / "a.dcm").bits == 12


def test_dicom_header_gives_the_pixel_size(tmp_path):
    write_dicom(tmp_path / "a.dcm", picture(np.uint16), PixelSpacing=[0.05, 0.05])
    assert px.read_header(tmp_path / "a.dcm").pixel_spacing_mm == 0.05


def pgm(tmp_path, content):
    path = tmp_path / "a.pgm"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"P5\n5 7\n255\n" + bytes(34), "truncated: expected 35 bytes of pixels. Got 34"),
        (b"P5\n5 7\n255\n" + bytes(70), "16-bit values under an 8-bit header"),
        (b"P5\n5 7\n255\n" + bytes(36), "longer than its header says"),
        (b"P2\n5 7\n255\n" + bytes(35), "expected PGM"),
        (b"", "an empty file"),
        (b"P5\nfive 7\n255\n", "the PGM header is broken"),
        (b"P5\n5 7\n70000\n" + bytes(70), "largest value"),
        (b"P5\n5 7\n255\n" + bytes(35), "every pixel has the value 0"),
        (b"P5\n5 7\n100\n" + bytes([200] * 35), "values up to 100. Got 200"),
        (b"P5\n999999 999999\n255\n" + bytes(35), "more than any film has"),
    ],
)
def test_a_broken_pgm_is_named(tmp_path, content, words):
    with pytest.raises(DataError, match=words) as error:
        px.read_pixels(pgm(tmp_path, content))
    assert "a.pgm" in str(error.value)


def test_missing_unreadable_and_not_a_number(tmp_path):
    with pytest.raises(DataError, match="not there"):
        px.read_pixels(tmp_path / "none.png")
    tifffile.imwrite(tmp_path / "nan.tif", np.full((4, 4), np.nan, dtype=np.float32))
    with pytest.raises(DataError, match="NaN"):
        px.read_pixels(tmp_path / "nan.tif")
    tifffile.imwrite(tmp_path / "half.tif", np.array([[0.5, 1.0]], dtype=np.float32))
    with pytest.raises(DataError, match="whole grey levels"):
        px.read_pixels(tmp_path / "half.tif")
    stack = np.zeros((3, 8, 9), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    with pytest.raises(DataError, match="one grey picture"):
        px.read_pixels(tmp_path / "stack.tif")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_gives_our_error_or_a_picture(tmp_path, data):
    ending = data.draw(st.sampled_from(["pgm", "png", "tif", "dcm", "jpg"]))
    intact, path = tmp_path / f"whole.{ending}", tmp_path / f"damaged.{ending}"
    if not intact.exists():
        pixels = picture(np.uint8, 24, 24)
        if ending == "dcm":
            write_dicom(intact, pixels)
        elif ending == "jpg":
            Image.fromarray(pixels).save(intact)
        else:
            WRITERS[ending](intact, pixels)
    content = bytearray(intact.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    with suppress(DataError):
        decoded = px.read_pixels(path)
        assert decoded.ndim == 2
        assert decoded.dtype in (np.uint8, np.uint16)


def test_a_stretched_picture_becomes_square(tmp_path):
    # A vertical edge in the middle stays in the middle when the width is halved.
    pixels = np.zeros((40, 40), dtype=np.uint16)
    pixels[:, 20:] = 4000
    px.write_png(tmp_path / "a.png", pixels)
    square = px.read_square(tmp_path / "a.png", 40, 20)
    assert square.shape == (40, 20)
    assert square.dtype == np.uint16
    np.testing.assert_array_equal(square[:, :8], 0)
    np.testing.assert_array_equal(square[:, 12:], 4000)
    np.testing.assert_array_equal(px.read_square(tmp_path / "a.png", 40, 40), pixels)


def test_a_tiff_whose_lowest_value_is_white_is_turned_round(tmp_path):
    pixels, path = picture(np.uint8), tmp_path / "a.tif"
    tifffile.imwrite(path, 255 - pixels, photometric="miniswhite")
    np.testing.assert_array_equal(px.read_pixels(path), pixels)
    pixels = pixels.astype(np.uint16) * 16
    tifffile.imwrite(path, 4095 - pixels, photometric="miniswhite", bitspersample=12)
    np.testing.assert_array_equal(px.read_pixels(path), pixels)
    assert px.read_header(path) == px.Header(7, 5, 12, photometric_stated=True)
    # Of 16 bits a file may use 12: which level is black is known only to its data set.
    tifffile.imwrite(path, 4095 - pixels, photometric="miniswhite")
    np.testing.assert_array_equal(px.read_pixels(path), 4095 - pixels)
    assert px.read_header(path).white_is_lowest
    np.testing.assert_array_equal(px.read_mask_values(path), 61440 + pixels)
    tifffile.imwrite(tmp_path / "b.tif", pixels / np.float32(2), photometric="miniswhite")
    with pytest.raises(px.DataError, match="lowest is white"):
        px.read_pixels(tmp_path / "b.tif")


def test_a_second_newline_after_the_header_of_a_pgm_is_no_pixel(tmp_path):
    pixels, path = picture(np.uint8) | 128, tmp_path / "a.pgm"
    path.write_bytes(b"P5\n5 7\n255\n\n" + pixels.tobytes())
    np.testing.assert_array_equal(px.read_pixels(path), pixels)
    path.write_bytes(b"P5\n5 7\n255\n\n" + pixels.tobytes()[:-1] + b"\n")
    with pytest.raises(px.DataError, match="longer than its header says"):
        px.read_pixels(path)


def test_white_space_after_the_pixels_of_a_pgm_is_none_of_them(tmp_path):
    pixels = picture(np.uint8) | 128
    for tail in (b"\n", b"\r\n", b" \n\n"):
        path = pgm(tmp_path, b"P5\n5 7\n255\n" + pixels.tobytes() + tail)
        np.testing.assert_array_equal(px.read_pixels(path), pixels)
    with pytest.raises(px.DataError, match=r"longer .* expected 35 bytes of pixels. Got 37"):
        px.read_pixels(pgm(tmp_path, b"P5\n5 7\n255\n" + pixels.tobytes() + b"\n1"))


@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize("size", [(16, 16), (101, 77)])
def test_a_jpeg_that_lacks_its_end_marker_alone_is_read(tmp_path, size, missing):
    path = tmp_path / "a.jpg"
    Image.fromarray(picture(np.uint8, *size)).save(path, quality=90)
    complete, content = px.read_pixels(path), path.read_bytes()
    path.write_bytes(content[:-missing])
    np.testing.assert_array_equal(px.read_pixels(path), complete)
    np.testing.assert_array_equal(px.read_mask_values(path), complete)
    for lost in (5, 6, 9, 40, len(content) // 2):
        path.write_bytes(content[:-lost])
        with pytest.raises(px.DataError, match=r"[Tt]runcated"):
            px.read_pixels(path)


def test_a_progressive_jpeg_without_an_end_is_refused(tmp_path):
    """Its later scans only refine the picture: that one of them is missing does not show."""
    path = tmp_path / "a.jpg"
    Image.fromarray(picture(np.uint8, 64, 64)).save(path, progressive=True)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(px.DataError, match="truncated"):
        px.read_pixels(path)
