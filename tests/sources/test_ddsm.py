"""DDSM: sets in its layout, outlines against independent walks, and every way to be broken."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from second_look.decoding.ljpeg import encode
from second_look.decoding.masks import read_mask
from second_look.decoding.pixels import read_header, read_pixels
from second_look.errors import DataError, MissingDataError
from second_look.phantoms.ddsm import outline_of, write_ddsm_layout
from second_look.phantoms.phantom import PhantomSettings, draw_image, plan_patient
from second_look.sources.ddsm import read_ddsm

ROWS, COLS = 60, 40
# Its seed gives every class, both kinds, and breasts with two lesions of different pathology.
SMALL = PhantomSettings(patients=6, rows=256, cols=208, seed=8, bits=12)
BOX = ["row_min", "col_min", "row_max", "col_max"]
# A square of 5 x 5 px whose upper left pixel is x = 10, y = 20: right, down, left, up.
SQUARE = "10 20 2 2 2 2 4 4 4 4 6 6 6 6 0 0 0 0 #"


def overlay(
    *lesions, total=None, kind="MASS SHAPE OVAL MARGINS N/A", pathology="BENIGN", outline=SQUARE
):
    """An overlay; without `lesions` it has one, made of the other arguments."""
    blocks = lesions or [
        f"LESION_TYPE {kind}\nASSESSMENT 3\nSUBTLETY 5\nPATHOLOGY {pathology}\n"
        f"TOTAL_OUTLINES 1\nBOUNDARY\n{outline}\n"
    ]
    text = "".join(f"ABNORMALITY {n}\n{block}" for n, block in enumerate(blocks, start=1))
    return f"TOTAL_ABNORMALITIES {total or len(blocks)}\n{text}"


def write_case(root, name="A_0002_1", volume="cancers/cancer_01", views=None, **options):
    """A case in its folder; views are {name: overlay text or ""}."""
    if views is None:
        views = {"LEFT_CC": overlay(), "RIGHT_CC": ""}
    folder = root / volume / f"case{name.split('_')[1]}"
    folder.mkdir(parents=True, exist_ok=True)
    lines = options.pop("lines", "")
    for view, text in views.items():
        pixels = np.random.default_rng(3).integers(0, 4096, (ROWS, COLS), dtype=np.uint16)
        (folder / f"{name}.{view}.LJPEG").write_bytes(encode(pixels))
        lines += (
            f"{view} LINES {ROWS} PIXELS_PER_LINE {COLS} BITS_PER_PIXEL 12 RESOLUTION 43.5 "
            f"{'OVERLAY' if text else 'NON_OVERLAY'}\n"
        )
        if text:
            (folder / f"{name}.{view}.OVERLAY").write_text(text)
    head = {"filename": name.replace("_", "-"), "DENSITY": "3", "DIGITIZER": "DBA 21"} | options
    start = "".join(f"{word} {value}\n" for word, value in head.items())
    (folder / f"{name.replace('_', '-')}.ics").write_text(
        f"ics_version 1.0\nDATE_OF_STUDY 2 7 1995\nPATIENT_AGE \nFILM \n{start}SEQUENCE\n{lines}"
    )
    return folder


def only_row(catalogue):
    assert len(catalogue.quarantine) == 1, catalogue.quarantine.to_string()
    return catalogue.quarantine.iloc[0]


class TestReading:
    def test_a_case_becomes_images_and_lesions(self, tmp_path):
        folder = write_case(tmp_path / "d")
        result = read_ddsm(tmp_path, tmp_path / "cache")
        images = result.images.set_index("image_id")
        assert list(images.index) == ["A_0002_1.LEFT_CC", "A_0002_1.RIGHT_CC"]
        assert list(images["label"]) == ["benign", "normal"]
        assert list(images["laterality"]) == ["L", "R"]
        row = images.loc["A_0002_1.LEFT_CC"]
        assert (row["patient_id"], row["view"], row["density"]) == ("A_0002", "CC", "3")
        assert (row["rows"], row["cols"], row["bits"]) == (ROWS, COLS, 12)
        assert row["pixel_spacing_mm"] == 0.0435
        assert row["path"] == str(folder / "A_0002_1.LEFT_CC.LJPEG")
        assert read_pixels(Path(row["path"])).shape == (ROWS, COLS)
        lesion = result.lesions.iloc[0]
        assert [lesion[name] for name in BOX] == [20, 10, 25, 15]
        assert (lesion["area_px"], lesion["assessment"], lesion["subtlety"]) == (25, 3, 5)
        square = np.zeros((ROWS, COLS), dtype=bool)
        square[20:25, 10:15] = True
        np.testing.assert_array_equal(read_mask(Path(lesion["mask_path"]), ROWS, COLS), square)
        assert result.quarantine.empty

    def test_reads_back_what_was_planted(self, tmp_path):
        write_ddsm_layout(tmp_path / "d", SMALL)
        result = read_ddsm(tmp_path / "d", tmp_path / "cache")
        assert len(result.images) == 4 * SMALL.patients
        assert result.quarantine.empty
        images = result.images.set_index("image_id")
        planted = 0
        for patient in range(SMALL.patients):
            for breast in plan_patient(SMALL, patient):
                for view in ("CC", "MLO"):
                    side = {"L": "LEFT", "R": "RIGHT"}[breast.laterality]
                    image_id = f"B_{patient + 1:04d}_1.{side}_{view}"
                    image = draw_image(SMALL, breast, view)
                    pixels = read_pixels(Path(images.loc[image_id, "path"]))
                    np.testing.assert_array_equal(pixels, image.pixels)
                    lesions = result.lesions_of(image_id)
                    for row, lesion in zip(lesions.itertuples(), image.lesions, strict=True):
                        mask = read_mask(Path(row.mask_path), SMALL.rows, SMALL.cols)
                        np.testing.assert_array_equal(mask, outline_of(lesion)[1])
                        overlap = (mask & lesion.mask).sum() / (mask | lesion.mask).sum()
                        assert overlap > 0.9
                        assert row.pathology == lesion.plan.pathology
                        assert row.kind == lesion.plan.kind
                        planted += 1
        assert planted == len(result.lesions) > 0
        assert set(images["label"]) == {
            "normal",
            "benign",
            "benign_without_callback",
            "malignant",
        }

    def test_masks_are_drawn_once_and_anew_when_the_outline_changes(self, tmp_path):
        write_case(tmp_path / "d")
        first = Path(read_ddsm(tmp_path, tmp_path / "c").lesions.loc[0, "mask_path"])
        first_mtime_ns = first.stat().st_mtime_ns
        assert read_ddsm(tmp_path, tmp_path / "c").lesions.loc[0, "mask_path"] == str(first)
        assert first.stat().st_mtime_ns == first_mtime_ns
        write_case(tmp_path / "d", views={"LEFT_CC": overlay(outline="1 1 2 4 6 0 #")})
        second = read_ddsm(tmp_path, tmp_path / "c").lesions.loc[0, "mask_path"]
        assert second != str(first)
        assert read_mask(Path(second), ROWS, COLS).sum() == 4

    def test_kinds_cores_and_the_worst_lesion(self, tmp_path):
        calcification = "CALCIFICATION TYPE FINE_LINEAR_BRANCHING DISTRIBUTION LINEAR"
        lesions = [
            f"LESION_TYPE {kind}\nASSESSMENT 4\nSUBTLETY 2\nPATHOLOGY {pathology}\n"
            f"TOTAL_OUTLINES 2\nBOUNDARY\n{SQUARE}\n\tCORE\n12 22 2 4 6 0 #\n"
            for kind, pathology in [
                (
                    f"{calcification}\nLESION_TYPE MASS SHAPE OVAL MARGINS N/A",
                    "BENIGN_WITHOUT_CALLBACK",
                ),
                ("MASS SHAPE ARCHITECTURAL_DISTORTION MARGINS N/A", "MALIGNANT"),
                ("OTHER", "BENIGN"),
            ]
        ]
        write_case(tmp_path, views={"LEFT_CC": overlay(*lesions)})
        result = read_ddsm(tmp_path, tmp_path / "c")
        assert list(result.lesions["kind"]) == ["calcification", "mass", "other"]
        assert list(result.lesions["pathology"]) == [
            "benign_without_callback",
            "malignant",
            "benign",
        ]
        assert result.images.loc[0, "label"] == "malignant"
        assert result.quarantine.empty

    def test_numbers_repeat_across_volumes_but_not_with_their_letter(self, tmp_path):
        write_case(tmp_path, "A_0002_1", "cancers/cancer_01")
        write_case(tmp_path, "B_0002_1", "benigns/benign_01")
        result = read_ddsm(tmp_path, tmp_path / "c")
        assert sorted(result.images["patient_id"].unique()) == ["A_0002", "B_0002"]
        assert len(result.images) == 4


class TestNormals:
    """A film is normal only where that is known."""

    def labels(self, tmp_path, volume, views):
        write_case(tmp_path, volume=volume, views=views)
        result = read_ddsm(tmp_path, tmp_path / "c")
        return dict(zip(result.images["image_id"].str[9:], result.images["label"], strict=True)), [
            (row.image_id[9:], row.effect, row.reason) for row in result.quarantine.itertuples()
        ]

    @pytest.mark.parametrize("volume", ["normals/normal_01", "normal_12", "Normals"])
    def test_a_case_of_a_normals_volume(self, tmp_path, volume):
        labels, problems = self.labels(tmp_path, volume, {"LEFT_CC": "", "RIGHT_MLO": ""})
        assert labels == {"LEFT_CC": "normal", "RIGHT_MLO": "normal"}
        assert problems == []

    @pytest.mark.parametrize("volume", ["cancers/cancer_01", "abnormal", "normalised/set"])
    def test_a_case_without_outlines_elsewhere(self, tmp_path, volume):
        labels, problems = self.labels(tmp_path, volume, {"LEFT_CC": "", "RIGHT_MLO": ""})
        assert labels == {}
        assert [problem[:2] for problem in problems] == [
            ("LEFT_CC", "image left out"),
            ("RIGHT_MLO", "image left out"),
        ]
        assert all("no volume of normal cases" in problem[2] for problem in problems)

    def test_the_other_view_of_a_breast_with_a_lesion(self, tmp_path):
        views = {"LEFT_CC": overlay(), "LEFT_MLO": "", "RIGHT_CC": "", "RIGHT_MLO": ""}
        labels, problems = self.labels(tmp_path, "cancers/cancer_01", views)
        assert labels == {"LEFT_CC": "benign", "RIGHT_CC": "normal", "RIGHT_MLO": "normal"}
        [(name, effect, reason)] = problems
        assert (name, effect) == ("LEFT_MLO", "image left out")
        assert "only the other view of this breast has outlines" in reason

    def test_a_missing_overlay_does_not_make_a_film_normal(self, tmp_path):
        folder = write_case(tmp_path)
        (folder / "A_0002_1.LEFT_CC.OVERLAY").unlink()
        result = read_ddsm(tmp_path, tmp_path / "c")
        assert list(result.images["image_id"]) == ["A_0002_1.RIGHT_CC"]
        row = only_row(result)
        assert (row["effect"], row["image_id"]) == ("image left out", "A_0002_1.LEFT_CC")
        assert "label is unknown: the file is not there" in row["reason"]

    def test_outlines_that_the_ics_does_not_know_count(self, tmp_path):
        folder = write_case(tmp_path, volume="normals/normal_01")
        ics = folder / "A-0002-1.ics"
        ics.write_text(ics.read_text().replace(" OVERLAY", " NON_OVERLAY"))
        result = read_ddsm(tmp_path, tmp_path / "c")
        assert list(result.images["label"]) == ["benign", "normal"]
        assert only_row(result)["effect"] == "kept, corrected"

    def test_an_unproven_lesion_gives_no_label(self, tmp_path):
        labels, problems = self.labels(
            tmp_path,
            "benigns/benign_01",
            {"LEFT_CC": overlay(pathology="UNPROVEN"), "RIGHT_CC": ""},
        )
        assert labels == {"RIGHT_CC": "normal"}
        assert problems == [
            ("LEFT_CC", "image left out", "the label is unknown: a lesion is unproven")
        ]


class TestOpticalDensity:
    """Films of different scanners on one scale."""

    def read(self, root, **options):
        return read_ddsm(root, root / "c", optical_density=True, **options)

    def test_levels_are_linear_in_the_published_density(self, tmp_path):
        folder = write_case(tmp_path)
        stored = read_pixels(folder / "A_0002_1.LEFT_CC.LJPEG").astype(float)
        image = self.read(tmp_path).images.iloc[0]
        assert image["bits"] == 16
        # The DBA at MGH: log10 of the level is 4.80662 - 1.07553 density.
        density = (4.80662 - np.log10(stored.clip(1))) / 1.07553
        expected = 65535 * (1 - density.clip(0) / 4.5)
        result = read_pixels(Path(image["path"]))
        np.testing.assert_allclose(result, expected, atol=0.51)

    def test_the_same_film_on_two_scanners_gives_the_same_levels(self, tmp_path):
        density = np.random.default_rng(0).uniform(0.5, 2.5, (ROWS, COLS))
        scans = {
            "A_0002_1": ("DBA 21", 10 ** (4.80662 - 1.07553 * density)),
            "B_0003_1": ("LUMISYS", 4096.99 - 1009.01 * density),
        }
        for name, (digitizer, levels) in scans.items():
            folder = write_case(tmp_path, name, DIGITIZER=digitizer)
            bits = 16 if digitizer.startswith("DBA") else 12
            ics = next(folder.glob("*.ics"))
            ics.write_text(ics.read_text().replace("PIXEL 12", f"PIXEL {bits}"))
            film = encode(np.rint(levels).astype(np.uint16))
            (folder / f"{name}.LEFT_CC.LJPEG").write_bytes(film)
        result = self.read(tmp_path)
        assert result.quarantine.empty
        outlined = result.images[result.images["image_id"].str.endswith("LEFT_CC")]
        a, b = (read_pixels(Path(path)).astype(float) for path in outlined["path"])
        # Half a level is 0.0005 of density on the Lumisys, and 0.0016 at 2.5 on the DBA.
        assert np.abs(a - b).max() < 65535 * 0.0025 / 4.5

    def test_a_film_is_written_once_and_anew_when_it_changes(self, tmp_path):
        path = write_case(tmp_path) / "A_0002_1.LEFT_CC.LJPEG"
        first = Path(self.read(tmp_path).images.loc[0, "path"])
        first_mtime_ns = first.stat().st_mtime_ns
        assert Path(self.read(tmp_path).images.loc[0, "path"]) == first
        assert first.stat().st_mtime_ns == first_mtime_ns
        path.write_bytes(encode(np.full((ROWS, COLS), 7, np.uint16)))
        assert Path(self.read(tmp_path).images.loc[0, "path"]) != first

    def test_a_film_that_disappears_on_the_way_is_left_out(self, tmp_path, monkeypatch):
        path = write_case(tmp_path) / "A_0002_1.LEFT_CC.LJPEG"

        def gone(film):
            header = read_header(film)
            if film == path:
                film.unlink()
            return header

        monkeypatch.setattr("second_look.sources.ddsm.read_header", gone)
        row = only_row(self.read(tmp_path))
        assert row["effect"] == "image left out"
        assert "not there" in row["reason"]

    def test_a_scanner_that_nobody_calibrated_is_named(self, tmp_path):
        write_case(tmp_path, DIGITIZER="LUMISYS")
        result = self.read(tmp_path)
        assert result.images.empty
        assert "no calibration for 'LUMISYS' at 'MGH'" in result.quarantine.iloc[0]["reason"]


class TestBroken:
    """Files as they are found; each problem is named, and an error where strict."""

    def check(self, root, effect, reason, left):
        result = read_ddsm(root, root / "c")
        row = result.quarantine.iloc[0]
        assert row["effect"] == effect
        assert reason in row["reason"]
        assert [name[9:] for name in result.images["image_id"]] == left
        with pytest.raises(DataError) as error:
            read_ddsm(root, root / "c", strict=True)
        assert reason in str(error.value)
        assert "0002" in str(error.value)
        return result

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (lambda good: good[:30], "cannot be decoded|truncated"),
            (lambda good: b"", "an empty file"),
            (lambda good: None, "not there"),
            (lambda good: encode(np.ones((ROWS, COLS - 1), np.uint16)), "the film 60 x 39"),
            (lambda good: encode(np.ones((ROWS, COLS), np.uint8)), "12 bits, the film 8"),
        ],
        ids=["stub", "empty", "missing", "narrow", "shallow"],
    )
    def test_a_film_that_cannot_be_used(self, tmp_path, content, reason):
        path = write_case(tmp_path) / "A_0002_1.LEFT_CC.LJPEG"
        new = content(path.read_bytes())
        path.unlink() if new is None else path.write_bytes(new)
        result = read_ddsm(tmp_path, tmp_path / "c")
        row = only_row(result)
        assert row["effect"] == "image left out"
        assert any(words in row["reason"] for words in reason.split("|"))
        assert [name[9:] for name in result.images["image_id"]] == ["RIGHT_CC"]
        assert result.lesions.empty

    def test_a_film_whose_rows_and_columns_are_exchanged_is_put_in_order(self, tmp_path):
        path = write_case(tmp_path) / "A_0002_1.LEFT_CC.LJPEG"
        pixels = read_pixels(path)
        path.write_bytes(encode(pixels.reshape(COLS, ROWS)))
        result = read_ddsm(tmp_path, tmp_path / "c")
        row = only_row(result)
        assert row["effect"] == "kept, corrected"
        assert "the .ics says 60 x 40 px, the film 40 x 60" in row["reason"]
        image = result.images.iloc[0]
        assert (image["rows"], image["cols"], image["bits"]) == (ROWS, COLS, 12)
        np.testing.assert_array_equal(read_pixels(Path(image["path"])), pixels)
        assert len(result.lesions) == 1

    def test_an_exchanged_film_that_is_truncated_is_left_out(self, tmp_path):
        path = write_case(tmp_path) / "A_0002_1.LEFT_CC.LJPEG"
        path.write_bytes(encode(read_pixels(path).reshape(COLS, ROWS))[:-200])
        row = only_row(read_ddsm(tmp_path, tmp_path / "c"))
        assert row["effect"] == "image left out"
        assert "truncated" in row["reason"]

    def test_a_truncated_film_is_told_when_it_is_decoded(self, tmp_path):
        path = write_case(tmp_path) / "A_0002_1.LEFT_CC.LJPEG"
        path.write_bytes(path.read_bytes()[:-200])
        result = read_ddsm(tmp_path, tmp_path / "c")
        with pytest.raises(DataError, match=r"A_0002_1.LEFT_CC.LJPEG: .*truncated"):
            read_pixels(Path(result.images.loc[0, "path"]))

    @pytest.mark.parametrize(
        ("outline", "reason"),
        [
            (SQUARE[:-2], "does not end with #"),
            ("", "there is no BOUNDARY"),
            ("10 #", "no x, y and at least three steps"),
            ("10 20 2 x 4 #", "no x, y and at least three steps"),
            ("10 20 2 8 4 #", "steps from 0 to 7"),
            ("99999 20 2 4 6 0 #", "steps from 0 to 7 from a pixel"),
            (f"10 20 {'2 ' * 70}#", "leaves the film of 60 x 40 px by 41 px"),
            ("45 20 2 4 6 0 #", "lies outside of the film"),
        ],
    )
    def test_an_outline_that_cannot_be_used(self, tmp_path, outline, reason):
        word = "BOUNDARY\n" if outline else ""
        text = overlay(outline=outline).replace("BOUNDARY\n", word)
        write_case(tmp_path, views={"LEFT_CC": text, "RIGHT_CC": ""})
        if not outline:
            text = text.replace("TOTAL_OUTLINES 1", "TOTAL_OUTLINES 0")
            write_case(tmp_path, views={"LEFT_CC": text, "RIGHT_CC": ""})
        result = self.check(tmp_path, "location unknown", reason, ["LEFT_CC", "RIGHT_CC"])
        assert result.lesions.loc[0, BOX].isna().all()
        assert result.lesions.loc[0, "mask_path"] == ""
        assert result.images.loc[0, "label"] == "benign"
        row = only_row(result)
        assert (row["lesion_id"], row["row"]) == ("A_0002_1.LEFT_CC_1", "abnormality 1")

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (overlay(outline="30 20 2 2 2 2 2 2 2 2 2 2 2 2 4 6 #"), "leaves the film by 3 px"),
            (overlay(outline="10 20 2 2 2 2 4 4 4 4 #"), "ends of the outline are 4 px apart"),
            (overlay().replace("OUTLINES 1", "OUTLINES 3"), "TOTAL_OUTLINES is 3"),
            (
                overlay().replace("ASSESSMENT 3", "ASSESSMENT"),
                "ASSESSMENT from 0 to 6. Got nothing",
            ),
            (overlay().replace("SUBTLETY 5", "SUBTLETY 9"), "SUBTLETY from 0 to 5. Got 9"),
        ],
    )
    def test_what_can_be_mended_is_kept_and_told(self, tmp_path, text, reason):
        write_case(tmp_path, views={"LEFT_CC": text, "RIGHT_CC": ""})
        result = self.check(tmp_path, "kept, corrected", reason, ["LEFT_CC", "RIGHT_CC"])
        lesion = result.lesions.iloc[0]
        assert lesion[BOX].notna().all()
        assert lesion["col_max"] <= COLS
        assert read_mask(Path(lesion["mask_path"]), ROWS, COLS).sum() == lesion["area_px"]
        assert (str(lesion["assessment"]) == "<NA>") == ("ASSESSMENT" in reason)
        assert (str(lesion["subtlety"]) == "<NA>") == ("SUBTLETY" in reason)

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (overlay(total=2), "TOTAL_ABNORMALITIES is 2, the file describes 1"),
            (overlay()[:60], "expected a PATHOLOGY"),
            (overlay(pathology="CANCER"), "Got 'CANCER'"),
            (overlay().replace("LESION_TYPE MASS", "TYPE MASS"), "expected a LESION_TYPE"),
            (overlay().partition("\n")[2], "TOTAL_ABNORMALITIES is missing"),
            ("PATHOLOGY BENIGN\n", "expected ABNORMALITY before PATHOLOGY"),
            ("something else\n", "expected TOTAL_ABNORMALITIES"),
            ("\n", "expected TOTAL_ABNORMALITIES"),
        ],
    )
    def test_an_overlay_without_a_label_costs_the_image(self, tmp_path, text, reason):
        write_case(tmp_path, views={"LEFT_CC": text, "RIGHT_CC": ""})
        self.check(tmp_path, "image left out", reason, ["RIGHT_CC"])

    @pytest.mark.parametrize(
        ("head", "reason"),
        [
            ({"lines": "CONDITION GOOD\n"}, "unknown word 'CONDITION'"),
            ({"DENSITY": "9"}, "expected a density of 1 to 4. Got '9'"),
            ({"lines": "LEFT_MLO LINES many\n"}, "expected lines, pixels, bits"),
            (
                {
                    "lines": "LEFT_MLO LINES 9 PIXELS_PER_LINE 9 BITS_PER_PIXEL 17 RESOLUTION 50 "
                    "OVERLAY\n"
                },
                "1 to 16 bits",
            ),
        ],
    )
    def test_a_line_of_the_ics_that_cannot_be_used(self, tmp_path, head, reason):
        write_case(tmp_path, **head)
        result = self.check(tmp_path, "kept, corrected", reason, ["LEFT_CC", "RIGHT_CC"])
        assert only_row(result)["row"] in ("", "line 9")

    def test_a_film_without_its_line_is_told(self, tmp_path):
        folder = write_case(tmp_path)
        ics = folder / "A-0002-1.ics"
        ics.write_text(ics.read_text().replace("RIGHT_CC LINES", "RIHGT_CC LINES"))
        result = self.check(tmp_path, "kept, corrected", "unknown word 'RIHGT_CC'", ["LEFT_CC"])
        stray = result.quarantine.iloc[1]
        assert (stray["effect"], stray["image_id"]) == ("image left out", "A_0002_1.RIGHT_CC")
        assert stray["reason"] == "no usable .ics in this folder describes the file"

    @pytest.mark.parametrize(
        ("old", "new", "reason"),
        [
            ("filename A-0002-1", "filename A-0003-1", "expected the case 'A_0002_1'"),
            ("filename A-0002-1", "", "expected the case 'A_0002_1'. Got ''"),
            ("_CC LINES", "_XX LINES", "no view is described"),
        ],
    )
    def test_an_ics_that_cannot_be_used(self, tmp_path, old, new, reason):
        folder = write_case(tmp_path)
        ics = folder / "A-0002-1.ics"
        ics.write_text(ics.read_text().replace(old, new))
        result = self.check(tmp_path, "image left out", reason, [])
        # The .ics, its two films and the outlines.
        assert list(result.quarantine["effect"]) == ["image left out"] * 3 + ["lesion left out"]

    def test_a_folder_without_its_ics_and_outlines_of_another_case(self, tmp_path):
        complete = write_case(tmp_path)
        second_case = write_case(tmp_path, "A_0007_1")
        (second_case / "A-0007-1.ics").unlink()
        shutil.copy(complete / "A_0002_1.LEFT_CC.OVERLAY", complete / "A_1045_1.LEFT_CC.OVERLAY")
        result = read_ddsm(tmp_path, tmp_path / "c")
        assert len(result.images) == 2
        effects = {Path(row.file).name: row.effect for row in result.quarantine.itertuples()}
        assert effects == {
            "A_0007_1.LEFT_CC.LJPEG": "image left out",
            "A_0007_1.RIGHT_CC.LJPEG": "image left out",
            "A_0007_1.LEFT_CC.OVERLAY": "lesion left out",
            "A_1045_1.LEFT_CC.OVERLAY": "lesion left out",
        }

    def test_a_case_that_stands_there_twice_counts_once(self, tmp_path):
        write_case(tmp_path, volume="benigns/benign_01")
        write_case(tmp_path, volume="cancers/cancer_01")
        result = read_ddsm(tmp_path, tmp_path / "c")
        assert result.images["image_id"].is_unique
        assert result.images["path"].str.contains("benign_01").all()
        assert "benign_01" in result.quarantine.loc[0, "reason"]
        assert result.quarantine["file"].str.contains("cancer_01").all()

    def test_the_same_view_twice_and_no_data(self, tmp_path):
        line = (
            f"LEFT_CC LINES {ROWS} PIXELS_PER_LINE {COLS} BITS_PER_PIXEL 12 RESOLUTION 50 OVERLAY\n"
        )
        write_case(tmp_path, lines=line)
        result = self.check(tmp_path, "kept, corrected", "given twice", ["LEFT_CC", "RIGHT_CC"])
        assert result.images.loc[0, "pixel_spacing_mm"] == 0.05
        with pytest.raises(MissingDataError, match=r"normals/normal_01, from http"):
            read_ddsm(tmp_path / "c", tmp_path / "c")
