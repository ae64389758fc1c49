"""mini-MIAS on disk: its folder or archive, and the copies of it in other formats and layouts."""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import lzma
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from second_look.decoding.pixels import write_pgm
from second_look.errors import DataError, MissingDataError
from second_look.files import clear_write_errors

ADDRESS = "http://peipa.essex.ac.uk/pix/mias/all-mias.tar.gz"
ARCHIVES = ("all-mias.tar.gz", "all-mias.tar.xz", "all-mias.tar")
# Kaggle's copy holds the pictures in this file too.
SCANS = "all_mias_scans.h5"
NAME = re.compile(r"mdb[0-9]{1,9}")
# Formats of copies; of several files of one image the first counts.
ENDINGS = (".pgm", ".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg")
# Folders of the data root that may hold it, in small letters.
_FOLDERS = ("all-mias", "mias", "mini-mias", "mias-mammography")
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
# The archive unpacks to 338 MB in files of 1 MB; far more than that is not mini-MIAS. Headers of an
# archive are read into memory at once, and so is Info.txt.
_MAX_UNPACKED_BYTES = 1_000_000_000
_MAX_MEMBER_BYTES = 20_000_000
_OPENERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"\xfd7zXZ": lzma.open,
    b"BZh": bz2.open,
}


def find_mias(location: Path) -> Path:
    """The folder with Info.txt, or else the archive, at the location given to `read_mias`.

    Raises:
        MissingDataError: There is neither of them.
    """
    if location.is_file():
        return location
    subfolders = sorted(path for path in location.glob("*") if path.name.lower() in _FOLDERS)
    for folder in (location, *subfolders):
        if (folder / "Info.txt").is_file():
            return folder
    for name in ARCHIVES:
        if (location / name).is_file():
            return location / name
    raise MissingDataError(
        f"no mini-MIAS here: expected Info.txt and PGM files, or one of {', '.join(ARCHIVES)}.",
        location=location,
        remedy=f"Get it with: curl -L -o {location}/all-mias.tar.gz {ADDRESS}",
    )


def open_mias(location: Path, cache: Path) -> tuple[Path, dict[str, Path]]:
    """Info.txt and the pictures at the location given to `read_mias`.

    The pictures lie beside Info.txt or in folders below, in any format, their names in small or
    capital letters; or they are in SCANS.

    Returns:
        The folder with Info.txt; image_id -> picture.

    Raises:
        MissingDataError: There is no such folder or archive.
        DataError: The archive is broken or unsafe.
    """
    source = find_mias(location)
    folder = source if source.is_dir() else _unpack(source, cache)
    pictures = _pictures(folder)
    scans = folder / SCANS
    if not pictures and scans.is_file():
        pictures = _pictures(_unpack_scans(scans, cache))
    return folder, pictures


def _pictures(folder: Path) -> dict[str, Path]:
    """image_id -> its picture in a folder or one below it."""
    ranked: dict[str, tuple[int, Path]] = {}
    names = "[mM][dD][bB]*"
    for path in sorted([*folder.glob(names), *folder.glob(f"*/{names}")]):
        image_id, ending = path.stem.lower(), path.suffix.lower()
        if not NAME.fullmatch(image_id) or ending not in ENDINGS:
            continue
        rank = ENDINGS.index(ending)
        if image_id not in ranked or rank < ranked[image_id][0]:
            ranked[image_id] = (rank, path)
    return {image_id: path for image_id, (_, path) in ranked.items()}


def _unpack(archive: Path, cache: Path) -> Path:
    """The folder with Info.txt of an archive, unpacked into the cache."""
    target = _unpacked(archive, cache, _extract_safely)
    infos = sorted(target.rglob("Info.txt"))
    if not infos:
        raise DataError("the archive holds no Info.txt.", location=archive, remedy=f"Get {ADDRESS}")
    return infos[0].parent


def _unpack_scans(scans: Path, cache: Path) -> Path:
    """The pictures of SCANS as PGM files in the cache."""
    return _unpacked(scans, cache, _write_scans)


