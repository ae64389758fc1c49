"""mini-MIAS: small sets in its layout, broken in every way, and every figure of the real one."""

from __future__ import annotations

import errno
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from second_look.decoding.pixels import read_pixels, write_pgm
from second_look.errors import DataError, MissingDataError, OutputError
from second_look.quarantine import Code
from second_look.sources.mias import read_mias

PROSE = "MINI MIAS\r\nA heading that is no row: mdb is the prefix\r\n\r\n"


def write_set(folder, *rows, images=None):
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "Info.txt").write_bytes((PROSE + "\r\n".join(rows) + "\r\n").encode("utf-8-sig"))
    for name in images or {row.split()[0] for row in rows}:
        pixels = np.random.default_rng(1).integers(0, 255, (64, 64), dtype=np.uint8)
        write_pgm(folder / f"{name}.pgm", pixels)
    return folder


def test_rows_become_images_and_lesions(tmp_path):
    folder = write_set(
        tmp_path / "m",
        "mdb001 G CIRC B 20 10 5",
        "mdb002 D NORM ",
        "mdb003 F SPIC M 30 40 4",
        "mdb003 F CALC B 10 12 3",
    )
    catalogue = read_mias(folder, tmp_path / "cache")
    assert list(catalogue.images["label"]) == ["benign", "normal", "malignant"]
    assert list(catalogue.images["laterality"]) == ["R", "L", "R"]
    assert catalogue.images["patient_id"].nunique() == 2
    assert list(catalogue.images["density"]) == ["G", "D", "F"]
    lesion = catalogue.lesions.iloc[0]
    # The origin is the bottom left pixel: y = 10 is the eleventh row from below.
    assert (lesion["circle_row"], lesion["circle_col"]) == (64 - 1 - 10, 20)
    box = ("row_min", "col_min", "row_max", "col_max")
    assert [lesion[name] for name in box] == [48, 15, 59, 26]
    assert list(catalogue.lesions["kind"]) == ["mass", "mass", "calcification"]
    assert catalogue.quarantine.empty


@pytest.mark.parametrize(
    ("row", "reason", "effect"),
    [
        ("mdb001 G CIRC B", "no coordinates", "location unknown"),
        ("mdb001 G CALC M *NOTE 3*", "no coordinates", "location unknown"),
        ("mdb001 G CIRC B 20 90 5", "outside the image", "location unknown"),
        ("mdb001 G CIRC B 20 10 0", "outside the image", "location unknown"),
        ("mdb001 G BLOB B 20 10 5", "unknown class 'BLOB'", "lesion left out"),
        ("mdb001 G CIRC X 20 10 5", "severity B or M", "lesion left out"),
        ("mdb001 G CIRC B 20 10", "x, y and radius", "lesion left out"),
        ("mdb001 Q CIRC B 20 10 5", "tissue F, G or D", "lesion left out"),
        ("mdb001\x13 G NORM", "expected a name such as mdb005. Got 'mdb001", "lesion left out"),
        ("mdb001 G CIRC B 20 10 \u00b2", "x, y and radius", "lesion left out"),
        ("mdb001 G NORM 4", "no further values", "lesion left out"),
    ],
)
def test_an_odd_row_is_set_aside_with_its_line(tmp_path, row, reason, effect):
    folder = write_set(tmp_path / "m", row, "mdb002 G NORM")
    catalogue = read_mias(folder, tmp_path)
    first = catalogue.quarantine.iloc[0]
    assert reason in first["reason"]
    assert first["effect"] == effect
    assert first["row"] == "line 4"
    with pytest.raises(DataError, match=r"Info\.txt line 4"):
        read_mias(folder, tmp_path, strict=True)


def test_nothing_is_dropped_in_silence(tmp_path):
    folder = write_set(
        tmp_path / "m",
        "mdb001 G NORM",
        "mdb001 G NORM",
        "mdb002 G NORM",
        "mdb004 G NORM",
        "mdb004 G CIRC B 9 9 3",
        images=["mdb001", "mdb002", "mdb003", "mdb004"],
    )
    (folder / "mdb002.pgm").write_bytes(b"P6\n1 1\n255\n")
    catalogue = read_mias(folder, tmp_path)
    reasons = dict(
        zip(catalogue.quarantine["reason"].str[:22], catalogue.quarantine["effect"], strict=True)
    )
    assert reasons == {
        "the row repeats an ear": "kept, corrected",
        "expected PGM (P5), PNG": "image left out",
        "one row calls the imag": "kept, corrected",
        "Info.txt has no usable": "image left out",
    }
    assert list(catalogue.images["image_id"]) == ["mdb001", "mdb004"]


