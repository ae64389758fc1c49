"""DICOM in every transfer syntax and shape of header, against the arrays that were put in."""

from __future__ import annotations

import gdcm  # noqa: F401  # pydicom decodes with it: the oracle
import imagecodecs
import numpy as np
import pydicom
import pytest
from helpers.small_dicom import BIG, DEFLATED, EXPLICIT, IMPLICIT, JPEG, RLE, file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from second_look.decoding import dicom
from second_look.decoding.masks import read_mask
from second_look.decoding.pixels import Header, read_header, read_pixels
from second_look.errors import DataError

RNG = np.random.default_rng(0)


def smooth(bits, rows=24, cols=20):
    """A slope with a spot: what lossy codes keep to within a few levels."""
    row_index, col_index = np.mgrid[:rows, :cols]
    grey = (row_index * 3 + col_index * 2) / (3 * rows + 2 * cols) + 0.1 * (
        row_index + col_index == rows
    )
    return np.rint(grey * 0.9 * (2**bits - 1)).astype(np.uint8 if bits <= 8 else np.uint16)


def item(**values):
    data = Dataset()
    for name, value in values.items():
        setattr(data, name, value)
    return data


def table(entries, first=0, bits=16):
    values = [int(value) for value in entries]
    data = item(LUTDescriptor=[len(values), first, bits], LUTData=values)
    data["LUTDescriptor"].VR = data["LUTData"].VR = "US"
    return data


# ------------------------------------------------------------------ transfer syntaxes

CODES = {
    "baseline": (f"{JPEG}50", 8, imagecodecs.jpeg8_encode, 6),
    "extended": (f"{JPEG}51", 12, lambda p: imagecodecs.jpeg8_encode(p, bitspersample=12), 30),
    "lossless": (f"{JPEG}57", 16, lambda p: imagecodecs.ljpeg_encode(p, bitspersample=16), 0),
    "lossless of 12 bit": (
        f"{JPEG}70", 12, lambda p: imagecodecs.ljpeg_encode(p, bitspersample=12), 0,
    ),
    "JPEG-LS": (f"{JPEG}80", 16, imagecodecs.jpegls_encode, 0),
    "JPEG-LS near": (f"{JPEG}81", 8, lambda p: imagecodecs.jpegls_encode(p, level=2), 2),
    "JPEG 2000": (
        f"{JPEG}90", 16, lambda p: imagecodecs.jpeg2k_encode(p, codecformat="j2k", level=0), 0,
    ),
    "high throughput JPEG 2000": (f"{JPEG}201", 16, imagecodecs.htj2k_encode, 0),
    "JPEG 2000 lossy": (
        f"{JPEG}91", 12, lambda p: imagecodecs.jpeg2k_encode(p, codecformat="j2k", level=80), 30,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CODES)
def test_a_compressed_picture_is_the_one_that_was_put_in(tmp_path, name):
    syntax, bits, encode, tolerance = CODES[name]
    pixels = smooth(bits)
    path = file(
        tmp_path / "a.dcm", pixels, syntax=syntax, bits=bits, content=encapsulate([encode(pixels)])
    )
    decoded = read_pixels(path)
    assert decoded.dtype == pixels.dtype
    assert np.abs(decoded.astype(int) - pixels).max() <= tolerance
    if name in ("extended", "high throughput JPEG 2000"):
        return  # No other decoder here knows them.
    # pydicom decodes with another library than we do.
    reference = pydicom.dcmread(path).pixel_array
    np.testing.assert_allclose(decoded.astype(int), reference, atol=min(tolerance, 1))


def test_run_lengths_are_decoded(tmp_path):
    pixels = smooth(16)
    data = pydicom.dcmread(file(tmp_path / "a.dcm", pixels))
    data.compress(RLE)
    data.save_as(tmp_path / "rle.dcm")
    np.testing.assert_array_equal(read_pixels(tmp_path / "rle.dcm"), pixels)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG, DEFLATED])
@pytest.mark.parametrize("bits", [8, 16])
def test_native_pixels_in_every_order_and_spelling(tmp_path, syntax, bits):
    pixels = smooth(bits)
    file(tmp_path / "a.dcm", pixels, syntax=syntax)
    np.testing.assert_array_equal(read_pixels(tmp_path / "a.dcm"), pixels)


