"""Damages valid files of every format by seed, and reads them in this one process.

PYTHONPATH=lib:tests python -m helpers.fuzzing FOLDER --count 150 --seed 0 [--only PGM LJPEG]

Prints one line of JSON a finding. What was under way when a decoder ended the process stands in
FOLDER/case.json. An address space of little more than what is used at the start bounds the memory,
and CPU time bounds each case: neither depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import signal
import sys
import tarfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import psutil
import pydicom
import tifffile
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from second_look.catalogue import Catalogue
from second_look.decoding import ljpeg
from second_look.decoding.dicom import MAX_PIXELS
from second_look.decoding.masks import read_mask
from second_look.decoding.pixels import read_header, read_pixels, write_pgm, write_png
from second_look.errors import SecondLookError
from second_look.sources.cbis_ddsm import read_cbis, read_descriptions, survey_descriptions
from second_look.sources.chain_code import chain_region
from second_look.sources.ddsm import read_ddsm
from second_look.sources.ddsm_formats import read_case, read_overlay
from second_look.sources.folder import read_folder
from second_look.sources.mias import read_mias

from helpers.damage import damaged
from helpers.small_cbis import NAMES, Roi, write_set
from helpers.small_dicom import BIG, DEFLATED, EXPLICIT, IMPLICIT, JPEG, RLE, file
from helpers.tiff import write_tiff

CPU_SECONDS, ALL_CPU_SECONDS = 10, 900
_SETS = 0.12
MORE_BYTES = 2_000_000_000
GREY = np.add.outer(np.arange(40) * 90, np.arange(32) * 50).astype(np.uint16)
SMALL = (GREY >> 5).astype(np.uint8)


@dataclass(frozen=True)
class Format:
    """A kind of file, how to make valid ones and how they are read.

    Attributes:
        name: What the findings call it.
        make: Writes a valid set into a folder; returns the file to damage.
        read: Reads the set from the folder and that file.
        text: Whether it is damaged word by word too.
        share: Of the cases; a whole data set takes a hundred times as long as a file.
        change: Damages the content; None: byte by byte and word by word.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path, Path], None]
    text: bool = False
    share: float = 1.0
    change: Callable[[bytes, random.Random], bytes] | None = None

    def damaged(self, content: bytes, rng: random.Random) -> bytes:
        if self.change:
            return self.change(content, rng)
        return damaged(content, content, rng, text=self.text)


def check_picture(_folder: Path, path: Path) -> None:
    """A picture that is read is one."""
    header = read_header(path)
    assert header.rows * header.cols <= MAX_PIXELS
    pixels = read_pixels(path)
    assert pixels.shape == (header.rows, header.cols)
    assert pixels.dtype in (np.uint8, np.uint16)
    assert int(pixels.max()) < 1 << header.bits, (pixels.max(), header.bits)
    mask = read_mask(path, 40, 32)
    assert mask.shape == (40, 32)
    assert mask.any()


def check_catalogue(catalogue: Catalogue) -> None:
    """All is either usable or set aside for a reason."""
    catalogue.checked()
    assert len(catalogue.images) + len(catalogue.quarantine) > 0


def _picture(name: str, write: Callable[[Path], object]) -> Format:
    def make(folder: Path) -> Path:
        write(folder / "a")
        return folder / "a"

    return Format(name, make, check_picture)


def _compressed(name: str, syntax: str, bits: int, encode: Callable[..., bytes]) -> Format:
    pixels = SMALL if bits <= 8 else GREY

    def write(path: Path) -> None:
        file(path, pixels, syntax=syntax, bits=bits, content=encapsulate([encode(pixels)]))

    return _picture(f"DICOM {name}", write)


def _lut() -> Dataset:
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [64, 0, 12])
    table.add_new("LUTData", "US", list(range(0, 4096, 64)))
    return table


def _rle(path: Path) -> None:
    data = pydicom.dcmread(file(path, GREY))
    data.compress(RLE)
    data.save_as(path)


