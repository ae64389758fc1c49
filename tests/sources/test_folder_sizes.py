"""Boxes and pixels of a user's table whose sizes differ from those of the pictures."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.small_dicom import file
from second_look.decoding.pixels import write_png
from second_look.errors import DataError
from second_look.preparing.image import read_original
from second_look.sources.folder import read_folder

BOX = ["row_min", "col_min", "row_max", "col_max"]


def read(folder, text):
    (folder / "t.csv").write_text(text)
    return read_folder(folder / "t.csv", folder, dataset="own")


@pytest.mark.parametrize("scale", [0.5, 3])
def test_boxes_of_pictures_of_another_size_are_an_error(tmp_path, scale):
    rng = np.random.default_rng(1)
    write_png(tmp_path / "a.png", rng.integers(0, 250, (40, 40), dtype=np.uint8))
    corners = rng.integers(0, 30, (40, 2))
    boxes = np.concatenate([corners, corners + 8], axis=1)

    def table(boxes):
        rows = [f'a.png,p,benign,"{",".join(map(str, box))}"' for box in boxes]
        return "path,patient,label,boxes\n" + "\n".join(rows)

    assert read(tmp_path, table(boxes)).lesions[BOX].notna().all(axis=None)
    with pytest.raises(DataError, match=r"\d\d boxes reach up to .* images of another size"):
        read(tmp_path, table(boxes * scale))


def test_oblong_pixels_of_a_dicom_file_become_square(tmp_path):
    pixels = np.zeros((40, 80), dtype=np.uint16)
    pixels[10:20, 30:50] = 4000
    file(tmp_path / "c.dcm", pixels, PixelSpacing=[0.1, 0.05])
    catalogue = read(tmp_path, 'path,patient,label,boxes\nc.dcm,p,benign,"10,30,20,50"\n')
    (image,) = catalogue.images.to_dict("records")
    assert (image["rows"], image["cols"], image["pixel_spacing_mm"]) == (40, 40, 0.1)
    assert catalogue.lesions.loc[0, BOX].tolist() == [10, 15, 20, 25]
    square = read_original(image)
    assert square.shape == (40, 40)
    assert square[12:18, 17:23].min() == 4000
    assert square[:, :13].max() == square[:, 27:].max() == 0
