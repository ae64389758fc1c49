"""Changes to the bytes of a file as disks, networks and people make them, drawn by seed."""

from __future__ import annotations

import random
import re

_NUMBERS = [0, 1, 2, 3, 7, 8, 9, 31, 32, 33, 127, 128, 255, 256, 4095, 32767, 32768, 65535, 65536]
_NUMBERS += [99_999, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 10**12, -1, -2, -32768]
_WORDS = ["", " ", "\0", "²", "٣", "é", '"', "'", ",", ";", "|", "\n", "\r", "\r\n\r\n", "../", "/"]
_WORDS += ["nan", "inf", "-0", "1e999", "1e-999", "0x10", "#", "*NOTE 3*", "\ufeff", "a" * 300]
_WORDS += ["true", "None", "MALIGNANT", "BENIGN", "NORM", "\ud800", "%s", "9" * 5000]


def damaged(content: bytes, donor: bytes, rng: random.Random, *, text: bool) -> bytes:
    """One to four changes of one content; `other` is of the same format."""
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        change = rng.choice([*_CHANGES, *([_word] * 6 if text else [])])
        content = change(bytearray(content), donor, rng)
    return content


def _index(content: bytearray, rng: random.Random) -> int:
    """Anywhere, and in every second case near the beginning, where headers are."""
    limit = len(content) if rng.random() < 0.5 else min(len(content), 900)
    return rng.randrange(max(1, limit))


def _flip(content: bytearray, _donor: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.choice([1, 2, 8])):
        if content:
            content[_index(content, rng)] ^= 1 << rng.randrange(8)
    return bytes(content)


def _set(content: bytearray, _donor: bytes, rng: random.Random) -> bytes:
    if content:
        content[_index(content, rng)] = rng.choice([0, 1, 127, 128, 254, 255])
    return bytes(content)


def _truncate(content: bytearray, _donor: bytes, rng: random.Random) -> bytes:
    return bytes(content[: _index(content, rng)])


def _insert(content: bytearray, _donor: bytes, rng: random.Random) -> bytes:
    index = _index(content, rng)
    return bytes(content[:index] + rng.randbytes(rng.choice([1, 2, 4, 64])) + content[index:])


def _remove(content: bytearray, _donor: bytes, rng: random.Random) -> bytes:
    index = _index(content, rng)
    return bytes(content[:index] + content[index + rng.choice([1, 2, 4, 64]) :])


def _splice(content: bytearray, donor: bytes, rng: random.Random) -> bytes:
    return bytes(content[: _index(content, rng)] + donor[_index(bytearray(donor), rng) :])


def _binary_number(content: bytearray, _donor: bytes, rng: random.Random) -> bytes:
    size, index = rng.choice([1, 2, 4]), _index(content, rng)
    number = rng.choice(_NUMBERS) & ((1 << 8 * size) - 1)
    content[index : index + size] = number.to_bytes(size, rng.choice(["big", "little"]))
    return bytes(content)


def _written_number(content: bytearray, _donor: bytes, rng: random.Random) -> bytes:
    matches = list(re.finditer(rb"\d+", bytes(content[:4000])))
    if not matches:
        return bytes(content)
    start, stop = rng.choice(matches).span()
    return bytes(content[:start] + str(rng.choice(_NUMBERS)).encode() + content[stop:])


def _word(content: bytearray, _donor: bytes, rng: random.Random) -> bytes:
    matches = list(re.finditer(rb"[^\s,;/]+", bytes(content)))
    start, stop = rng.choice(matches).span() if matches else (0, 0)
    word = rng.choice(_WORDS).encode(rng.choice(["utf-8", "latin-1"]), "replace")
    return bytes(content[:start] + word + content[rng.choice([start, stop]) :])


_CHANGES = (
    _flip, _set, _truncate, _insert, _remove, _splice, _binary_number, _written_number,
)  # fmt: skip
