"""The files of DDSM one by one, and optical density against what was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from second_look.decoding.ljpeg import encode
from second_look.errors import DataError, MissingDataError
from second_look.sources.ddsm_formats import (
    SITES,
    case_name,
    optical_density,
    read_case,
    read_ljpeg,
    read_overlay,
)


class TestFormats:
    def test_a_case_is_called_alike_in_every_file_name(self):
        assert case_name(Path("A-0002-1.ics")) == "A_0002_1"
        assert case_name(Path("x/D_4070_1.LEFT_CC.LJPEG")) == "D_4070_1"
        assert case_name(Path("TAPE_B_3024_1.COMB.16_PGM")) == ""

    def test_the_words_of_the_published_example(self, tmp_path):
        path = tmp_path / "B-3024-1.ics"
        path.write_text(
            "ics_version 1.0\r\nfilename B-3024-1\r\nDATE_OF_STUDY 2 7 1995\r\nPATIENT_AGE 42\r\n"
            "FILM \r\nFILM_TYPE REGULAR\r\nDENSITY 4\r\nDATE_DIGITIZED 7 22 1997 \r\n"
            "DIGITIZER LUMISYS\r\nSELECTED\r\nLEFT_CC LINES 4696 PIXELS_PER_LINE 3024 "
            "BITS_PER_PIXEL 12 RESOLUTION 50 OVERLAY\r\n"
        )
        case = read_case(path)
        assert (case.patient, case.density, case.digitizer) == ("B_3024", "4", "LUMISYS")
        assert (case.views[0].rows, case.views[0].cols) == (4696, 3024)
        assert case.problems == ()

    def test_files_that_cannot_be_opened(self, tmp_path):
        with pytest.raises(MissingDataError, match="not there"):
            read_overlay(tmp_path / "none.OVERLAY")
        (tmp_path / "A-0001-1.ics").mkdir()
        with pytest.raises(DataError, match="not a file, but a folder"):
            read_case(tmp_path / "A-0001-1.ics")

    def test_a_film_takes_its_size_from_the_ics(self, tmp_path):
        pixels = np.random.default_rng(0).integers(0, 4096, (12, 20), dtype=np.uint16)
        path = tmp_path / "a.LJPEG"
        path.write_bytes(encode(pixels.reshape(20, 12).byteswap()))
        np.testing.assert_array_equal(read_ljpeg(path, 12, 20, 12), pixels)
        with pytest.raises(DataError, match=r"12 x 21 px, the film has 240 values"):
            read_ljpeg(path, 12, 21, 12)
        with pytest.raises(DataError, match=r"a.LJPEG: expected values below 1024"):
            read_ljpeg(path, 12, 20, 10)
        with pytest.raises(MissingDataError, match="not there"):
            read_ljpeg(tmp_path / "none", 12, 20, 12)


class TestOpticalDensity:
    # Step wedge of the page "Mapping Grey Levels to Optical Density for the DBA Scanner",
    # University of South Florida: measured density and mean grey level.
    WEDGE = (
        (0.34, 26986),
        (0.82, 8296),
        (1.28, 2603),
        (1.74, 847),
        (2.21, 271),
        (2.68, 94),
        (3.13, 34),
    )

    def test_dba_agrees_with_the_measured_wedge(self):
        density, grey = np.array(self.WEDGE).T
        densities = optical_density(grey, "DBA", "MGH")
        # The fit bends away from the wedge where the film is nearly black.
        assert np.abs(densities - density)[density < 2.5].max() < 0.02
        assert np.abs(densities - density).max() < 0.1

    @pytest.mark.parametrize(
        ("scanner", "offset", "slope"),
        [
            # Fits of the program heathusf, which the same authors published with DDSM.
            (("HOWTEK", "MGH"), 3.78928997845071, -0.00094568009377),
            (("LUMISYS", "WFU"), 4.05977749300340, -0.00099080941710),
            (("HOWTEK", "ISMD"), 3.96604095240593, -0.00099055807612),
        ],
    )
    def test_the_linear_scanners_agree_with_the_other_published_fit(self, scanner, offset, slope):
        grey = np.arange(100, 3500, 100).reshape(2, -1)
        densities = optical_density(grey, *scanner)
        np.testing.assert_allclose(densities, offset + slope * grey, atol=0.01)
        assert densities.shape == grey.shape

    def test_it_is_never_negative_nor_infinite_and_needs_a_known_scanner(self):
        for site in SITES.values():
            for digitizer in ("DBA", "HOWTEK", "LUMISYS"):
                calibrated = (digitizer, site) in {
                    ("DBA", "MGH"),
                    ("HOWTEK", "MGH"),
                    ("HOWTEK", "ISMD"),
                    ("LUMISYS", "WFU"),
                }
                if calibrated:
                    densities = optical_density([0, 1, 4095, 65535], digitizer, site)
                    assert np.isfinite(densities).all()
                    assert (densities >= 0).all()
                    assert (np.diff(densities) <= 0).all()
                else:
                    with pytest.raises(DataError, match="no calibration"):
                        optical_density([1], digitizer, site)