def test_an_image_with_an_unusable_row_has_no_label_to_trust(tmp_path):
    rows = ("mdb001 G CIRC B 9 9 3", "mdb001 G SPIC X 20 10 5", "mdb002 G NORM")
    folder = write_set(tmp_path / "m", *rows)
    catalogue = read_mias(folder, tmp_path)
    assert list(catalogue.images["image_id"]) == ["mdb002"]
    assert list(catalogue.quarantine["effect"]) == ["lesion left out", "image left out"]
    assert "label is unknown" in catalogue.quarantine.loc[1, "reason"]


@pytest.mark.parametrize(
    "row",
    [
        '"mdb002 F SPIC M 30 40 4"',
        "m\0db002 F SPIC M 30 40 4",
        "MDB002 F SPIC M 30 40 4",
        "mdb 002 F SPIC M 30 40 4",
        "mdb002FSPIC M 30 40 4",
        "mdb002F SPIC M 30 40 4",
        "mdb002 FG SPIC M 30 40 4",
        "x mdb002 F SPIC M 30 40 4",
        "mdb003 G NORM mdb002 F SPIC M 30 40 4",
        "m?b F SPIC M 30 40 4",
        "F SPIC M 30 40 4",
    ],
)
@pytest.mark.parametrize(("position", "count"), [(1, 3), (2, 3), (2, 2)])
def test_a_row_that_cannot_be_read_makes_no_image_milder(tmp_path, row, position, count):
    rows = ["mdb001 G NORM", "mdb002 F CIRC B 9 9 3", "mdb004 G NORM"][:count]
    rows.insert(position, row)
    folder = write_set(tmp_path / "m", *rows, images=["mdb001", "mdb002", "mdb003", "mdb004"])
    catalogue = read_mias(folder, tmp_path)
    assert "mdb002" not in set(catalogue.images["image_id"])
    quarantine = catalogue.quarantine.set_index("row")
    line = f"line {4 + rows.index(row)}"
    assert quarantine.loc[line, "code"] == Code.DESCRIPTION_UNUSABLE


def test_a_first_row_that_cannot_be_read_and_a_row_after_blanks_are_rows(tmp_path):
    rows = ['"mdb001 G CIRC M 9 9 3', "mdb001 G NORM", "  mdb002 D NORM", "===", ""]
    folder = write_set(tmp_path / "m", *rows, images=["mdb001", "mdb002"])
    catalogue = read_mias(folder, tmp_path)
    assert catalogue.images["image_id"].tolist() == ["mdb002"]
    assert catalogue.quarantine["row"].tolist() == ["line 4", "line 5"]


def test_without_data_the_error_says_how_to_get_it(tmp_path):
    with pytest.raises(MissingDataError, match=r"curl -L -o .*all-mias.tar.gz http"):
        read_mias(tmp_path, tmp_path)


@pytest.mark.parametrize("ending", ["tar.gz", "tar.xz"])
def test_archives_are_unpacked_once(tmp_path, ending):
    folder = write_set(tmp_path / "m", "mdb001 G CIRC B 20 10 5", "mdb002 G NORM")
    archive = tmp_path / f"all-mias.{ending}"
    with tarfile.open(archive, f"w:{ending[4:]}") as tar:
        tar.add(folder, arcname=".")
    cache = tmp_path / "cache"
    assert len(read_mias(archive, cache).images) == 2
    unpacked = list(cache.iterdir())
    assert len(unpacked) == 1
    marker = next(unpacked[0].rglob("Info.txt"))
    first_mtime_ns = marker.stat().st_mtime_ns
    assert len(read_mias(tmp_path, cache).images) == 2
    assert marker.stat().st_mtime_ns == first_mtime_ns


