"""Which views a set of phantoms in the form of CBIS-DDSM has, and which fault each breast gets.

Every breast of CBIS-DDSM has a lesion and stands in the CSV of its kind and split. A breast with a
fault has no other, so that what a reader does about one does not hide what it does about another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from second_look.errors import DataError
from second_look.phantoms.phantom import PhantomSettings, PlannedBreast, PlannedLesion, plan_patient

# Faults of the real set, with how often they occur there in brackets, and of its downloads.
FAULTS = (
    "several_rois",  # several lesions in one view (334)
    "mixed_pathology",  # a benign row before a malignant one of the same view (39)
    "in_both_csvs",  # a view in the mass and the calc CSV, malignant in one of them only (16)
    "leaking_image",  # a view in mass train and calc test (29)
    "leaking_patient",  # one breast in mass train, the other in calc test (31)
    "one_view_only",  # a breast without its oblique view (384)
    "density_zero",  # (2)
    "subtlety_zero",  # (2)
    "assessment_zero_malignant",  # (59)
    "assessment_two_malignant",  # 1 or 2 (5)
    "unknown_pathology",  # UNPROVEN, as some cases of the original DDSM are
    "swapped_columns",  # the column of the crop names the mask, and the other way round
    "both_000000",  # mask and crop in a study and series each, both called 000000.dcm (104)
    "wrong_description",  # mask and crop are described as each other
    "no_description",  # a mammogram without description and date, PatientID <key>.dcm (246)
    "other_patient_id",  # the same of the mask in a series of two files (about 150)
    "mask_other_size",  # 1/1.149 of the image (CC), or near its size but not its shape (MLO) (2)
    "mask_and_crop_small",  # the mask covers the crop only
    "mask_of_another_image",
    "missing_series",  # neither crop nor mask
    "row_without_image",  # no mammogram
    "image_without_row",
    "duplicate_sop",  # the mammogram twice in its series, under two names
    "truncated_dicom",  # the mammogram ends in the middle of its pixels
)
VIEWS = ("CC", "MLO")
_TEST_EVERY = 5  # about the share of the official test set


@dataclass(frozen=True)
class PlannedView:
    """A mammogram and its rows in one CSV.

    Attributes:
        breast: With all that is drawn, so with lesions of the other CSV too.
        view: CC or MLO.
        kind: mass or calcification: the CSV, and the lesions that stand in it.
        split: train or test.
        fault: One of FAULTS, or "".
    """

    breast: PlannedBreast
    view: str
    kind: str
    split: str
    fault: str

    @property
    def key(self) -> str:
        """<patient>_<LEFT|RIGHT>_<CC|MLO>, the same in both CSVs."""
        return f"{self.patient_id}_{self.side}_{self.view}"

    @property
    def patient_id(self) -> str:
        """Such as P_00001."""
        return f"P_{self.breast.patient + 1:05d}"

    @property
    def side(self) -> str:
        """LEFT or RIGHT."""
        return {"L": "LEFT", "R": "RIGHT"}[self.breast.laterality]

    @property
    def subject(self) -> str:
        """Such as Mass-Training_P_00001_LEFT_CC."""
        kind = {"mass": "Mass", "calcification": "Calc"}[self.kind]
        return f"{kind}-{'Training' if self.split == 'train' else 'Test'}_{self.key}"

    @property
    def lesions(self) -> tuple[int, ...]:
        """Indices of this CSV's lesions in the breast's, in the order of their abnormality ids."""
        return tuple(
            index for index, plan in enumerate(self.breast.lesions) if plan.kind == self.kind
        )


def plan_views(settings: PhantomSettings, faults: Sequence[str]) -> list[PlannedView]:
    """Both views of every breast with a lesion, the first breasts with one fault each.

    Raises:
        DataError: A fault is unknown, or there are fewer breasts with a lesion than faults.
    """
    unknown = sorted(set(faults) - set(FAULTS))
    if unknown:
        raise DataError(
            f"unknown faults {', '.join(unknown)}.",
            location="phantoms in the form of CBIS-DDSM",
            remedy=f"Choose from {', '.join(FAULTS)}.",
        )
    chosen = [fault for fault in FAULTS if fault in faults]
    affected = [
        breast
        for patient in range(settings.patients)
        for breast in plan_patient(settings, patient)
        if breast.lesions
    ]
    if len(affected) < len(chosen):
        raise DataError(
            f"{len(chosen)} faults need as many breasts with a lesion. Got {len(affected)}.",
            location="phantoms in the form of CBIS-DDSM",
            remedy="Draw more patients, or plant fewer faults.",
        )
    counts: Counter[str] = Counter()
    views: list[PlannedView] = []
    for index, breast in enumerate(affected):
        fault = chosen[index] if index < len(chosen) else ""
        single = replace(breast, lesions=breast.lesions[:1])
        kind = single.lesions[0].kind
        split = "test" if counts[kind] % _TEST_EVERY == 1 else "train"
        counts[kind] += 1
        clean = [PlannedView(single, view, kind, split, fault) for view in VIEWS]
        views += _CHANGES[fault](clean) if fault in _CHANGES else clean
    return views


def _with_lesions(views: list[PlannedView], *lesions: PlannedLesion) -> list[PlannedView]:
    breast = replace(views[0].breast, lesions=lesions)
    return [replace(view, breast=breast) for view in views]


def _elsewhere(lesion: PlannedLesion, offset: float) -> PlannedLesion:
    """A similar lesion at another position along the chest wall."""
    return replace(lesion, offset=offset, seed=lesion.seed + 1 + round(100 * (1 + offset)))


def _several_rois(views: list[PlannedView]) -> list[PlannedView]:
    first = views[0].breast.lesions[0]
    offsets = (0.1, 0.6) if first.offset < -0.25 else (-0.6, 0.6 if first.offset < 0.25 else -0.1)
    return _with_lesions(views, first, *(_elsewhere(first, offset) for offset in offsets))


def _mixed_pathology(views: list[PlannedView]) -> list[PlannedView]:
    first = replace(views[0].breast.lesions[0], pathology="benign", assessment=3)
    second = _elsewhere(first, 0.5 if first.offset < 0 else -0.5)
    return _with_lesions(views, first, replace(second, pathology="malignant", assessment=5))


def _in_both_csvs(views: list[PlannedView]) -> list[PlannedView]:
    first = views[0].breast.lesions[0]
    mass = replace(first, kind="mass", pathology="malignant", assessment=5)
    second = _elsewhere(first, 0.5 if first.offset < 0 else -0.5)
    calcs = replace(second, kind="calcification", pathology="benign", assessment=3)
    changed = _with_lesions(views, mass, calcs)
    return [replace(view, kind=kind) for kind in ("mass", "calcification") for view in changed]


def _leaking_image(views: list[PlannedView]) -> list[PlannedView]:
    split_of = {"mass": "train", "calcification": "test"}
    return [replace(view, split=split_of[view.kind]) for view in _in_both_csvs(views)]


def _leaking_patient(views: list[PlannedView]) -> list[PlannedView]:
    breast = views[0].breast
    lesion = replace(breast.lesions[0], kind="mass")
    mass_views = [
        replace(view, kind="mass", split="train") for view in _with_lesions(views, lesion)
    ]
    calcs = replace(_elsewhere(lesion, lesion.offset), kind="calcification")
    side = "R" if breast.laterality == "L" else "L"
    opposite = replace(breast, laterality=side, lesions=(calcs,))
    return mass_views + [
        replace(view, breast=opposite, kind="calcification", split="test") for view in views
    ]


def _graded(views: list[PlannedView], assessment: int) -> list[PlannedView]:
    lesion = replace(views[0].breast.lesions[0], pathology="malignant", assessment=assessment)
    return _with_lesions(views, lesion)


def _without_subtlety(views: list[PlannedView]) -> list[PlannedView]:
    return _with_lesions(views, replace(views[0].breast.lesions[0], subtlety=0))


def _without_density(views: list[PlannedView]) -> list[PlannedView]:
    return [replace(view, breast=replace(view.breast, density=0)) for view in views]


_CHANGES: dict[str, Callable[[list[PlannedView]], list[PlannedView]]] = {
    "several_rois": _several_rois,
    "mixed_pathology": _mixed_pathology,
    "in_both_csvs": _in_both_csvs,
    "leaking_image": _leaking_image,
    "leaking_patient": _leaking_patient,
    "one_view_only": lambda views: views[:1],
    "density_zero": _without_density,
    "subtlety_zero": _without_subtlety,
    "assessment_zero_malignant": lambda views: _graded(views, 0),
    "assessment_two_malignant": lambda views: _graded(views, 2),
}
