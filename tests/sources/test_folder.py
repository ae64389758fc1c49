"""The user's own folder: tables as people write them, and every way they go wrong."""

from __future__ import annotations

import csv

import numpy as np
import openpyxl
import pytest
from helpers.real_cbis import read_cbis_masses
from helpers.small_dicom import file
from pydicom.dataset import Dataset
from second_look.catalogue import check_no_patient_leak
from second_look.decoding.pixels import write_png
from second_look.errors import DataError, LostRowsError, MissingDataError
from second_look.sources.folder import read_folder, write_folder_csv

BOX = ["row_min", "col_min", "row_max", "col_max"]


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        write_png(tmp_path / f"{name}.png", rng.integers(0, 4000, (40, 40), dtype=np.uint16))
    mask = np.zeros((40, 40), dtype=np.uint8)
    mask[5:10, 5:10] = 255
    write_png(tmp_path / "mask.png", mask)
    return tmp_path


def read(folder, text, encoding="utf-8", **options):
    (folder / "t.csv").write_bytes(text.encode(encoding))
    return read_folder(folder / "t.csv", folder, dataset="own", **options)


def test_the_three_required_columns_are_enough(folder):
    catalogue = read(folder, "path,patient,label\na.png,p1,Benign\nb.png,p2,normal\n")
    assert list(catalogue.images["image_id"]) == ["a", "b"]
    assert list(catalogue.images["label"]) == ["benign", "normal"]
    assert catalogue.images.loc[0, ["rows", "cols"]].tolist() == [40, 40]
    assert catalogue.images.loc[0, "bits"] == 0  # a PNG of 16 bits does not say how many it uses
    assert catalogue.lesions[BOX].isna().all(axis=None)
    assert catalogue.lesions.loc[0, "kind"] == "mass"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_tables_as_spreadsheets_write_them(folder, encoding, newline, delimiter):
    lines = [["path", "patient", "label", "side"], ["a.png", "p1", "malignant", "LEFT"]]
    text = newline.join(delimiter.join(line) for line in lines) + newline
    catalogue = read(folder, text, encoding)
    assert catalogue.images.loc[0, "laterality"] == "L"
    assert catalogue.images.loc[0, "label"] == "malignant"


def test_several_lesions_stand_in_one_row(folder):
    catalogue = read(
        folder,
        "path,patient,label,boxes,assessment,subtlety,mask,kind\n"
        'a.png,p,BENIGN|benign-without-callback|MALIGNANT,"1,2,3,4;5,6,7,8;9,10,11,12",'
        "2|3|5,1|2|3,mask.png,mass|calcification|asymmetry\n",
    )
    assert catalogue.images.loc[0, "label"] == "malignant"
    assert list(catalogue.lesions["pathology"]) == [
        "benign",
        "benign_without_callback",
        "malignant",
    ]
    assert list(catalogue.lesions["kind"]) == ["mass", "calcification", "asymmetry"]
    assert catalogue.lesions[BOX].to_numpy().tolist()[1] == [5, 6, 7, 8]
    assert list(catalogue.lesions["assessment"]) == [2, 3, 5]
    assert set(catalogue.lesions["mask_path"]) == {str(folder.resolve() / "mask.png")}


def test_one_row_a_lesion_is_merged_into_one_image(folder):
    catalogue = read(
        folder,
        "path,patient,label,boxes\n"
        'a.png,p,benign,"1,1,5,5"\na.png,p,malignant,"6,6,9,9"\nb.png,p,normal,\n',
    )
    assert list(catalogue.images["label"]) == ["malignant", "normal"]
    assert list(catalogue.lesions["lesion_id"]) == ["a_1", "a_2"]


def test_stretched_pixels_become_square(folder):
    catalogue = read(
        folder,
        'path,patient,label,boxes,aspect\na.png,p,benign,"10,20,6,8",0.5\n',
        box_format="xywh",
    )
    assert catalogue.images.loc[0, ["rows", "cols"]].tolist() == [40, 20]
    # x 10 to 16 of 40 columns is 5 to 8 of 20; rows stay as they are.
    assert catalogue.lesions.loc[0, BOX].tolist() == [20, 5, 28, 8]


