"""Files that are written whole or not at all, and read within bounds."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd

from second_look.errors import DataError, MissingDataError, OutputError

# Environment variable that names the folder of the data sets.
DATA_VARIABLE = "SECOND_LOOK_DATA"
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EFBIG)
# What reading a damaged table may raise: pyarrow's errors are of these kinds.
_BROKEN_TABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, NotImplementedError)
# Of a terminal, of the direction of writing, and halves of letters; tabs and newlines are harmless.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_FORMULA = re.compile(r"\s*[=@]|\s*[+-](?![\d\s.,%eE+\-–to\[\]()]*$)")
_DRAFT = re.compile(r"\..+\.(\d+)\.tmp")


@contextmanager
def clear_write_errors(path: Path) -> Iterator[None]:
    """Turn errors of the block into clear ones that name `path`.

    Raises:
        OutputError: The folder cannot be written or the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(
                f"{path}: no space left on the disk. Free some and run again; "
                "what is done stays done."
            ) from error
        if error.errno == errno.EISDIR:
            raise OutputError(
                f"{path}: a folder stands where this file is to be written. Remove or rename it, "
                "and run again."
            ) from error
        if error.errno in _REFUSED:
            raise OutputError(
                f"{path}: cannot be written ({error.strerror}). "
                "Choose another outputs folder, or change its rights."
            ) from error
        raise


@contextmanager
def written_whole(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A path to write to, renamed to `path` when the block has succeeded.

    Args:
        path: What is written.
        durable: It survives a power cut as well, which takes about 12 ms more: for what took long
            to make. Everything else is made again where its digest does not agree.

    Raises:
        OutputError: The folder cannot be written or the disk is full; nothing is left behind.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with clear_write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield draft
            if durable:
                _to_disk(draft)
            draft.replace(path)
            if durable:
                with suppress(OSError):  # not every file system does it for folders
                    _to_disk(path.parent)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_drafts(folder: Path) -> list[Path]:
    """Remove what `written_whole` left below a folder in processes that were killed.

    Returns:
        What was removed; drafts of processes that live stay.
    """
    removed = []
    for path in sorted(folder.rglob(".*.tmp")):
        match = _DRAFT.fullmatch(path.name)
        if match and path.is_file() and not _lives(int(match[1])):
            with suppress(OSError):
                path.unlink()
                removed.append(path)
    return removed


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


class _Bounded(io.BufferedReader):
    """A file that is never asked for more bytes than it has."""

    def __init__(self, raw: io.FileIO, length: int) -> None:
        super().__init__(raw)
        self._length = length

    def read(self, size: int | None = -1, /) -> bytes:
        remaining = max(0, self._length - self.tell())
        return super().read(remaining if size is None or size < 0 else min(size, remaining))


def check_regular(path: Path) -> None:
    """Refuse what is no file: a pipe or a socket would keep its reader waiting for ever.

    Raises:
        DataError: It is there, and neither a file nor a folder.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return  # whoever opens it says why
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise DataError("this is a pipe, a socket or a device, not a file.", path, "Remove it.")


def open_bounded(path: Path) -> io.BufferedReader:
    """Open a file for a decoder that allocates whatever length a header claims."""
    check_regular(path)
    raw = io.FileIO(path)
    return _Bounded(raw, os.fstat(raw.fileno()).st_size)


def read_bytes(path: Path, remedy: str) -> bytes:
    """The content of a file that the user gave.

    Raises:
        MissingDataError: It is not there.
        DataError: It cannot be read, or is no file.
    """
    check_regular(path)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise MissingDataError("the file is not there.", path, remedy) from None
    except IsADirectoryError:
        raise MissingDataError("this is not a file, but a folder.", path, remedy) from None
    except PermissionError:
        raise DataError("the file may not be read.", path, "Change its rights.") from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}).", path, remedy) from None


def write_bytes(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write bytes, whole or not at all."""
    with written_whole(path, durable=durable) as draft:
        draft.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write text as UTF-8, whole or not at all."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: object, *, durable: bool = False) -> None:
    """Write indented JSON with a final newline, whole or not at all."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes(path, text.encode(), durable=durable)


def read_json(path: Path) -> Any:  # noqa: ANN401
    """The content of a JSON file; None where there is none that can be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def read_object(path: Path) -> dict[str, Any]:
    """The content of a file that holds one JSON object; {} where there is none to be read."""
    content = read_json(path)
    return content if isinstance(content, dict) else {}


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Write a table without its index, whole or not at all."""
    with written_whole(path) as draft:
        frame.to_parquet(draft, index=False)


def read_parquet(path: Path, columns: list[str] | None = None, *, remedy: str = "") -> pd.DataFrame:
    """A table that an earlier notebook wrote.

    Args:
        path: The table.
        columns: All that is read of it; None: everything.
        remedy: What to do where it is damaged; "": run the notebook that writes it.

    Raises:
        OutputError: It is not there, damaged, or has no such column.
    """
    remedy = remedy or "Run the notebook that writes it again."
    try:
        return pd.read_parquet(path, columns=columns)
    except FileNotFoundError:
        raise OutputError(f"{path} is not there. {remedy}") from None
    except _BROKEN_TABLE as error:
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise OutputError(f"{path}: cannot be read as a table ({text}). {remedy}") from None


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a table without its index, whole or not at all; texts as `harmless` has them."""
    cleaned, _ = harmless(frame)
    with written_whole(path) as draft:
        cleaned.to_csv(draft, index=False, encoding="utf-8")


def harmless(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """A table whose texts are `harmless_text`, and how many of them had to be changed."""
    cleaned, changed = frame.copy(deep=False), 0
    for name in frame:
        if pd.api.types.is_numeric_dtype(frame[name].dtype):
            continue
        cells = list(frame[name])
        texts = [harmless_text(cell) if isinstance(cell, str) else cell for cell in cells]
        count = sum(text is not cell for text, cell in zip(texts, cells, strict=True))
        if count:
            cleaned[name], changed = texts, changed + count
    return cleaned, changed


def harmless_text(text: str) -> str:
    r"""A text from data that a terminal, a spreadsheet or an encoder takes as text.

    Control characters and halves of letters are written out (\x1b), and before what a spreadsheet
    would run as a formula stands an apostrophe. Numbers with their signs and intervals stay.
    """
    text = plain(text)
    return f"'{text}" if _FORMULA.match(text) else text


def plain(text: str) -> str:
    r"""A text without control characters and halves of letters: they are written out (\x1b)."""
    if not _CONTROL.search(text):
        return text
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


def write_with(path: Path, save: Callable[[Path], object]) -> None:
    """Let `save` write to a draft that becomes `path` when it is complete."""
    with written_whole(path) as draft:
        save(draft)


def sha256(path: Path) -> str:
    """Hex digest of a file's content, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_fingerprint(path: Path) -> str:
    """Hex digest of names, sizes and times of a file or of all files below a folder.

    Contents are not read, so it takes milliseconds for thousands of images.
    """
    if path.is_file():
        entries = [path]
    else:
        entries = sorted(file for file in path.rglob("*") if file.is_file())
    digest = hashlib.sha256()
    for entry in entries:
        try:
            state = entry.stat()
        except FileNotFoundError:  # removed meanwhile: as if it had never existed
            continue
        name = entry.relative_to(path).as_posix() if entry != path else entry.name
        digest.update(f"{name}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return digest.hexdigest()
