"""Whether pictures of a data set may be passed on, which a page that holds them has to say."""

from __future__ import annotations

from collections.abc import Iterable

from second_look.phantoms.forms import DATASET as PHANTOM
from second_look.sources import cbis_ddsm, mias
from second_look.studies.survey.standards import REFERENCE_STANDARDS, UNKNOWN_STANDARD

# Data sets whose licence lets pictures be passed on, if the source is named.
SHAREABLE = (PHANTOM, cbis_ddsm.DATASET, "cmmd", "cesm")
FORBIDDEN = (mias.DATASET,)


def terms_of(datasets: Iterable[str]) -> list[str]:
    """One sentence a data set: its source, and what may be done with its pictures.

    Args:
        datasets: Names as in the catalogue.
    """
    return [f"{name}: {_source(name)}. {_sentence(name)}" for name in sorted(datasets)]


def _source(dataset: str) -> str:
    return REFERENCE_STANDARDS.get(dataset, UNKNOWN_STANDARD)[-1]


def _sentence(dataset: str) -> str:
    if dataset in SHAREABLE:
        return "Its pictures may be passed on if the source is named."
    if dataset in FORBIDDEN:
        return "Its pictures may not be passed on: this page is for use where the data set is."
    return (
        "Whether its pictures may be passed on is not known here: until you know, keep this page "
        "to yourself."
    )