def test_a_box_a_pixel_over_the_edge_is_cut(folder):
    catalogue = read(folder, 'path,patient,label,boxes\na.png,p,benign,"30.5,30,40.9,41"\n')
    assert catalogue.lesions.loc[0, BOX].tolist() == [30.5, 30, 40, 40]
    assert catalogue.quarantine.empty


@pytest.mark.parametrize("box", ["1,2,3", "a,b,c,d", "30,30,45,45", "9,9,9,12", "nan,1,2,3"])
def test_a_lesion_with_a_useless_box_has_no_place(folder, box):
    catalogue = read(folder, f'path,patient,label,boxes\na.png,p,benign,"{box}"\n')
    assert catalogue.lesions[BOX].isna().all(axis=None)
    row = catalogue.quarantine.iloc[0]
    assert (row["effect"], row["row"], row["lesion_id"]) == ("location unknown", "line 2", "a_1")
    assert "box" in row["reason"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("none.png,p,benign,,,,,", "the file 'none.png' is not there; in "),
        ("t.csv,p,benign,,,,,", "expected PGM"),
        ("a\0.png,p,benign,,,,,", "is no path"),
        ("../a.png,p,benign,,,,,", "leads out of the data folder"),
        ("/etc/passwd,p,benign,,,,,", "leads out of the data folder"),
        (",p,benign,,,,,", "the cell path is empty"),
        ("a.png,,benign,,,,,", "the cell patient is empty"),
        ("a.png,p,suspicious,,,,,", "unknown label 'suspicious': expected normal, benign"),
        ("a.png,p,benign,,evening,,,", "unknown split 'evening'"),
        ("a.png,p,benign,,,,minus,", "positive number as aspect"),
    ],
)
def test_a_row_that_cannot_be_used_is_set_aside(folder, row, reason):
    text = f"path,patient,label,side,split,mask,aspect,assessment\n{row}\nb.png,q,normal,,,,,\n"
    catalogue = read(folder, text)
    assert reason in catalogue.quarantine.loc[0, "reason"]
    assert catalogue.quarantine.loc[0, "effect"] == "image left out"
    assert catalogue.quarantine.loc[0, "row"] == "line 2"
    assert list(catalogue.images["image_id"]) == ["b"]
    with pytest.raises(DataError, match=r"t.csv line 2"):
        read(folder, text, strict=True)


@pytest.mark.parametrize(
    ("row", "effect", "reason"),
    [
        ("top,,,", "kept, corrected", "the side 'top' counts as unknown"),
        (",none.png,,", "location unknown", "the file 'none.png' is not there"),
        (",../m.png,,", "location unknown", "leads out of the data folder"),
        (",,9,", "kept, corrected", "the assessment '9' counts as unknown"),
        (",,1|2,", "kept, corrected", "expected 1 values"),
        (",,,spot", "kept, corrected", "the kind 'spot' counts as unknown"),
    ],
)
def test_a_cell_that_only_describes_never_loses_an_image(folder, row, effect, reason):
    head = "path,patient,label,side,mask,assessment,kind"
    catalogue = read(folder, f"{head}\na.png,p,malignant,{row}\n")
    assert catalogue.images["label"].tolist() == ["malignant"]
    assert len(catalogue.lesions) == 1
    assert catalogue.quarantine["effect"].tolist() == [effect]
    assert reason in catalogue.quarantine["reason"].iloc[0]