@pytest.mark.parametrize(
    ("syntax", "name"),
    [(f"{JPEG}100", "MPEG2 Main Profile"), (f"{JPEG}52", "JPEG Extended"), ("1.2.3.4", "1.2.3.4")],
)
def test_a_syntax_that_nothing_decodes_is_named(tmp_path, syntax, name):
    path = file(tmp_path / "a.dcm", smooth(8), content=encapsulate([b"\0\0\0\0"]))
    content = path.read_bytes()
    # Written under a syntax that pydicom can write, and renamed.
    old, new = EXPLICIT.encode() + b"\0", syntax.encode() + b"\0" * (len(syntax) % 2)
    length = len(old).to_bytes(2, "little")
    assert content.count(length + old) == 1
    renamed = content.replace(length + old, len(new).to_bytes(2, "little") + new)
    group = int.from_bytes(content[140:144], "little") + len(new) - len(old)
    path.write_bytes(renamed[:140] + group.to_bytes(4, "little") + renamed[144:])
    with pytest.raises(DataError, match=f"transfer syntax.*{name}.*cannot be decoded.*gdcmconv"):
        read_pixels(path)


def test_a_compressed_picture_of_another_size_is_refused_before_it_is_decoded(tmp_path):
    for name in ("baseline", "lossless", "JPEG-LS", "JPEG 2000"):
        syntax, bits, encode, _ = CODES[name]
        content = encapsulate([encode(smooth(bits, 48, 40))])
        path = file(tmp_path / "a.dcm", smooth(bits), syntax=syntax, content=content)
        with pytest.raises(DataError, match="24 x 20 px, the compressed picture 48 x 40"):
            read_pixels(path)


# ------------------------------------------------------------------ pixels and headers


def test_an_overlay_changes_no_pixel(tmp_path):
    pixels = smooth(12)
    path = file(tmp_path / "a.dcm", pixels, bits=12)
    data = pydicom.dcmread(path)
    data.add_new(0x60000010, "US", 24)
    data.add_new(0x60000011, "US", 20)
    data.add_new(0x60000040, "CS", "G")
    data.add_new(0x60000050, "SS", [1, 1])
    data.add_new(0x60000100, "US", 1)
    data.add_new(0x60000102, "US", 0)
    data.add_new(0x60003000, "OW", b"\xff" * 60)
    data.save_as(path)
    np.testing.assert_array_equal(read_pixels(path), pixels)


def test_an_overlay_in_the_upper_bits_is_taken_off(tmp_path):
    pixels = smooth(12)
    with_overlay = pixels | (RNG.integers(0, 2, pixels.shape).astype(np.uint16) << 12)
    path = file(tmp_path / "a.dcm", with_overlay, bits=12)
    with pytest.raises(DataError, match=r"allows 12 bits a pixel\. Got"):
        read_pixels(path)
    data = pydicom.dcmread(path)
    data.add_new(0x60000100, "US", 16)
    data.add_new(0x60000102, "US", 12)
    data.save_as(path)
    np.testing.assert_array_equal(read_pixels(path), pixels)


def test_bits_that_stand_higher_are_moved_down(tmp_path):
    pixels = smooth(12)
    path = file(tmp_path / "a.dcm", pixels << 4, bits=12, HighBit=15)
    np.testing.assert_array_equal(read_pixels(path), pixels)


def test_signed_values_start_at_the_lowest(tmp_path):
    pixels = smooth(12).astype(np.int16) - 2048
    decoded = read_pixels(file(tmp_path / "a.dcm", pixels, bits=12))
    np.testing.assert_array_equal(decoded, pixels.astype(int) + 2048)
    assert decoded.dtype == np.uint16


@pytest.mark.parametrize(("frames", "middle"), [(1, 0), (2, 0), (5, 2)])
def test_the_middle_frame_is_read(tmp_path, frames, middle):
    stack = np.stack([smooth(16) + number for number in range(frames)])
    path = file(tmp_path / "a.dcm", stack if frames > 1 else stack[0])
    assert (read_header(path).frames, read_header(path).frame) == (frames, middle)
    np.testing.assert_array_equal(read_pixels(path), stack[middle])
    packed = encapsulate([imagecodecs.jpegls_encode(frame) for frame in stack])
    path = file(tmp_path / "b.dcm", stack if frames > 1 else stack[0], syntax=f"{JPEG}80",
                content=packed)  # fmt: skip
    np.testing.assert_array_equal(read_pixels(path), stack[middle])


