"""Tables of which one row is damaged: every other row counts as before, or it is said why not."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from second_look.catalogue import Catalogue
from second_look.decoding.pixels import write_pgm, write_png
from second_look.sources.cbis_ddsm import read_descriptions
from second_look.sources.folder import read_folder
from second_look.sources.mias import read_mias

from helpers.small_cbis import NAMES, Roi, csv_text

_GREY = np.add.outer(np.arange(40) * 5, np.arange(32)).astype(np.uint8)
_BITS = [
    '"',
    '""',
    "'",
    ",",
    ";",
    "|",
    "\t",
    " ",
    "\r",
    "\n",
    "\r\n",
    "\0",
    "\ufeff",
    "\x1a",
    "\x85",
]
_BITS += ["\u2028", "#", "mdb", "MDB", "*NOTE 3*", "é", "\x1b]0;a\x07", "=", "$", "\\", "\\n", "0"]
COUNT = 6


def damaged_row(content: bytes, rng: random.Random) -> bytes:
    """One to three characters of one row put in, taken out or exchanged; its end stays."""
    lines = content.split(b"\n")
    index = rng.randrange(1, len(lines) - 1)
    line = bytearray(lines[index])
    for _ in range(rng.choice([1, 1, 2, 3])):
        start = rng.randrange(len(line) + 1)
        removed = rng.choice([0, 0, 1, 1, 3])
        line[start : start + removed] = b"" if rng.random() < 0.2 else rng.choice(_BITS).encode()
    lines[index] = bytes(line)
    return b"\n".join(lines)


def intact(content: bytes, rows: dict[str, bytes]) -> list[str]:
    """Names of the rows that are as they were, lines of their own."""
    return [name for name, row in rows.items() if b"\n" + row + b"\n" in content]


def _signature(catalogue: Catalogue, image_id: str) -> list[tuple[object, ...]]:
    """All that the tables say of an image."""
    parts = []
    for frame in (catalogue.images, catalogue.lesions):
        rows = frame[frame["image_id"] == image_id].drop(columns="lesion_id", errors="ignore")
        parts += [tuple(map(str, row)) for row in rows.itertuples(index=False)]
    return sorted(parts)


def check_images(
    read: Callable[[], Catalogue], path: Path, rows: dict[str, bytes], sound: dict[str, list]
) -> None:
    """The images of intact rows count as before, or the quarantine names them."""
    catalogue = read()
    quarantined = " ".join(catalogue.quarantine[["image_id", "reason"]].to_numpy().ravel())
    for name in intact(path.read_bytes(), rows):
        now = _signature(catalogue, name)
        assert now == sound.setdefault(name, now) or name in quarantined, (
            f"{name}: {now}, in silence"
        )
    fewer = len(catalogue.images) < COUNT
    assert not fewer or len(catalogue.quarantine), "an image is gone, and the quarantine is empty"


def make_mias(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    findings = [f"CIRC {'BM'[n % 2]} 1{n} 12 5" if n % 3 else "NORM" for n in range(1, COUNT + 1)]
    lines = [f"mdb00{n} {'FGD'[n % 3]} {finding}" for n, finding in enumerate(findings, 1)]
    (folder / "Info.txt").write_bytes("\n".join(["MINI MIAS", *lines, ""]).encode())
    for number in range(1, COUNT + 1):
        write_pgm(folder / f"mdb00{number}.pgm", _GREY + number)
    return folder / "Info.txt"


def make_folder(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    lines = ["path,patient,label,side,view,note"]
    for number in range(COUNT):
        write_png(folder / f"image{number}.png", _GREY + number)
        label = ("benign", "malignant", "normal")[number % 3]
        lines.append(f'image{number}.png,p{number},{label},L,CC,"a, b"')
    (folder / "t.csv").write_bytes("\n".join([*lines, ""]).encode())
    return folder / "t.csv"


def make_cbis(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    rois = [Roi(kind="mass", split="train", patient=f"P_0000{n}") for n in range(1, COUNT + 1)]
    path = folder / NAMES["mass", "train"]
    path.write_bytes(csv_text("mass", rois, "\n").encode())
    return path


class Reader:
    """Reads a table again and again; the first time it is sound, later it is compared with that."""

    def __init__(self, read: Callable[[Path, Path], Catalogue], name: str) -> None:
        self.read, self.name = read, name
        self.rows: dict[str, bytes] = {}
        self.sound: dict[str, list] = {}

    def __call__(self, folder: Path, path: Path) -> None:
        if not self.rows:
            lines = path.read_bytes().split(b"\n")[1:-1]
            numbers = range(0 if self.name == "image" else 1, COUNT + 1)
            self.rows = {
                f"{self.name}{number}": line for number, line in zip(numbers, lines, strict=False)
            }
        check_images(lambda: self.read(folder, path), path, self.rows, self.sound)


def read_mias_rows() -> Reader:
    return Reader(lambda folder, _path: read_mias(folder, folder / "cache"), "mdb00")


def read_folder_rows() -> Reader:
    return Reader(lambda folder, path: read_folder(path, folder, dataset="small"), "image")


class Descriptions:
    """Rows of a CSV of CBIS, each of which spans two lines."""

    def __init__(self) -> None:
        self.sound: pd.DataFrame | None = None
        self.rows: dict[str, bytes] = {}

    def __call__(self, _folder: Path, path: Path) -> None:
        table = read_descriptions([path]).drop(columns=["csv", "row", "repeats", "problem"])
        table = table.astype(str)
        if self.sound is None:
            self.sound = table
            parts = path.read_bytes().split(b"\nP_")[1:]
            self.rows = {
                patient: b"P_" + part.removesuffix(b"\n")
                for patient, part in zip(table["patient_id"], parts, strict=True)
            }
        for patient in intact(path.read_bytes(), self.rows):
            expected = self.sound[self.sound["patient_id"] == patient].iloc[0]
            matching = (table == expected).all(axis=1)
            assert matching.any(), f"{patient} is gone"
        assert len(table) >= COUNT, f"{len(table)} rows"
