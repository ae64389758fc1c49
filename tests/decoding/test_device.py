"""How a picture was acquired, as DICOM headers say it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.small_dicom import file
from second_look.decoding.device import Device, read_device
from second_look.errors import DataError

PIXELS = np.arange(64, dtype=np.uint16).reshape(8, 8)


def test_a_digital_mammogram_names_its_maker(tmp_path: Path) -> None:
    path = file(tmp_path / "a.dcm", PIXELS, Manufacturer="Acme", ManufacturerModelName="One")
    assert read_device(path) == Device("digital", "Acme One", False)


def test_a_digitised_film(tmp_path: Path) -> None:
    path = file(tmp_path / "a.dcm", PIXELS, ConversionType="DF")
    assert read_device(path).kind == "film"


def test_values_of_the_detector_are_raw(tmp_path: Path) -> None:
    path = file(tmp_path / "a.dcm", PIXELS, PresentationIntentType="FOR PROCESSING")
    assert read_device(path).raw


def test_other_files_do_not_say(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    assert read_device(tmp_path / "a.png") == Device()
    with pytest.raises(DataError, match="cannot be read"):
        read_device(tmp_path / "missing.png")