def test_what_is_not_needed_may_be_missing(tmp_path):
    pixels = smooth(16)
    gone = ["Modality", "SamplesPerPixel", "PixelRepresentation", "HighBit"]
    path = file(tmp_path / "a.dcm", pixels, without=gone)
    np.testing.assert_array_equal(read_pixels(path), pixels)
    assert read_header(path) == Header(24, 20, 16, photometric_stated=True)


@pytest.mark.parametrize(
    "name", ["Rows", "Columns", "BitsAllocated", "BitsStored", "PhotometricInterpretation"]
)
def test_what_is_needed_and_missing_is_named(tmp_path, name):
    path = file(tmp_path / "a.dcm", smooth(16), without=[name])
    for read in (read_header, read_pixels):
        with pytest.raises(DataError, match=rf"a.dcm: the header lacks {name}\."):
            read(path)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "MONOCHROME2. Got 'PALETTE COLOR'"),
        ({"PhotometricInterpretation": "GREY"}, "photometric interpretation.*Got 'GREY'"),
        ({"content": b"\0" * 500}, "truncated: expected 960 bytes of pixels. Got 500"),
        ({"content": b"\0" * 1200}, "longer than its header says: expected 960 .*Got 1200"),
        ({"Rows": 65535, "Columns": 65535}, "65535 x 65535 px, more than any film has"),
        ({"Rows": 9000, "Columns": 9000}, "truncated: expected 162000000 bytes"),
        ({"Rows": 0}, "more than any film|expected a picture"),
        ({"BitsStored": 32, "BitsAllocated": 32}, "1 to 16 bits a pixel. Got 32"),
        ({"NumberOfFrames": -3}, "at least one frame. Got -3"),
        ({"NumberOfFrames": 900}, "truncated: expected 864000 bytes"),
        ({"without": ["PixelData"]}, "no pixels"),
        ({"HighBit": 30}, "expected 16 bits up to bit 30 of 16"),
    ],
)
def test_a_header_that_the_pixels_do_not_bear_out_is_named(tmp_path, tags, words):
    path = file(tmp_path / "a.dcm", smooth(16), **tags)
    with pytest.raises(DataError, match=words) as error:
        read_pixels(path)
    assert "a.dcm" in str(error.value)


@pytest.mark.parametrize("keep", [131, 140, 200, 400, 600, -900, -2])
def test_a_truncated_file_is_named(tmp_path, keep):
    path = file(tmp_path / "a.dcm", smooth(16))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"a\.dcm"):
        read_pixels(path)


def test_a_deflated_file_that_fills_the_memory_is_refused(tmp_path, monkeypatch):
    path = file(tmp_path / "a.dcm", np.arange(1 << 20, dtype=np.uint32).view(np.uint16)
                .reshape(1024, 2048), syntax=DEFLATED)  # fmt: skip
    assert read_pixels(path).shape == (1024, 2048)
    monkeypatch.setattr(dicom, "MAX_PIXELS", 500_000)
    with pytest.raises(DataError, match="unpacks to more than 2000000 bytes"):
        dicom.read_header(path)


# ------------------------------------------------------------------ what a header says besides


def test_the_header_says_side_view_and_density(tmp_path):
    fat = item(CodeValue="129716005", CodingSchemeDesignator="SCT", CodeMeaning="Almost fat")
    path = file(
        tmp_path / "a.dcm",
        smooth(16),
        ImageLaterality="R",
        ViewPosition="MLO",
        AcquisitionContextSequence=[item(ConceptCodeSequence=[fat])],
    )
    decoded = read_header(path)
    assert (decoded.side, decoded.view, decoded.density) == ("R", "MLO", "1")
    oblique = item(CodeValue="R-10226", CodingSchemeDesignator="SRT", CodeMeaning="oblique")
    path = file(tmp_path / "b.dcm", smooth(16), Laterality="L", ViewCodeSequence=[oblique])
    decoded = read_header(path)
    assert (decoded.side, decoded.view, decoded.density) == ("L", "MLO", "")
    path = file(tmp_path / "c.dcm", smooth(16), ImageLaterality="B")
    assert read_header(path).side == ""