def _pictures() -> Iterator[Format]:
    yield _picture("PGM 8 bit", lambda path: write_pgm(path, SMALL))
    yield _picture("PGM 16 bit", lambda path: write_pgm(path, GREY))
    yield _picture("PNG 8 bit", lambda path: write_png(path, SMALL))
    yield _picture("PNG 16 bit", lambda path: write_png(path, GREY))
    yield _picture("JPEG", lambda path: Image.fromarray(SMALL).save(path, "JPEG"))
    yield _picture("TIFF", lambda path: write_tiff(path, GREY))
    for how in ("zlib", "lzw", "jpeg"):
        pixels = SMALL if how == "jpeg" else GREY
        yield _picture(
            f"TIFF {how}",
            lambda path, pixels=pixels, how=how: tifffile.imwrite(
                path, pixels, compression=how, photometric="minisblack"
            ),
        )
    yield _picture("LJPEG", lambda path: path.write_bytes(ljpeg.encode(GREY)))
    for name, syntax in (
        ("implicit", IMPLICIT), ("explicit", EXPLICIT), ("big endian", BIG), ("deflated", DEFLATED),
    ):  # fmt: skip
        yield _picture(f"DICOM {name}", lambda path, syntax=syntax: file(path, GREY, syntax=syntax))
    yield _picture(
        "DICOM window",
        lambda path: file(
            path, GREY & 0xFFF, bits=12, WindowCenter=[900, 5], WindowWidth=[700, 5],
            VOILUTFunction="SIGMOID", RescaleSlope=2, RescaleIntercept=-9,
            PhotometricInterpretation="MONOCHROME1",
        ),
    )  # fmt: skip
    yield _picture("DICOM table", lambda path: file(path, GREY, VOILUTSequence=[_lut()]))
    yield _picture("DICOM frames", lambda path: file(path, np.stack([GREY] * 3)))
    yield _picture("DICOM run lengths", _rle)
    yield _compressed("JPEG", f"{JPEG}50", 8, imagecodecs.jpeg8_encode)
    twelve = {"bitspersample": 12}
    yield _compressed("JPEG 12 bit", f"{JPEG}51", 12,
                      lambda pixels: imagecodecs.jpeg8_encode(pixels, **twelve))  # fmt: skip
    yield _compressed("JPEG lossless", f"{JPEG}70", 16, ljpeg.encode)
    yield _compressed("JPEG-LS", f"{JPEG}80", 16, imagecodecs.jpegls_encode)
    plain = {"codecformat": "j2k", "level": 0}
    yield _compressed("JPEG 2000", f"{JPEG}90", 16,
                      lambda pixels: imagecodecs.jpeg2k_encode(pixels, **plain))  # fmt: skip
    yield _compressed("JPEG 2000 fast", f"{JPEG}201", 16, imagecodecs.htj2k_encode)