def _unpacked(archive: Path, cache: Path, extract: Callable[[Path, Path], None]) -> Path:
    """A folder of the cache with what is in a file, completely or not at all, made only once."""
    try:
        with archive.open("rb"):
            state = archive.stat()
    except OSError as error:
        remedy = f"Change its rights, or download it again: {ADDRESS}"
        raise DataError(f"cannot be read ({error.strerror}).", archive, remedy) from None
    mark = hashlib.sha256(f"{archive.name}\0{state.st_size}\0{state.st_mtime_ns}".encode())
    target = cache / f"all-mias-{mark.hexdigest()[:12]}"
    if not target.is_dir():
        if not os.access(archive, os.R_OK):
            raise DataError("the archive may not be read.", archive, "Change its rights.")
        with clear_write_errors(target):
            cache.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=cache))
            try:
                extract(archive, draft)
                draft.rename(target)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    return target


def _write_scans(scans: Path, target: Path) -> None:
    """Write each image of SCANS once: it repeats those with several rows in Info.txt."""
    import h5py

    try:
        with h5py.File(scans) as content:
            names = [bytes(name).decode() for name in content["REFNUM"]]
            pixels = content["scan"]
            if pixels.dtype != np.uint8 or pixels.ndim != 3 or len(pixels) != len(names):
                raise DataError(f"scan has the shape {pixels.shape} of {pixels.dtype}.", scans)
            for name, index in {name: index for index, name in enumerate(names)}.items():
                if not NAME.fullmatch(name.lower()):
                    raise DataError(f"expected names such as mdb005. Got {name!r}.", scans)
                write_pgm(target / f"{name.lower()}.pgm", pixels[index])
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            raise
        raise DataError(
            f"cannot be read ({error}).", scans, f"Use the PGM files: {ADDRESS}"
        ) from error


class _Modest:
    """A stream that refuses to read very much at once, as forged headers of an archive ask for."""

    def __init__(self, stream: Any) -> None:  # noqa: ANN401
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        """As of a file."""
        if not 0 <= size <= _MAX_MEMBER_BYTES:
            raise tarfile.TarError(f"a header of {size:,} bytes")
        content: bytes = self._stream.read(size)
        return content


@contextmanager
def _members(archive: Path) -> Iterator[tarfile.TarFile]:
    """An archive, packed in any way, whose headers are small."""
    with archive.open("rb") as stream:
        start = stream.read(6)
    opener = next((opener for mark, opener in _OPENERS.items() if start.startswith(mark)), open)
    with (
        opener(archive, "rb") as stream,
        tarfile.open(fileobj=cast("IO[bytes]", _Modest(stream)), mode="r:") as tar,
    ):
        yield tar


def _extract_safely(archive: Path, target: Path) -> None:
    """Extract plain files below `target`; refuse every other kind of member."""
    total = 0
    try:
        with _members(archive) as tar:
            for member in tar:
                name = Path(member.name)
                plain = member.isfile() or member.isdir()
                if name.is_absolute() or ".." in name.parts or not plain:
                    raise DataError(
                        f"the member {member.name!r} is a link or device, or leads outside.",
                        location=archive,
                        remedy=f"Do not trust this archive; get {ADDRESS}",
                    )
                total += member.size
                if total > _MAX_UNPACKED_BYTES or member.size > _MAX_MEMBER_BYTES:
                    raise DataError(
                        f"the archive unpacks to more than {_MAX_UNPACKED_BYTES / 1e9:g} GB, or a "
                        f"file in it to more than {_MAX_MEMBER_BYTES / 1e6:g} MB.",
                        location=archive,
                        remedy=f"Do not trust this archive; get {ADDRESS}",
                    )
                tar.extract(member, target, filter="data")
    except DataError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            raise
        # tarfile and its decompressors raise exceptions of all kinds for broken archives.
        raise DataError(
            f"the archive is broken ({error}).",
            location=archive,
            remedy=f"Download it again: {ADDRESS}",
        ) from error