@pytest.mark.parametrize(
    ("tags", "size"),
    [
        ({"PixelSpacing": [0.05, 0.06], "ImagerPixelSpacing": [0.1, 0.1]}, 0.05),
        ({"ImagerPixelSpacing": [0.07, 0.07]}, 0.07),
        ({"ImagerPixelSpacing": [0.1] * 2, "EstimatedRadiographicMagnificationFactor": 1.25}, 0.08),
        ({"NominalScannedPixelSpacing": [0.0435, 0.0435]}, 0.0435),
        ({"PixelSpacing": [0, 0]}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_the_header_says_the_size_of_a_pixel(tmp_path, tags, size):
    assert read_header(file(tmp_path / "a.dcm", smooth(16), **tags)).pixel_spacing_mm == size


@pytest.mark.parametrize(
    ("tags", "size", "aspect"),
    [
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.07, 0.07]}, 0.07, 1),
        ({"PixelSpacing": [0.1, 0], "NominalScannedPixelSpacing": [0.05, 0.05]}, 0.05, 1),
        ({"PixelSpacing": [0.1, 0.05]}, 0.1, 0.5),
    ],
)
def test_spacing_that_says_nothing_is_passed_over_and_pixels_may_be_oblong(
    tmp_path, tags, size, aspect
):
    decoded = read_header(file(tmp_path / "a.dcm", smooth(16), **tags))
    assert (decoded.pixel_spacing_mm, decoded.pixel_aspect) == (size, aspect)


def test_a_slope_that_frames_share_and_the_window_of_a_frame_count(tmp_path):
    stored = smooth(16)
    shared = item(PixelValueTransformationSequence=[item(RescaleSlope=-1, RescaleIntercept=0)])
    path = file(tmp_path / "a.dcm", stored, SharedFunctionalGroupsSequence=[shared])
    np.testing.assert_array_equal(read_pixels(path), 65535 - stored)
    windows = [
        item(FrameVOILUTSequence=[item(WindowCenter=centre, WindowWidth=10_000)])
        for centre in (5_000, 30_000, 60_000)
    ]
    path = file(
        tmp_path / "b.dcm",
        np.stack([stored] * 3),
        Rows=24,
        Columns=20,
        NumberOfFrames=3,
        PerFrameFunctionalGroupsSequence=windows,
    )
    levels = read_pixels(path)
    assert (levels[stored < 25_000] == 0).all()
    assert (levels[stored > 35_000] == 65535).all()


@pytest.mark.parametrize("begin", [128, 132])
def test_a_file_without_preamble_is_read(tmp_path, begin):
    stored = smooth(16)
    path = file(tmp_path / "a.dcm", stored)
    content = path.read_bytes()
    if begin == 128:  # without meta data either
        begin = 144 + int.from_bytes(content[140:144], "little")
    path.write_bytes(content[begin:])
    np.testing.assert_array_equal(read_pixels(path), stored)


def test_a_compressed_file_that_breaks_off_is_truncated_unless_only_its_end_mark_is_missing(
    tmp_path,
):
    stored = smooth(16)
    path = file(tmp_path / "a.dcm", stored)
    data = pydicom.dcmread(path)
    data.compress(pydicom.uid.RLELossless, encoding_plugin="pydicom")
    data.save_as(path)
    content = path.read_bytes()
    path.write_bytes(content[:-8])
    np.testing.assert_array_equal(read_pixels(path), stored)
    for keep in (-40, len(content) - 200):
        path.write_bytes(content[:keep])
        with pytest.raises(DataError, match=r"a\.dcm: the file is truncated: \d+ bytes"):
            read_pixels(path)


def test_frames_share_side_and_size_of_a_pixel(tmp_path):
    shared = item(
        PixelMeasuresSequence=[item(PixelSpacing=[0.09, 0.09])],
        FrameAnatomySequence=[item(FrameLaterality="L")],
    )
    path = file(tmp_path / "a.dcm", smooth(16), SharedFunctionalGroupsSequence=[shared])
    assert (read_header(path).side, read_header(path).pixel_spacing_mm) == ("L", 0.09)


def test_a_mask_is_read_as_it_is_stored(tmp_path):
    mask = np.zeros((24, 20), dtype=np.uint8)
    mask[5:9, 4:8] = 1
    path = file(tmp_path / "a.dcm", mask, WindowCenter=200, WindowWidth=10)
    np.testing.assert_array_equal(read_mask(path, 24, 20), mask > 0)