@pytest.mark.parametrize(
    ("column", "text", "expected"),
    [
        ("label", "Cancer", "malignant"),
        ("label", "No Finding", "normal"),
        ("label", "BENIGN_WITHOUT_CALLBACK", "benign_without_callback"),
        ("kind", "['Mass']", "mass"),
        ("kind", "Suspicious Calcification", "calcification"),
        ("kind", "Architectural Distortion", "distortion"),
        ("assessment", "4.0", 4),
        ("assessment", "4a", 4),
        ("assessment", "4C", 4),
        ("assessment", "BI-RADS 4", 4),
        ("assessment", "BIRADS_5", 5),
        ("assessment", "BI RADS 4", 4),
        ("assessment", "Category 4", 4),
        ("assessment", "BI-RADS IVb", 4),
        ("assessment", "VI", 6),
        ("split", "valid", "val"),
        ("split", "Training", "train"),
        ("side", "Left", "L"),
    ],
)
def test_the_usual_spellings_are_understood(folder, column, text, expected):
    cells = {"path": "a.png", "patient": "p", "label": "malignant"} | {column: text}
    catalogue = read(folder, ",".join(cells) + "\n" + ",".join(cells.values()) + "\n")
    assert catalogue.quarantine.empty
    table = catalogue.lesions if column in ("kind", "assessment") else catalogue.images
    name = {"side": "laterality"}.get(column, column)
    assert table[name].tolist() == [expected]


