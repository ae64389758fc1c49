"""One file over HTTP: resumed where it broke off, and kept only with the right checksum."""

from __future__ import annotations

import errno
import hashlib
import shutil
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from tqdm.auto import tqdm

from second_look.errors import DataError, MissingDataError, OutputError

# Room that a download leaves free on the disk.
_SPARE_BYTES = 1_000_000_000
_CHUNK = 1 << 20
_TIMEOUT_S = 60
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class RemoteFile:
    """A file that can be fetched.

    Attributes:
        address: Where it is.
        checksum: "algorithm:hex digits", such as sha256:0123…; the digits may be the first ones
            of the digest, as torchvision gives them. "" if none is published.
        remedy: What to do if the checksum is another one; "" for trying again.
        most_bytes: More than these are not fetched: a server need not say how many there are.
    """

    address: str
    checksum: str = ""
    remedy: str = ""
    most_bytes: int = 2**63


def fetch_file(target: Path, remote: RemoteFile, *, retries: int, pause_s: float = 2.0) -> bool:
    """Fetch a file, unless it is there with that checksum.

    Until it is complete it is in .<name>.part beside its place; the next call continues there.

    Args:
        target: Where it goes.
        remote: Where it comes from.
        retries: After a broken connection, each after a longer pause.
        pause_s: Before the first of them, s.

    Returns:
        Whether it was fetched now.

    Raises:
        MissingDataError: The server cannot be reached, or has no such file.
        DataError: What came has another checksum; it is not kept.
        OutputError: The disk is full.
    """
    if target.is_file() and has_checksum(target, remote.checksum):
        return False
    draft = target.with_name(f".{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(retries + 1):
        try:
            _continue(draft, remote)
            break
        except (OSError, HTTPException) as error:
            _raise_final(error, target, remote, last=attempt == retries)
            time.sleep(pause_s * (attempt + 1))
    if not has_checksum(draft, remote.checksum):
        draft.unlink()
        raise DataError(
            f"what came has another checksum than {remote.checksum}.",
            location=remote.address,
            remedy=remote.remedy or "Try again.",
        )
    draft.replace(target)
    return True


def has_checksum(path: Path, checksum: str) -> bool:
    """Whether a file's digest begins with that of a checksum; any does with ""."""
    algorithm, _, digits = checksum.partition(":")
    if not digits:
        return True
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest().startswith(digits)


def _continue(draft: Path, remote: RemoteFile) -> None:
    """Fetch what a draft lacks; all of it where the server cannot continue."""
    address = remote.address
    start = draft.stat().st_size if draft.is_file() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if start and error.code == 416:  # the draft is complete, or of another file
            return
        raise
    with response:
        start = start if response.status == 206 else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        with (
            draft.open("ab" if start else "wb") as stream,
            tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=draft.name) as bar,
        ):
            while chunk := response.read(_CHUNK):
                if stream.tell() + len(chunk) > remote.most_bytes:
                    draft.unlink()
                    raise DataError(
                        f"more than {gigabytes(remote.most_bytes)} come, which the file has not.",
                        address,
                        "Fetch it elsewhere.",
                    )
                stream.write(chunk)
                bar.update(len(chunk))
    size = draft.stat().st_size
    if total is not None and size != total:
        raise ConnectionError(f"it broke off after {size:,} of {total:,} bytes")


def _raise_final(
    error: OSError | HTTPException, target: Path, remote: RemoteFile, *, last: bool
) -> None:
    """Raise what another attempt cannot mend, and the last error in any case."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        raise OutputError(f"{target}: no space left on the disk.") from error
    refused = isinstance(error, urllib.error.HTTPError) and 400 <= error.code < 500
    if last or refused:
        raise MissingDataError(
            f"the download failed ({type(error).__name__}: {error}).",
            location=remote.address,
            remedy="Check the network and run the same command again, which continues it; or "
            f"fetch this address elsewhere and put the file at {target}.",
        ) from error


def check_room(folder: Path, size: int) -> None:
    """Raise OutputError if a disk has no room for so many bytes."""
    free = free_bytes(folder)
    if free < size + _SPARE_BYTES:
        raise OutputError(
            f"{folder}: {gigabytes(size)} are needed, and {gigabytes(_SPARE_BYTES)} to spare; "
            f"{gigabytes(free)} are free. Free some, choose another folder or fetch less."
        )


def free_bytes(folder: Path) -> int:
    """Free room on the disk that the folder is on, or will be."""
    existing = folder.resolve()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def gigabytes(size: float) -> str:
    """A size as people read it, from bytes."""
    return f"{size / 1e9:,.2f} GB"