def _make_mias(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    rows = ["mdb001 G CIRC B 10 12 5", "mdb002 D NORM", "mdb003 F CALC M *NOTE 3*"]
    rows += ["mdb003 F SPIC M 20 10 4"]
    (folder / "Info.txt").write_text("MINI MIAS\r\n" + "\r\n".join(rows) + "\r\n")
    for number in (1, 2, 3):
        write_pgm(folder / f"mdb{number:03d}.pgm", SMALL)
    return folder / "Info.txt"


def _read_mias(folder: Path, _path: Path) -> None:
    check_catalogue(read_mias(folder, folder / "cache"))


def _archive(mode: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        _make_mias(folder / "all-mias")
        path = folder / f"all-mias.tar{mode and '.'}{mode}"
        with tarfile.open(path, f"w:{mode}") as tar:
            for member in sorted((folder / "all-mias").iterdir()):
                tar.add(member, member.name)
                member.unlink()
        (folder / "all-mias").rmdir()
        return path

    return make


def _read_archive(folder: Path, path: Path) -> None:
    check_catalogue(read_mias(path, folder / "cache"))


_LINES = "filename A-0002-1\nDENSITY 3\nDIGITIZER DBA 21\nSEQUENCE\n"
_OVERLAY = """TOTAL_ABNORMALITIES 2
ABNORMALITY 1
LESION_TYPE MASS SHAPE OVAL MARGINS N/A
ASSESSMENT 3
SUBTLETY 5
PATHOLOGY BENIGN
TOTAL_OUTLINES 1
BOUNDARY
10 20 2 2 2 2 4 4 4 4 6 6 6 6 0 0 0 0 #
ABNORMALITY 2
LESION_TYPE CALCIFICATION TYPE PLEOMORPHIC DISTRIBUTION CLUSTERED
ASSESSMENT 4
SUBTLETY 2
PATHOLOGY MALIGNANT
TOTAL_OUTLINES 1
BOUNDARY
4 6 2 2 2 4 4 4 6 6 6 0 0 0 #
"""


def _make_ddsm(ending: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        case = folder / "raw" / "cancers" / "cancer_01" / "case0002"
        case.mkdir(parents=True)
        lines = _LINES
        for view, outlines in (("LEFT_CC", "OVERLAY"), ("RIGHT_CC", "NON_OVERLAY")):
            (case / f"A_0002_1.{view}.LJPEG").write_bytes(ljpeg.encode(GREY & 0xFFF))
            lines += f"{view} LINES 40 PIXELS_PER_LINE 32 BITS_PER_PIXEL 12 RESOLUTION 43.5 "
            lines += f"{outlines}\n"
        (case / "A_0002_1.LEFT_CC.OVERLAY").write_text(_OVERLAY)
        (case / "A-0002-1.ics").write_text(lines)
        return next(case.glob(f"*{ending}"))

    return make


def _read_ddsm(folder: Path, _path: Path) -> None:
    check_catalogue(read_ddsm(folder / "raw", folder / "cache"))


def _read_overlay(_folder: Path, path: Path) -> None:
    for lesion in read_overlay(path):
        assert lesion.types
        if lesion.boundary is not None:
            mask = chain_region(lesion.boundary, 40, 32).on_film(40, 32)
            assert mask is None or mask.shape == (40, 32)


def _read_case(_folder: Path, path: Path) -> None:
    case = read_case(path)
    assert all(view.rows > 0 and view.cols > 0 for view in case.views)


def _make_cbis(damage: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        root = write_set(
            folder / "raw",
            Roi(kind="mass", split="train"),
            Roi(kind="mass", split="train", number="2"),
            Roi(kind="calc", split="test", patient="P_00002", pathology="BENIGN"),
        )
        if damage == "csv":
            return root / NAMES["mass", "train"]
        return sorted(root.rglob("*.dcm"))[0 if damage == "image" else -1]

    return make


def _read_csv(_folder: Path, path: Path) -> None:
    rows = read_descriptions([path])
    survey_descriptions(rows)


def _read_cbis(folder: Path, _path: Path) -> None:
    check_catalogue(read_cbis(folder / "raw", folder / "cache"))


def _make_folder(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    write_png(folder / "a.png", GREY)
    write_png(folder / "m.png", SMALL)
    (folder / "t.csv").write_text(
        "path,patient,label,side,view,split,density,kind,assessment,subtlety,mask,boxes,"
        "pixel_size_mm,aspect\n"
        'a.png,p1,benign|malignant,L,CC,train,3,mass|calcification,3|4,5|1,m.png,"1,2,9,9;4,5,8,9",'
        "0.05,0.8\n"
        "m.png,p2,normal,R,MLO,test,1,,,,,,,\n"
    )
    return folder / "t.csv"


def _read_folder(folder: Path, path: Path) -> None:
    check_catalogue(read_folder(path, folder, dataset="own"))


def formats() -> list[Format]:
    """Every format that is read."""
    return [
        *_pictures(),
        Format("ics", _make_ddsm(".ics"), _read_case, text=True, share=2),
        Format("OVERLAY", _make_ddsm(".OVERLAY"), _read_overlay, text=True, share=2),
        Format("CBIS CSV", _make_cbis("csv"), _read_csv, text=True, share=2),
        Format("Info.txt", _make_mias, _read_mias, text=True, share=_SETS),
        *(Format(f"tar {mode}".strip(), _archive(mode), _read_archive, share=_SETS)
          for mode in ("", "gz", "xz")),
        *(Format(f"DDSM {ending}", _make_ddsm(ending), _read_ddsm, text=ending != "LJPEG",
                 share=_SETS) for ending in ("ics", "OVERLAY", "LJPEG")),
        *(Format(f"CBIS {part}", _make_cbis(part), _read_cbis, text=part == "csv", share=_SETS)
          for part in ("csv", "image", "mask")),
        Format("own CSV", _make_folder, _read_folder, text=True, share=_SETS),
    ]  # fmt: skip


class _TooLongError(BaseException):
    """A case took more CPU time than it may."""


def _stop(_signal: int, _frame: object) -> None:
    raise _TooLongError


def _finding(form: Format, folder: Path, path: Path) -> str:
    """Why a case is a finding; "" where it is none."""
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        form.read(folder, path)
    except SecondLookError as error:
        return "" if str(error) else "an error without words"
    except _TooLongError:
        return f"more than {CPU_SECONDS} s of CPU"
    except BaseException:
        return traceback.format_exc(limit=-6)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return ""


def fuzz(form: Format, folder: Path, cases: range, seed: int) -> Iterator[dict[str, object]]:
    """Make a valid set in a new folder, damage it by seed and number, read it; yields findings."""
    folder.mkdir()
    path = form.make(folder)
    content, valid_paths = path.read_bytes(), set(folder.rglob("*"))
    reason = _finding(form, folder, path)
    if reason:
        yield {"format": form.name, "case": "undamaged", "reason": reason}
    for number in cases:
        rng = random.Random(f"{seed} {form.name} {number}")
        path.write_bytes(form.damaged(content, rng))
        (folder.parent / "case.json").write_text(json.dumps([form.name, number, seed]))
        reason = _finding(form, folder, path)
        if reason:
            yield {"format": form.name, "case": number, "reason": reason}
        for entry in sorted(folder.rglob("*"), reverse=True):
            if entry not in valid_paths:
                entry.rmdir() if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def bound_process() -> None:
    """Bound memory and CPU time of this process, and keep it quiet."""
    used = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (used + MORE_BYTES,) * 2)
    # The alarm of a case waits for a decoder to come back; this does not.
    resource.setrlimit(resource.RLIMIT_CPU, (ALL_CPU_SECONDS,) * 2)
    signal.signal(signal.SIGPROF, _stop)
    sys.stderr = io.StringIO()  # progress bars and decoders' remarks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+")
    options = parser.parse_args()
    bound_process()
    for number, form in enumerate(formats()):
        if options.only and form.name not in options.only:
            continue
        start = time.process_time()
        count = round(options.count * form.share)
        for finding in fuzz(form, options.folder / f"{number:02d}", range(count), options.seed):
            print(json.dumps(finding), flush=True)
        seconds = round(time.process_time() - start, 2)
        print(json.dumps({"format": form.name, "cases": count, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