def test_the_user_s_labels_are_mapped_however_numbers_are_written(folder):
    text = "path,patient,label\na.png,p,1.0\nb.png,q,0\n"
    catalogue = read(folder, text, labels={"1": "malignant", "0": "normal"})
    assert catalogue.images["label"].tolist() == ["malignant", "normal"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_image_with_an_unusable_row_is_left_out_and_not_made_milder(folder, order):
    rows = ["a.png,p,benign,train", "a.png,p,suspicious,train"]
    text = "path,patient,label,split\n" + "\n".join(rows[i] for i in order)
    catalogue = read(folder, f"{text}\nb.png,q,normal,train\n")
    assert catalogue.images["image_id"].tolist() == ["b"]
    assert catalogue.lesions.empty
    assert catalogue.quarantine["effect"].tolist() == ["image left out"] * 2
    assert set(catalogue.quarantine["row"]) == {"line 2", "line 3"}


def test_a_malignant_lesion_with_an_odd_grade_stays_malignant(folder):
    text = "path,patient,label,assessment\na.png,p,benign,3\na.png,p,malignant,4x\n"
    catalogue = read(folder, text)
    assert catalogue.images["label"].tolist() == ["malignant"]
    assert catalogue.lesions["pathology"].tolist() == ["benign", "malignant"]
    assert catalogue.lesions["assessment"].isna().tolist() == [False, True]


def test_rows_that_contradict_each_other_about_the_patient_or_split_leave_the_image_out(folder):
    text = "path,patient,label,split\na.png,p,benign,train\na.png,p,malignant,test\n"
    catalogue = read(folder, text + "b.png,q,normal,train\n")
    assert catalogue.images["image_id"].tolist() == ["b"]
    assert "different split" in " ".join(catalogue.quarantine["reason"])


def test_a_row_that_stands_twice_counts_once(folder):
    row = 'a.png,p,benign,"1,1,5,5"\n'
    catalogue = read(folder, "path,patient,label,boxes\n" + row * 2)
    assert len(catalogue.lesions) == 1
    assert "repeats line 2" in catalogue.quarantine["reason"].iloc[0]


def test_a_lost_class_or_too_many_lost_images_are_an_error_with_the_quarantine(folder):
    text = "path,patient,label\na.png,p,normal\nb.png,q,verdächtig\n"
    with pytest.raises(LostRowsError, match=r"every row with the label 'verdächtig'") as lost:
        read(folder, text, max_lost=0.9)
    assert "unknown label" in lost.value.rows[0]["reason"]
    many = "path,patient,label\na.png,p,normal\n" + "none.png,q,normal\nno.png,q,normal\n"
    with pytest.raises(LostRowsError, match=r"2 of 3 images cannot be used: .*not there"):
        read(folder, many, max_lost=0.5)
    assert len(read(folder, many, max_lost=1.0).images) == 1


def test_a_normal_image_with_a_box_is_said(folder):
    catalogue = read(folder, 'path,patient,label,boxes\na.png,p,normal,"1,1,5,5"\n')
    assert "normal image has a mask or a box" in catalogue.quarantine["reason"].iloc[0]


def test_corners_in_x_y_order_are_read_and_told_from_widths(folder):
    boxes = zip("aab", ["20,5,30,15", "25,2,38,9", "30,20,36,39"], strict=True)
    rows = "".join(f'{name}.png,{name},benign,"{box}"\n' for name, box in boxes)
    catalogue = read(folder, f"path,patient,label,boxes\n{rows}", box_format="xyxy")
    assert catalogue.lesions.loc[0, BOX].tolist() == [5, 20, 15, 30]
    with pytest.raises(DataError, match=r"3 of 3 boxes .* fit as rowcol or xyxy"):
        read(folder, f"path,patient,label,boxes\n{rows}", box_format="xywh")


def test_a_folder_that_the_user_linked_into_the_data_folder_is_followed(folder, tmp_path_factory):
    disk = tmp_path_factory.mktemp("disk")
    (folder / "a.png").rename(disk / "a.png")
    (folder / "linked").symlink_to(disk)
    catalogue = read(folder, "path,patient,label\nlinked/a.png,p,normal\n")
    assert len(catalogue.images) == 1


def test_absolute_paths_through_links_to_the_data_folder_are_followed(folder, tmp_path_factory):
    disk, links = tmp_path_factory.mktemp("disk"), tmp_path_factory.mktemp("links")
    (folder / "a.png").rename(disk / "a.png")
    (folder / "linked").symlink_to(disk)
    (links / "data").symlink_to(folder)
    for root in (folder, links / "data"):
        for path in (folder, links / "data"):
            (folder / "t.csv").write_text(f"path,patient,label\n{path}/linked/a.png,p,normal\n")
            catalogue = read_folder(root / "t.csv", root, dataset="own")
            assert catalogue.images["image_id"].tolist() == ["linked_a"]
    # The same file by a way that does not lead through the data folder is the table's doing.
    for path in (disk / "a.png", links / "data" / ".." / "a.png", links / "a.png"):
        with pytest.raises(LostRowsError, match="leads out of the data folder"):
            read(folder, f"path,patient,label\n{path},p,normal\n", max_lost=0.5)


def test_a_workbook_and_utf_16_are_read_as_a_csv_is(folder):
    rows = [["path", "patient", "label", "assessment"], ["a.png", "p", "benign", 3.0]]
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(folder / "t.xlsx")
    from_excel = read_folder(folder / "t.xlsx", folder, dataset="own")
    text = "\n".join("\t".join(map(str, row)) for row in rows)
    from_unicode_text = read(folder, text, "utf-16")
    for catalogue in (from_excel, from_unicode_text):
        assert catalogue.images["label"].tolist() == ["benign"]
        assert catalogue.lesions["assessment"].tolist() == [3]


def test_what_is_no_table_says_what_it_is(folder):
    with pytest.raises(DataError, match="this is JSON"):
        read(folder, '{"images": []}')
    (folder / "t.xlsx").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match="not a readable Excel workbook"):
        read_folder(folder / "t.xlsx", folder, dataset="own")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_its_mark_and_columns_in_capitals_are_read(folder, encoding):
    catalogue = read(folder, "Path,PATIENT,Label,Split\na.png,p,benign,test\n", encoding)
    assert catalogue.images["split"].tolist() == ["test"]
    # Capitals tell two columns apart where there are two.
    text = "path,patient,label,Label\na.png,p,benign,malignant\n"
    assert read(folder, text).images["label"].tolist() == ["benign"]


def test_an_optional_column_that_is_mapped_to_nothing_is_not_read(folder):
    text = 'path,patient,label,boxes\na.png,p,benign,"1,1,5,5"\n'
    assert read(folder, text, columns={"boxes": ""}).lesions[BOX].isna().all(axis=None)