def test_a_full_disk_while_unpacking_is_said_plainly_and_leaves_nothing(tmp_path, monkeypatch):
    folder = write_set(tmp_path / "m", "mdb001 G NORM")
    archive = tmp_path / "all-mias.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=".")

    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "extract", full)
        with pytest.raises(OutputError, match="no space left on the disk"):
            read_mias(archive, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        read_mias(archive, tmp_path / "file" / "cache")
    monkeypatch.setattr("second_look.sources.mias_files.os.access", lambda *_: False)
    with pytest.raises(DataError, match="archive may not be read"):
        read_mias(archive, tmp_path / "cache")


def member(name, **attributes):
    info = tarfile.TarInfo(name)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


@pytest.mark.parametrize(
    "bad",
    [
        member("/etc/evil.txt"),
        member("../evil.txt"),
        member("link.pgm", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("hard.pgm", type=tarfile.LNKTYPE, linkname="Info.txt"),
        member("device", type=tarfile.CHRTYPE),
    ],
    ids=["absolute", "parent", "symlink", "hardlink", "device"],
)
def test_an_unsafe_archive_is_refused_and_leaves_nothing(tmp_path, bad):
    archive, cache = tmp_path / "all-mias.tar.gz", tmp_path / "cache"
    with tarfile.open(archive, "w:gz") as tar:
        tar.addfile(bad, io.BytesIO(b""))
    with pytest.raises(DataError, match="link or device, or leads outside"):
        read_mias(archive, cache)
    assert list(cache.iterdir()) == []
    assert not (tmp_path / "evil.txt").exists()


def test_a_truncated_archive_or_one_without_info_is_named(tmp_path):
    folder = write_set(tmp_path / "m", "mdb001 G NORM")
    archive = tmp_path / "all-mias.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder / "mdb001.pgm", arcname="mdb001.pgm")
    with pytest.raises(DataError, match=r"no Info.txt"):
        read_mias(archive, tmp_path / "cache")
    archive.write_bytes(archive.read_bytes()[:-60])
    with pytest.raises(DataError, match="broken"):
        read_mias(archive, tmp_path / "other")


@pytest.fixture
def real(mias_catalogue):
    return mias_catalogue


@pytest.mark.real_data
def test_every_figure_of_the_real_archive(real):
    images, lesions = real.images, real.lesions
    assert (len(images), images["patient_id"].nunique()) == (322, 161)
    assert (images.groupby("patient_id").size() == 2).all()
    assert dict(images["label"].value_counts()) == {"normal": 207, "benign": 63, "malignant": 52}
    assert dict(images["density"].value_counts()) == {"F": 106, "G": 104, "D": 112}
    assert dict(lesions["pathology"].value_counts()) == {"benign": 69, "malignant": 54}
    # 330 rows: one a normal image, one a lesion.
    assert int((images["label"] == "normal").sum()) + len(lesions) == 330
    assert (images[["rows", "cols"]] == 1024).all(axis=None)
    assert set(images["bits"]) == {8}
    odd = images["image_id"].str[3:].astype(int) % 2 == 1
    assert (images["laterality"] == odd.map({True: "R", False: "L"})).all()
    assert odd.sum() == 161
    assert set(images["pixel_spacing_mm"]) == {0.2}
    # mdb005 F CIRC B 477 133 30: counted from the bottom left pixel, (477, 0) is in row 1023.
    first = lesions[lesions["image_id"] == "mdb005"].iloc[0]
    circle = first[["circle_row", "circle_col", "circle_radius"]]
    assert circle.tolist() == [1023 - 133, 477, 30]
    nowhere = lesions.loc[lesions["circle_row"].isna(), "image_id"]
    assert sorted(nowhere) == ["mdb059", "mdb216", "mdb233", "mdb245"]
    assert sorted(real.quarantine["image_id"]) == ["mdb059", "mdb216", "mdb233", "mdb245"]
    several = lesions["image_id"].value_counts()
    assert dict(several[several > 1].sort_index()) == {
        "mdb005": 2,
        "mdb132": 2,
        "mdb144": 2,
        "mdb223": 2,
        "mdb226": 3,
        "mdb239": 2,
        "mdb249": 2,
    }
    assert set(lesions.loc[lesions["image_id"] == "mdb144", "pathology"]) == {"benign", "malignant"}
    assert (lesions["circle_radius"].min(), lesions["circle_radius"].max()) == (3, 197)


@pytest.mark.real_data
def test_the_origin_is_at_the_bottom_on_the_pixels_too(real):
    """Lesions are brighter than the ring around them, if and only if y counts from below."""

    def contrast(pixels, row, col, radius):
        row_index, col_index = np.ogrid[:1024, :1024]
        distance = np.hypot(row_index - row, col_index - col)
        ring = pixels[(distance > 1.5 * radius) & (distance <= 2.5 * radius)]
        return float(pixels[distance <= radius].mean() - ring.mean()) if ring.size else 0.0

    located = real.lesions.dropna(subset=["circle_row"])
    masses = located[(located["kind"] == "mass") & (located["circle_radius"] < 60)]
    paths = real.images.set_index("image_id")["path"]
    bottom_origin, top_origin = [], []
    for lesion in masses.itertuples():
        pixels = read_pixels(Path(paths[lesion.image_id])).astype(float)
        bottom_origin.append(
            contrast(pixels, lesion.circle_row, lesion.circle_col, lesion.circle_radius)
        )
        flipped = 1023 - lesion.circle_row
        top_origin.append(contrast(pixels, flipped, lesion.circle_col, lesion.circle_radius))
    assert np.mean(bottom_origin) > 10
    assert np.mean(np.array(bottom_origin) > np.array(top_origin)) > 0.7


def test_forged_headers_and_files_of_an_archive_stay_out_of_memory(tmp_path):
    archive = tmp_path / "all-mias.tar.gz"
    for name, headers in (("big", {}), ("mdb001.pgm", {"comment": "x" * 25_000_000})):
        member = tarfile.TarInfo(name)
        member.size, member.pax_headers = 0 if headers else 25_000_000, headers
        with tarfile.open(archive, "w:gz", format=tarfile.PAX_FORMAT, compresslevel=1) as tar:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
        with pytest.raises(DataError, match=r"more than 20 MB|a header of 25,"):
            read_mias(archive, tmp_path / "cache")
