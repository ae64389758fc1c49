"""The files of DDSM: .ics (a case), .OVERLAY (the lesions of a film) and .LJPEG (a film).

Formats after Heath et al. 2001 and "DDSM: Description of a case", University of South Florida.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from second_look.catalogue import whole_number
from second_look.decoding.ljpeg import decode
from second_look.errors import DataError, MissingDataError
from second_look.files import read_bytes
from second_look.sources.chain_code import Chain

VIEWS = ("LEFT_CC", "LEFT_MLO", "RIGHT_CC", "RIGHT_MLO")
PATHOLOGIES = {
    "MALIGNANT": "malignant",
    "BENIGN": "benign",
    "BENIGN_WITHOUT_CALLBACK": "benign_without_callback",
}
UNPROVEN = "UNPROVEN"
# First letter of a case -> hospital that scanned it.
SITES = {"A": "MGH", "B": "WFU", "C": "WFU", "D": "ISMD"}
_CASE = re.compile(r"([A-D])[-_](\d+)[-_](\d+)")
# Lines of an .ics before the views; most of them are not used.
_CASE_WORDS = re.compile(
    "ics_version|filename|DATE_OF_STUDY|PATIENT_AGE|FILM|FILM_TYPE|DENSITY|DATE_DIGITIZED|"
    "DIGITIZER|SEQUENCE|SELECTED"
)
_VIEW = re.compile(
    r"\w+ LINES (\d+) PIXELS_PER_LINE (\d+) BITS_PER_PIXEL (\d+) RESOLUTION ([\d.]+) "
    r"(OVERLAY|NON_OVERLAY)"
)
_OVERLAY_WORDS = re.compile(
    "TOTAL_ABNORMALITIES|ABNORMALITY|LESION_TYPE|ASSESSMENT|SUBTLETY|PATHOLOGY|TOTAL_OUTLINES|"
    "BOUNDARY|CORE"
)
_REPLACE = "Get the file again, or take the case out of the data set."


@dataclass(frozen=True, slots=True)
class View:
    """One film of a case.

    Attributes:
        name: One of VIEWS.
        rows, cols: Its size, px.
        bits: Significant bits a pixel.
        resolution_um: Size of a pixel, µm.
        overlay: Whether it has lesions, outlined in an .OVERLAY file.
        line: Of the .ics.
    """

    name: str
    rows: int
    cols: int
    bits: int
    resolution_um: float
    overlay: bool
    line: int


@dataclass(frozen=True, slots=True)
class Case:
    """What an .ics file says.

    Attributes:
        name: Such as A_0002_1.
        density: ACR density of the breast, 1 to 4; "" if not given.
        digitizer: DBA, HOWTEK or LUMISYS.
        views: Its films.
        problems: (line, what is wrong) of lines that could not be used.
    """

    name: str
    density: str
    digitizer: str
    views: tuple[View, ...]
    problems: tuple[tuple[int, str], ...] = ()

    @property
    def site(self) -> str:
        """Where it was digitised, one of the values of SITES."""
        return SITES[self.name[0]]

    @property
    def patient(self) -> str:
        """Letter and number, such as A_0002: numbers alone repeat across the volumes."""
        return self.name.rpartition("_")[0]


@dataclass(frozen=True, slots=True)
class Abnormality:
    """One lesion of an .OVERLAY file.

    Attributes:
        types: MASS, CALCIFICATION or OTHER, as often as in the file.
        assessment, subtlety: 0 to 6 and 0 to 5; None if not given.
        pathology: As in the file, a key of PATHOLOGIES or UNPROVEN.
        boundary: The outline of the lesion; cores are inside it.
        lost: Why there is no boundary; "" if there is one.
        problems: Other faults, of values that are not necessary.
    """

    types: tuple[str, ...]
    assessment: int | None
    subtlety: int | None
    pathology: str
    boundary: Chain | None
    lost: str = ""
    problems: tuple[str, ...] = ()


def case_name(path: Path) -> str:
    """The case that a file belongs to by its name: A-0002-1.ics, A_0002_1.LEFT_CC.LJPEG.

    Returns:
        Such as A_0002_1; "" where the name is of another kind.
    """
    match = _CASE.fullmatch(path.name.partition(".")[0])
    return "_".join(match.groups()) if match else ""


def read_case(path: Path) -> Case:
    """Read an .ics file.

    Unusable lines become problems: a view without its line is left out, and other lines are not
    necessary.

    Raises:
        DataError: The file cannot be read, is of another case than its name says, or has no view.
    """
    name = case_name(path)
    words: dict[str, str] = {}
    views: list[View] = []
    problems: list[tuple[int, str]] = []
    for number, text in enumerate(_text(path).splitlines(), start=1):
        word, _, values = text.strip().partition(" ")
        if _CASE_WORDS.fullmatch(word):
            words[word] = values.strip()
        elif word in VIEWS:
            try:
                views.append(_view(text, number, [view.name for view in views]))
            except ValueError as error:
                problems.append((number, str(error)))
        elif word:
            problems.append((number, f"unknown word {word!r}"))
    case = words.get("filename", "").replace("-", "_")
    if not name or case != name:
        raise DataError(f"expected the case {name!r}. Got {case!r}.", path, _REPLACE)
    if not views:
        raise DataError("no view is described.", path, _REPLACE)
    density = words.get("DENSITY", "")
    if density and density not in "1234":
        problems.append((0, f"expected a density of 1 to 4. Got {density!r}"))
        density = ""
    digitizer = words.get("DIGITIZER", "").partition(" ")[0].upper()
    return Case(name, density, digitizer, tuple(views), tuple(problems))


def _view(text: str, number: int, earlier: list[str]) -> View:
    """A line such as `LEFT_CC LINES 4696 … OVERLAY`; ValueError says what is wrong with it."""
    match = _VIEW.fullmatch(" ".join(text.split()))
    if match is None:
        raise ValueError(f"expected lines, pixels, bits, resolution and overlay. Got {text!r}")
    name = text.split()[0]
    rows, cols, bits = (int(value) for value in match.groups()[:3])
    resolution = float(match[4])
    if name in earlier:
        raise ValueError(f"{name} is given twice; the first counts")
    if not (rows and cols and 1 <= bits <= 16 and resolution > 0):
        raise ValueError(f"expected a size, 1 to 16 bits and a resolution. Got {text!r}")
    return View(name, rows, cols, bits, resolution, match[5] == "OVERLAY", number)


def _text(path: Path) -> str:
    return read_bytes(path, _REPLACE).decode("ascii", errors="replace")


def read_overlay(path: Path) -> list[Abnormality]:
    """Read an .OVERLAY file.

    Raises:
        DataError: It is missing or truncated, or a lesion has no known type or pathology, so that
            the label of the image is unknown. Faults of an outline are in `lost`.
    """
    blocks: list[list[tuple[str, list[str]]]] = []
    total: list[str] = []
    for word, values in _entries(_text(path), path):
        if word == "TOTAL_ABNORMALITIES":
            total = values
        elif word == "ABNORMALITY":
            blocks.append([])
        elif blocks:
            blocks[-1].append((word, values))
        else:
            raise DataError(f"expected ABNORMALITY before {word}.", path, _REPLACE)
    if total != [str(len(blocks))] or not blocks:
        raise DataError(
            f"TOTAL_ABNORMALITIES is {' '.join(total) or 'missing'}, the file describes "
            f"{len(blocks)}.",
            path,
            _REPLACE,
        )
    abnormalities = []
    for number, block in enumerate(blocks, start=1):
        try:
            abnormalities.append(_abnormality(block))
        except ValueError as error:
            raise DataError(f"abnormality {number}: {error}.", path, _REPLACE) from None
    return abnormalities


def _entries(text: str, path: Path) -> Iterator[tuple[str, list[str]]]:
    """(keyword, the words after it) of an overlay; line ends mean nothing."""
    words = text.split()
    starts = [index for index, word in enumerate(words) if _OVERLAY_WORDS.fullmatch(word)]
    if not starts or starts[0] != 0:
        raise DataError("expected TOTAL_ABNORMALITIES.", path, _REPLACE)
    for start, stop in pairwise([*starts, len(words)]):
        yield words[start], words[start + 1 : stop]


def _abnormality(block: list[tuple[str, list[str]]]) -> Abnormality:
    """One lesion; ValueError if its type or pathology is unknown."""
    # Some files hold a boundary more than once: the first one counts.
    single = dict(reversed(block))
    types = tuple(values[0] if values else "" for word, values in block if word == "LESION_TYPE")
    pathology = " ".join(single.get("PATHOLOGY", []))
    if not types or not all(types):
        raise ValueError("expected a LESION_TYPE")
    if pathology not in PATHOLOGIES and pathology != UNPROVEN:
        raise ValueError(f"expected a PATHOLOGY {', '.join(PATHOLOGIES)}. Got {pathology!r}")
    problems: list[str] = []
    grades = [
        _grade(word, single.get(word, []), maximum, problems)
        for word, maximum in (("ASSESSMENT", 6), ("SUBTLETY", 5))
    ]
    outlines = sum(word in ("BOUNDARY", "CORE") for word, _ in block)
    total = " ".join(single.get("TOTAL_OUTLINES", []))
    if total != str(outlines):
        problems.append(f"TOTAL_OUTLINES is {total or 'missing'}, the file holds {outlines}")
    boundary, lost = None, ""
    try:
        boundary = _chain(single.get("BOUNDARY", []))
    except ValueError as error:
        lost = str(error)
    return Abnormality(types, grades[0], grades[1], pathology, boundary, lost, tuple(problems))


def _grade(word: str, values: list[str], maximum: int, problems: list[str]) -> int | None:
    text = " ".join(values)
    number = whole_number(text, maximum)
    if number is not None:
        return number
    problems.append(f"expected {word} from 0 to {maximum}. Got {text or 'nothing'}")
    return None


def _chain(words: list[str]) -> Chain:
    """x, y, steps and a final #; ValueError says what is wrong with it."""
    if not words:
        raise ValueError("there is no BOUNDARY")
    if words[-1] != "#":
        raise ValueError("the outline is truncated: it does not end with #")
    *numbers, _ = words
    if len(numbers) < 5 or not all(number.isdigit() for number in numbers):
        raise ValueError("the outline is no x, y and at least three steps")
    col, row = (whole_number(number, 65535) for number in numbers[:2])
    steps = [step for number in numbers[2:] if (step := whole_number(number, 7)) is not None]
    if col is None or row is None or len(steps) < len(numbers) - 2:
        longest = max(numbers[2:], key=lambda number: (len(number), number))
        raise ValueError(
            f"expected steps from 0 to 7 from a pixel. Got {longest:.9} at "
            f"{numbers[0]:.9} {numbers[1]:.9}"
        )
    return Chain(row, col, tuple(steps))