def test_a_quote_that_is_not_closed_loses_no_row_in_silence(folder):
    head = "path,patient,label,note\n"
    rows = 'a.png,p,normal,"a note\nb.png,q,malignant,x\nb.png,q,benign,y"\n'
    with pytest.raises(DataError, match=r"line 4 or before: a cell holds 2 whole rows"):
        read(folder, head + rows)
    with pytest.raises(DataError, match="not valid CSV"):
        read(folder, head + 'a.png,p,normal,"a note\nb.png,q,malignant,x\n')
    # What is swallowed ends in the same column, so that the numbers of values agree.
    part = 'a.png,p,normal,"a note,1\nb.png,q,malignant,5",2\n'
    with pytest.raises(DataError, match=r"line 3 or before: a cell holds 1 whole rows"):
        read(folder, "path,patient,label,note,reader\n" + part)
    several = 'a.png,p,normal,"a note\nof two lines, and a comma",1\n'
    assert len(read(folder, "path,patient,label,note,reader\n" + several).images) == 1


def test_two_images_with_one_id_are_not_merged(folder):
    catalogue = read(
        folder, "path,patient,label,image_id\na.png,p,normal,one\nb.png,q,normal,one\n"
    )
    assert len(catalogue.images) == 1
    assert "different patient_id, path" in catalogue.quarantine.loc[0, "reason"]


def test_what_breaks_the_whole_table_is_an_error(folder):
    with pytest.raises(DataError, match=r"no column 'patient'.*Did you mean 'patient_id'"):
        read(folder, "path,patient_id,label\na.png,p,normal\n")
    with pytest.raises(DataError, match="no rows"):
        read(folder, "path,patient,label\n")
    with pytest.raises(DataError, match="the file is empty"):
        read(folder, "")
    with pytest.raises(DataError, match="line 2"):
        read(folder, "path,patient,label\na.png,p\n")
    with pytest.raises(DataError, match="standard columns are"):
        read(folder, "path,patient,label\na.png,p,normal\n", columns={"colour": "x"})
    with pytest.raises(DataError, match="not UTF-8"):
        read(folder, "path,patient,label\na.png,Müller,normal\n", "latin-1")
    with pytest.raises(DataError, match="2 columns are called 'label'"):
        read(folder, "path,patient,label,label\na.png,p,normal,benign\n")
    long = "x" * csv.field_size_limit()
    with pytest.raises(DataError, match=r"t\.csv line 3 or after: not valid CSV"):
        read(folder, f'path,patient,label\na.png,p,normal\n"b.png,q,normal\n{long}\n')
    with pytest.raises(MissingDataError, match="not there"):
        read_folder(folder / "none.csv", folder, dataset="own")
    with pytest.raises(MissingDataError, match="not a file, but a folder"):
        read_folder(folder, folder, dataset="own")
    with pytest.raises(ValueError, match="box_format"):
        read(folder, "path,patient,label\n", box_format="corners")


def test_columns_are_mapped_and_a_written_table_is_read(folder):
    columns = {"path": "file", "patient": "who", "label": "verdict"}
    catalogue = read(folder, "file,who,verdict\na.png,p,benign\n", columns=columns)
    assert catalogue.images.loc[0, "patient_id"] == "p"
    rows = [{"path": "a.png", "patient": "p", "label": "benign", "boxes": "1,2,3,4"}]
    write_folder_csv(folder / "w.csv", rows)
    again = read_folder(folder / "w.csv", folder, dataset="own")
    assert again.lesions.loc[0, BOX].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("shape", "boxes", "effect", "has_mask"),
    [
        ((40, 40), "", None, True),
        ((80, 80), "", "kept, corrected", True),
        ((40, 30), "", "location unknown", False),
        ((12, 30), "1,2,8,9", "kept, corrected", False),
    ],
)
def test_a_mask_has_the_shape_of_its_picture(folder, shape, boxes, effect, has_mask):
    mask = np.zeros(shape, dtype=np.uint8)
    mask[5:10, 5:10] = 255
    write_png(folder / "other.png", mask)
    text = f'path,patient,label,mask,boxes\na.png,p,benign,other.png,"{boxes}"\n'
    catalogue = read(folder, text)
    assert (catalogue.lesions.loc[0, "mask_path"] != "") == has_mask
    assert list(catalogue.quarantine["effect"]) == ([effect] if effect else [])
    if effect:
        assert catalogue.quarantine.loc[0, "row"] == "line 2"
        size = f"{shape[0]} x {shape[1]} px, the picture 40 x 40"
        assert size in catalogue.quarantine.loc[0, "reason"]


