"""What lies in the store is checked: sizes at every opening, digests where there is doubt."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from second_look.catalogue import Catalogue
from second_look.decoding.pixels import write_png
from second_look.errors import OutputError
from second_look.files import folder_fingerprint, read_object, write_json
from second_look.preparing.dataset import Dataset, lacks_outlines, open_dataset
from second_look.preparing.prepare import SETTINGS, prepare
from second_look.preparing.store import drop_damaged, path_of, save_array


@pytest.fixture
def outputs(phantom_data: Dataset, tmp_path: Path) -> Path:
    """A copy of small phantoms, to be damaged."""
    shutil.copytree(phantom_data.folder.parent, tmp_path / "run")
    return tmp_path / "run"


def noise(path: Path) -> None:
    size = path.stat().st_size
    path.write_bytes(np.random.default_rng(0).bytes(size))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def an_array(outputs: Path) -> Path:
    return sorted((outputs / "dataset" / "prepared").glob("*pixels.npy"))[3]


@pytest.mark.parametrize("damage", [cut, empty, Path.unlink])
def test_an_array_of_another_size_is_named_when_the_data_set_is_opened(outputs, damage):
    path = an_array(outputs)
    damage(path)
    with pytest.raises(OutputError) as error:
        open_dataset(outputs)
    assert f"{path}, or the regions beside it: not as large as it was written" in str(error.value)
    assert "notebook 01_data_survey" in str(error.value)


@pytest.fixture
def films(tmp_path: Path) -> Catalogue:
    """Two films, prepared in tmp_path/prepared."""
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    row, col = np.ogrid[:120, :90]
    breast = (row - 60) ** 2 + col**2 < 50**2
    for seed, path in enumerate(paths):
        grey = np.random.default_rng(seed).integers(0, 900, breast.shape)
        write_png(path, np.where(breast, 30_000 + grey, grey // 9).astype(np.uint16))
    facts = {"dataset": "d", "rows": 120, "cols": 90, "bits": 16, "label": "normal"}
    catalogue = Catalogue.from_rows(
        {**facts, "image_id": path.stem, "patient_id": path.stem, "path": str(path)}
        for path in paths
    )
    prepare(catalogue, tmp_path / "prepared", workers=0)
    return catalogue


@pytest.mark.parametrize(
    ("damage", "by_digest", "dropped"),
    [(cut, False, 1), (empty, False, 1), (Path.unlink, False, 1), (noise, False, 0),
     (noise, True, 1)],
)  # fmt: skip
def test_damaged_images_are_prepared_anew_and_no_others(
    films, tmp_path, damage, by_digest, dropped
):
    folder, path = tmp_path / "prepared", tmp_path / "prepared" / "a.pixels.npy"
    content, time = path.read_bytes(), (folder / "b.pixels.npy").stat().st_mtime_ns
    damage(path)
    assert drop_damaged(folder, by_digest=by_digest) == dropped
    assert (folder / "images.parquet").is_file() == (not dropped)
    if dropped:
        prepare(films, folder, workers=0)
        assert path.read_bytes() == content
        assert (folder / "b.pixels.npy").stat().st_mtime_ns == time
        assert drop_damaged(folder, by_digest=True) == 0


def test_preparing_again_notices_a_size_by_itself(films, tmp_path):
    path = tmp_path / "prepared" / "a.regions.npy"
    content = path.read_bytes()
    cut(path)
    prepare(films, tmp_path / "prepared", workers=0)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", ["", "[]", "null", '{"key": 3}', "[" * 100_000])
def test_a_damaged_record_of_an_image_is_made_anew(films, tmp_path, content):
    record = tmp_path / "prepared" / "b.json"
    written = read_object(record)
    record.write_text(content)
    prepare(films, tmp_path / "prepared", workers=0)
    assert read_object(record) == written


@pytest.mark.parametrize(
    "change",
    [{"files": {"b.pixels.npy": 3}}, {"files": {"b.pixels.npy": [3]}}, {"files": {"x": ["3", 4]}},
     {"image": [3]}, {"lesions": 3}, {"fingerprint": 3}, {"quarantine": {}}],
)  # fmt: skip
def test_wrong_types_in_the_record_of_an_image_are_made_anew(films, tmp_path, change):
    record = tmp_path / "prepared" / "b.json"
    written = read_object(record)
    write_json(record, written | change)
    drop_damaged(tmp_path / "prepared", by_digest=True)
    prepare(films, tmp_path / "prepared", workers=0)
    assert read_object(record) == written


@pytest.mark.parametrize(
    "name",
    ["images.parquet", "lesions.parquet", "duplicates.parquet", "prepared/images.parquet",
     "prepared/fingerprints.npy"],
)  # fmt: skip
@pytest.mark.parametrize("damage", [empty, noise, Path.unlink])
def test_damaged_tables_are_named_with_a_remedy(outputs, name, damage):
    path = outputs / "dataset" / name
    damage(path)
    with pytest.raises(OutputError) as error:
        open_dataset(outputs)
    assert path.name in str(error.value)
    assert "notebook 01_data_survey" in str(error.value)
    assert len(str(error.value)) < 500


def test_a_damaged_table_does_not_hide_outlines(outputs):
    noise(outputs / "dataset" / "prepared" / "lesions.parquet")
    assert not lacks_outlines(outputs)


def test_checking_changes_nothing(outputs):
    fingerprint = folder_fingerprint(outputs)
    assert drop_damaged(outputs / "dataset" / "prepared", by_digest=True) == 0
    assert drop_damaged(outputs / "nowhere", by_digest=True) == 0
    assert folder_fingerprint(outputs) == fingerprint


@pytest.mark.parametrize("image_id", ["乳" * 23, "ж" * 36, "x" * 300, "settings", "a/b", "../a"])
def test_an_id_of_any_kind_names_a_file_of_its_own(tmp_path, image_id):
    path = path_of(tmp_path, image_id, "pixels.npy")
    save_array(path, np.zeros((2, 2), dtype=np.uint8))
    assert path.parent == tmp_path
    assert path != path_of(tmp_path, image_id + "x", "pixels.npy")
    # The store's own file can be that of no image.
    assert path_of(tmp_path, image_id, "json").name != SETTINGS