def read_ljpeg(path: Path, rows: int, cols: int, bits: int) -> npt.NDArray[np.uint16]:
    """Decode a film.

    Args:
        path: The .LJPEG file.
        rows: Of the film, as the .ics says. The file's own size is wrong in some films (rows and
            columns exchanged): only the number of values has to agree.
        cols: The same.
        bits: Significant bits, as the .ics says.

    Returns:
        uint16 (rows, cols), bright where the film is bright.

    Raises:
        DataError: Missing, damaged, truncated, of another number of values, or with values that
            need more bits.
    """
    try:
        pixels = decode(read_bytes(path, _REPLACE), bits)
    except MissingDataError:
        raise
    except DataError as error:
        raise DataError(error.problem, path, error.remedy) from None
    if pixels.size != rows * cols:
        raise DataError(
            f"the .ics says {rows} x {cols} px, the film has {pixels.size} values.", path, _REPLACE
        )
    return pixels.reshape(rows, cols).astype(np.uint16)


def optical_density(grey: npt.ArrayLike, digitizer: str, site: str) -> npt.NDArray[np.float64]:
    """Grey levels to optical density, which is comparable between scanners.

    The fits were measured with step wedges by the University of South Florida and published with
    DDSM ("Mapping Grey Levels to Optical Density", one page a scanner).

    Args:
        grey: Grey levels as stored, of any shape.
        digitizer: As in the .ics: DBA, HOWTEK or LUMISYS.
        site: One of the values of SITES.

    Returns:
        Optical density, 0 or more, of the same shape: dark film is high. The response of DBA
        scanners is logarithmic: a level of 0 is taken as 1.

    Raises:
        DataError: That site had no such scanner.
    """
    levels = np.asarray(grey, dtype=np.float64)
    scanner = (digitizer, site)
    if scanner == ("DBA", "MGH"):
        density = (np.log10(np.maximum(levels, 1)) - 4.80662) / -1.07553
    elif scanner == ("HOWTEK", "MGH"):
        density = 3.789 - 0.00094568 * levels
    elif scanner == ("HOWTEK", "ISMD"):
        density = 3.96604095240593 - 0.00099055807612 * levels
    elif scanner == ("LUMISYS", "WFU"):
        density = (levels - 4096.99) / -1009.01
    else:
        raise DataError(
            f"no calibration for {digitizer!r} at {site!r}: expected DBA or HOWTEK at MGH, HOWTEK "
            "at ISMD or LUMISYS at WFU."
        )
    clipped: npt.NDArray[np.float64] = np.maximum(density, 0)
    return clipped


# The darkest that any of the scanners can distinguish is 4.47, the DBA's level 1.
DARKEST = 4.5


def density_levels(grey: npt.ArrayLike, digitizer: str, site: str) -> npt.NDArray[np.uint16]:
    """Grey levels of 16 bit that are linear in optical density, the same for every scanner.

    Args:
        grey: Grey levels as stored, of any shape.
        digitizer: As in the .ics.
        site: One of the values of SITES.

    Returns:
        Of the same shape: 65535 where the film is clear, 0 at the density DARKEST.

    Raises:
        DataError: That site had no such scanner.
    """
    share = 1 - optical_density(grey, digitizer, site) / DARKEST
    levels: npt.NDArray[np.uint16] = np.rint(65535 * share.clip(0, 1)).astype(np.uint16)
    return levels
