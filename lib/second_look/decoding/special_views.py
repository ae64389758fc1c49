"""Pictures that show no whole breast in a standard view, by what header or table say.

Spot and magnification views, stereo pairs and scouts of a biopsy, specimens: they show part of a
breast, or tissue that was taken out, often with a needle in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydicom.dataset import Dataset

# Codes of views and of their modifiers (PS3.16, CID 4014 and 4015), SNOMED CT and the older RT.
_CODES = {
    "127457009": "specimen",
    "G-8310": "specimen",
    "399055006": "spot compression",
    "R-102D7": "spot compression",
    "399163009": "magnification",
    "R-102D6": "magnification",
}
# What words in free text stand for. Image type has them too, such as STEREO_SCOUT (PS3.3,
# C.8.11.7.1.4); there, as in the names of paddles, they are joined by underscores.
_WORDS = {
    "specimen": r"specimen|faxitron",
    "stereo view": r"stereo|prefire|postfire|(?<!post[ _-])biops",
    "scout": r"(?<![a-z])scouts?(?![a-z])",
    "spot compression": r"(?<![a-z])spot(?![a-z])",
    "magnification": r"(?<![a-z])(mag|magnif[a-z]*|m(cc|mlo|ml|lm))(?![a-z])",
    "localisation": r"locali[sz]ation|(?<![a-z])(wire|needle)(?![a-z])",
}
# Tags with free text about the exposure.
_TEXTS = (
    "ImageType",
    "ViewPosition",
    "PaddleDescription",
    "SeriesDescription",
    "AcquisitionDeviceProcessingDescription",
)
# Contact views have 1.0 to 1.1 (the breast has a thickness), magnification views 1.4 to 2.
_MAGNIFIED = 1.25


def special_view(data: Dataset) -> str:
    """What the header says that makes the picture none of a whole breast; "" if nothing."""
    return next(_reasons(data), "")


def special_view_name(text: str) -> str:
    """The kind of special view that a text names; "" if none."""
    lower = text.lower()
    return next((kind for kind, words in _WORDS.items() if re.search(words, lower)), "")


def _reasons(data: Dataset) -> Iterator[str]:
    for view in data.get("ViewCodeSequence") or ():
        modifiers = view.get("ViewModifierCodeSequence") or ()
        for item in (view, *modifiers):
            code = str(item.get("CodeValue", ""))
            if code in _CODES:
                yield f"{_CODES[code]}, by the code of the view or its modifier ({code})"
    if data.get("SpecimenDescriptionSequence"):
        yield "specimen, by its description"
    factor = _number(data.get("EstimatedRadiographicMagnificationFactor"))
    if factor > _MAGNIFIED:
        yield f"magnification, by the factor of {factor:g}"
    for name in _TEXTS:
        text = _text(data, name)
        if kind := special_view_name(text):
            yield f"{kind}, by {name} {text!r}"
    rows_run = _row_direction(data)
    if rows_run and not set(rows_run) & set("AP"):
        orientation = _text(data, "PatientOrientation")
        yield f"rows that lead neither to the chest wall nor away from it ({orientation})"


def _row_direction(data: Dataset) -> str:
    """Where the rows of the picture lead, in letters such as A or FR; "" if the file says not.

    Film collections write other things here, such as the name of the view.
    """
    letters = _text(data, "PatientOrientation").split("\\")
    directions = len(letters) == 2 and all(re.fullmatch("[APLRHF]{1,3}", part) for part in letters)
    return letters[0] if directions else ""


def _text(data: Dataset, name: str) -> str:
    value = data.get(name) or ""
    return str(value) if isinstance(value, str) else "\\".join(map(str, value))


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return 0.0