def test_a_mask_of_the_square_picture_fits_a_stretched_one(folder):
    mask = np.zeros((40, 20), dtype=np.uint8)
    mask[5:10, 5:10] = 255
    write_png(folder / "square.png", mask)
    catalogue = read(folder, "path,patient,label,mask,aspect\na.png,p,benign,square.png,0.5\n")
    assert catalogue.quarantine.empty
    assert catalogue.lesions.loc[0, "mask_path"].endswith("square.png")


def test_what_the_table_leaves_open_is_taken_from_the_header(folder):
    pixels = np.arange(1600, dtype=np.uint16).reshape(40, 40)
    thin = Dataset()
    thin.CodeValue = "129717001"
    context = Dataset()
    context.ConceptCodeSequence = [thin]
    tags = {"ImageLaterality": "R", "ViewPosition": "MLO", "PixelSpacing": [0.07, 0.07]}
    tags["AcquisitionContextSequence"] = [context]
    file(folder / "c.dcm", pixels, **tags)
    text = "path,patient,label,side,view,density,pixel_size_mm\n"
    columns = ["laterality", "view", "density", "pixel_spacing_mm"]
    catalogue = read(folder, text + "c.dcm,p,benign,,,,\n")
    assert catalogue.images.loc[0, columns].tolist() == ["R", "MLO", "2", 0.07]
    catalogue = read(folder, text + "c.dcm,p,benign,left,cc,4,0.1\n")
    assert catalogue.images.loc[0, columns].tolist() == ["L", "CC", "4", 0.1]


def test_of_several_frames_one_is_used_and_this_is_said(folder):
    pixels = np.arange(1600, dtype=np.uint16).reshape(40, 40)
    file(folder / "c.dcm", np.stack([pixels] * 3))
    catalogue = read(folder, "path,patient,label\nc.dcm,p,benign\nc.dcm,p,malignant\n")
    assert (len(catalogue.images), len(catalogue.lesions), len(catalogue.quarantine)) == (1, 2, 1)
    row = catalogue.quarantine.iloc[0]
    assert (row["effect"], row["image_id"]) == ("kept, corrected", "c")
    assert "of the 3 pictures in the file the middle one is used, number 2" in row["reason"]


def test_an_aspect_that_makes_a_picture_of_gigabytes_is_refused(folder):
    catalogue = read(folder, "path,patient,label,aspect\na.png,p,benign,1e9\nb.png,p,normal,2\n")
    assert list(catalogue.images["cols"]) == [80]
    assert "the aspect 1e+09 makes 40 x 40000000000 px" in catalogue.quarantine.loc[0, "reason"]


@pytest.mark.real_data
def test_the_real_cbis_masses(cbis_mass_folder):
    catalogue = read_cbis_masses(cbis_mass_folder)
    images = catalogue.images
    by_split = images.groupby("split")
    assert catalogue.quarantine.empty
    assert dict(by_split.size()) == {"test": 361, "train": 1231}
    assert dict(by_split["patient_id"].nunique()) == {"test": 201, "train": 691}
    malignant = images[images["label"] == "malignant"].groupby("split").size()
    assert dict(malignant) == {"test": 145, "train": 602}
    split_of = catalogue.lesions["image_id"].map(images.set_index("image_id")["split"])
    assert dict(split_of.value_counts()) == {"train": 1318, "test": 378}
    check_no_patient_leak(images)
    assert (images["cols"] < images["rows"]).mean() > 0.9
    assert catalogue.lesions[BOX].notna().all(axis=None)
