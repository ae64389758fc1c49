"""Rows of the quarantine: codes, reasons, and errors instead of rows where strict."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.small_cbis import IMAGE, Roi, picture, write_dicom, write_set
from pydicom import dcmread
from second_look.catalogue import Catalogue, table
from second_look.decoding.pixels import write_pgm, write_png
from second_look.errors import DataError
from second_look.phantoms.ddsm import write_ddsm_layout
from second_look.phantoms.phantom import PhantomSettings
from second_look.quarantine import EFFECTS, QUARANTINE, Code, Quarantine
from second_look.sources.cbis_ddsm import read_cbis
from second_look.sources.ddsm import read_ddsm
from second_look.sources.folder import read_folder
from second_look.sources.mias import read_mias

PIXELS = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)


def faulty_mias(folder):
    write_pgm(folder / "mdb001.pgm", PIXELS)
    write_pgm(folder / "mdb002.pgm", PIXELS)
    write_pgm(folder / "mdb009.pgm", PIXELS)
    rows = ("mdb001 G CIRC B", "mdb001 G CIRC B 200 9 5", "mdb001 G NORM", "mdb001 G NORM",
            "mdb002 G BLOB B 20 10 5", "mdb002 G NORM", "mdb003 G NORM")  # fmt: skip
    (folder / "Info.txt").write_text("\n".join(rows) + "\n")
    return read_mias(folder, folder / "cache"), {
        Code.DESCRIPTION_REPEATED,
        Code.DESCRIPTION_UNUSABLE,
        Code.LABEL_UNKNOWN,
        Code.IMAGE_UNUSABLE,
        Code.DESCRIPTIONS_DIFFER,
        Code.LOCATION_NOT_GIVEN,
        Code.LOCATION_UNUSABLE,
        Code.FILE_UNDESCRIBED,
    }


def faulty_cbis(folder):
    rois = [Roi("P_1"), Roi("P_2", pathology="UNPROVEN"), Roi("P_3", density="0"), Roi("P_4")]
    root = write_set(folder / "raw", *rois)
    write_dicom(root / "P_9.dcm", "1.2.3", "1.2.3.1", picture(IMAGE, 16), "P_9")
    for series in (rois[3].image, rois[2].mask):
        removed = [
            path for path in root.rglob("*.dcm") if dcmread(path).SeriesInstanceUID == series
        ]
        for path in removed:
            path.unlink()
    return read_cbis(root, folder / "cache"), {
        Code.DESCRIPTION_UNUSABLE,
        Code.VALUE_UNKNOWN,
        Code.IMAGE_MISSING,
        Code.MASK_MISSING,
        Code.FILE_UNDESCRIBED,
    }


def faulty_ddsm(folder):
    settings = PhantomSettings(patients=4, rows=256, cols=208, seed=5)
    write_ddsm_layout(folder / "normals" / "normal_01", settings)
    overlay, *_ = sorted(folder.rglob("*.OVERLAY"))
    overlay.write_text("TOTAL_ABNORMALITIES 7\n")
    films = sorted(folder.rglob("*.LJPEG"))
    films[-1].write_bytes(films[-1].read_bytes()[:-40])
    films[0].rename(films[0].with_name("A_9999_1.LEFT_CC.LJPEG"))
    return read_ddsm(folder, folder / "cache"), {
        Code.LABEL_UNKNOWN,
        Code.FILE_UNDESCRIBED,
        Code.IMAGE_UNUSABLE,
    }


def faulty_folder(folder):
    for name in "abcdef":  # a file with two ids is one image
        write_png(folder / f"{name}.png", PIXELS)
    write_png(folder / "mask.png", PIXELS[:40, :30])
    (folder / "t.csv").write_text(
        "image_id,path,patient,label,mask,boxes,side\n"
        '1,a.png,p,benign,,"1,2,800,9",\n1,b.png,p,benign,,,\n'
        "2,c.png,p,benign,mask.png,,\n2,c.png,p,benign,no.png,,\n2,c.png,p,benign,no.png,,\n"
        "3,none.png,p,normal,,,\n4,d.png,p,odd,,,\n5,t.csv,p,normal,,,\n6,e.png,,normal,,,\n"
        "7,f.png,p,normal,,,top\n"
    )
    return read_folder(folder / "t.csv", folder, dataset="folder"), {
        Code.LOCATION_UNUSABLE,
        Code.DESCRIPTIONS_DIFFER,
        Code.DESCRIPTION_REPEATED,
        Code.DESCRIPTION_UNUSABLE,
        Code.IMAGE_MISSING,
        Code.IMAGE_UNUSABLE,
        Code.LABEL_UNKNOWN,
        Code.MASK_MISSING,
        Code.MASK_RESAMPLED,
        Code.VALUE_UNKNOWN,
    }


@pytest.mark.parametrize("read", [faulty_mias, faulty_cbis, faulty_ddsm, faulty_folder])
def test_every_row_of_every_reader_has_a_known_code(read, tmp_path):
    catalogue, expected = read(tmp_path)
    codes = catalogue.quarantine["code"]
    assert set(codes) <= set(Code)
    assert set(codes) == expected


def test_a_row_says_what_is_wrong_and_where():
    quarantine = Quarantine("set")
    quarantine.add(
        Code.MASK_RESAMPLED, "8 x 8", effect=EFFECTS[3], file="t.csv", row="line 2", image_id="a"
    )
    rows = table(QUARANTINE, quarantine.rows)
    assert rows.to_dict("records") == [
        {
            "dataset": "set",
            "image_id": "a",
            "lesion_id": "",
            "file": "t.csv",
            "row": "line 2",
            "effect": "kept, corrected",
            "code": "mask_resampled",
            "reason": "8 x 8",
        }
    ]
    assert {type(value) for value in quarantine.rows[0].values()} == {str}


def test_strict_raises_instead():
    quarantine = Quarantine("set", strict=True)
    with pytest.raises(DataError, match=r"t\.csv line 2: 8 x 8 Correct it, or run without strict"):
        quarantine.add(Code.MASK_RESAMPLED, "8 x 8", effect=EFFECTS[3], file="t.csv", row="line 2")
    assert quarantine.rows == []


def test_codes_are_explained_and_unique():
    assert len({code.text for code in Code}) == len(Code)
    assert all(code.value == code.name.lower() for code in Code)


def test_an_unknown_code_is_refused():
    row = {"dataset": "d", "effect": EFFECTS[0], "code": "broken", "reason": "x"}
    with pytest.raises(DataError, match=r"table quarantine: column code: .* for 'broken' in row 0"):
        Catalogue.from_rows([], [], [row])
