"""Public data sets that models learn from: where they come from, and what may be passed on."""

from __future__ import annotations

from dataclasses import dataclass

from second_look.decoding.device import DIGITAL, FILM
from second_look.phantoms.forms import DATASET as PHANTOM_SET
from second_look.sources import cbis_ddsm, ddsm, mias

PHANTOM = "phantom"


@dataclass(frozen=True)
class Terms:
    """Of a data set.

    Attributes:
        source: Where the images come from.
        licence, citation: In words.
        acquisition: FILM, DIGITAL, PHANTOM, or "" where it is not known.
        pictures: Whether its pictures may be passed on, with the citation.
    """

    source: str
    licence: str
    citation: str
    acquisition: str
    pictures: bool


_DDSM = "four US hospitals, 1988 to 1999, digitised film"
_LEE = "Lee et al. 2017, doi:10.7937/K9/TCIA.2016.7O02S9CY"
_TERMS = {
    cbis_ddsm.DATASET: Terms(f"CBIS-DDSM: {_DDSM}", "CC BY 3.0", _LEE, FILM, True),
    "cbis_mass": Terms(
        f"the masses of CBIS-DDSM reduced to 800×800 px: {_DDSM}", "CC BY 3.0", _LEE, FILM, True
    ),
    ddsm.DATASET: Terms(f"DDSM: {_DDSM}", "not stated", "Heath et al. 2001", FILM, False),
    mias.DATASET: Terms(
        "mini-MIAS: UK screening programme, digitised film",
        "research only, not to be redistributed",
        "Suckling et al. 1994",
        FILM,
        False,
    ),
    "cesm": Terms(
        "CDD-CESM, low-energy images: a hospital in Cairo",
        "CC BY 4.0",
        "Khaled et al. 2022, doi:10.1038/s41597-022-01238-0",
        DIGITAL,
        True,
    ),
    "vindr": Terms(
        "VinDr-Mammo: two hospitals in Hanoi",
        "PhysioNet credentialed health data licence",
        "Nguyen et al. 2023, doi:10.1038/s41597-023-02100-7",
        DIGITAL,
        False,
    ),
    "rsna": Terms(
        "RSNA 2022: screening in Australia and the US",
        "competition rules, research only",
        "Carr et al. 2022",
        DIGITAL,
        False,
    ),
    "inbreast": Terms(
        "INbreast: a breast centre in Porto",
        "research only",
        "Moreira et al. 2012, doi:10.1016/j.acra.2011.09.014",
        DIGITAL,
        False,
    ),
    "cmmd": Terms(
        "CMMD: two hospitals in Guangdong",
        "CC BY 4.0",
        "Cui et al. 2021, doi:10.7937/tcia.eqde-4b16",
        DIGITAL,
        True,
    ),
    PHANTOM_SET: Terms("synthetic images of this project", "MIT", "this project", PHANTOM, True),
}
UNKNOWN = Terms("a user's own folder", "see its provider", "see its provider", "", False)


def terms_of(names: list[str]) -> Terms:
    """The terms of a data set, or of several together: the strictest count."""
    parts = [_TERMS.get(name, UNKNOWN) for name in names]
    if len(parts) == 1:
        return parts[0]
    kinds = {part.acquisition for part in parts}
    return Terms(
        "; ".join(part.source for part in parts),
        "; ".join(part.licence for part in parts),
        "; ".join(part.citation for part in parts),
        kinds.pop() if len(kinds) == 1 else "",
        all(part.pictures for part in parts),
    )
