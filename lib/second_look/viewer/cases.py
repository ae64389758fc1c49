"""Which cases a reader may look at: hits, misses and false alarms, ordered by their scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

import numpy as np
import pandas as pd

from second_look.evaluation.detection_tables import BOX, lesion_scores
from second_look.evaluation.froc import curve, marks, pairs
from second_look.geometry import Box

HIT, MISS, FALSE_ALARM = "hit", "miss", "false alarm"
NO_ALARM, UNLOCATED = "no alarm", "location unknown"
# In the order in which a reader steps through them.
OUTCOMES = (HIT, MISS, FALSE_ALARM, NO_ALARM, UNLOCATED)


@dataclass(frozen=True)
class Case:
    """One thing to look at in one image.

    Attributes:
        image_id: Of the catalogue.
        outcome: One of OUTCOMES.
        score: That the outcome was judged by, 0 to 1; of a miss: the highest that hit the lesion.
        box: Of the lesion or of the false alarm, px of the original mammogram; None: the image.
        kind: Kinds of the lesion or of the image's lesions; "" without any.
        label: Pathology of the lesion, or label of the image.
    """

    image_id: str
    outcome: str
    score: float
    box: Box | None
    kind: str
    label: str


def operating_threshold(
    detections: pd.DataFrame, truths: pd.DataFrame, images: pd.DataFrame, *, alarms: float
) -> float:
    """The lowest score with at most so many false alarms an image; 1 if every score has more.

    Args:
        detections: Of one model, validation patients.
        truths: Of detection_tables.TRUTHS, the same.
        images: Of detection_tables.IMAGES, the same.
        alarms: False alarms an image.
    """
    points = curve(marks(detections, truths, images))
    allowed = points.loc[points["false_positives"] <= alarms, "threshold"]
    return min(1.0, float(allowed.iloc[-1]))


def detection_cases(
    detections: pd.DataFrame, truths: pd.DataFrame, images: pd.DataFrame, *, threshold: float
) -> list[Case]:
    """Every lesion, false alarm and quiet normal image, and images with a lesion that has no place.

    A lesion is a hit if the centre of a detection with at least this score is in its box. On an
    image with a lesion of unknown location nothing can be called false, so it is one case.

    Args:
        detections: Of one model, of these images.
        truths: Of detection_tables.TRUTHS.
        images: Of detection_tables.IMAGES.
        threshold: Score from which a detection counts.
    """
    located = set(images.loc[images["unlocated"] == 0, "image_id"])
    used = detections[detections["image_id"].isin(located)].reset_index(drop=True)
    lesions = truths[truths["image_id"].isin(located)].reset_index(drop=True)
    scores = lesion_scores(used, "lesion")
    hits = pairs(used, lesions, "centre")
    alarms = (scores >= threshold) & ~np.isin(np.arange(len(used)), hits["detection"])
    image_labels = images.set_index("image_id")["label"]
    return [
        *_lesion_cases(lesions, hits, scores, threshold),
        *(
            Case(str(row.image_id), FALSE_ALARM, float(score), _box(row), "",
                 str(image_labels[row.image_id]))
            for row, score in zip(used[alarms].itertuples(), scores[alarms], strict=True)
        ),
        *_whole_images(detections, images, threshold),
    ]  # fmt: skip


def _lesion_cases(
    lesions: pd.DataFrame, hits: pd.DataFrame, scores: np.ndarray, threshold: float
) -> Iterable[Case]:
    best = np.zeros(len(lesions))
    np.maximum.at(best, hits["truth"].to_numpy(), scores[hits["detection"].to_numpy()])
    hit = np.isin(np.arange(len(lesions)), hits["truth"]) & (best >= threshold)
    for row, score, is_hit in zip(lesions.itertuples(), best, hit, strict=True):
        outcome = HIT if is_hit else MISS
        yield Case(
            str(row.image_id), outcome, float(score), _box(row), str(row.kind), str(row.pathology)
        )


def _whole_images(
    detections: pd.DataFrame, images: pd.DataFrame, threshold: float
) -> Iterable[Case]:
    """Images with a lesion of unknown location, and normal ones without a false alarm."""
    top = pd.Series(lesion_scores(detections, "lesion")).groupby(detections["image_id"].array).max()
    for row in images.itertuples():
        score = float(top.get(row.image_id, 0.0))
        if row.unlocated:
            yield Case(row.image_id, UNLOCATED, score, None, "", row.label)
        elif row.label == "normal" and score < threshold:
            yield Case(row.image_id, NO_ALARM, score, None, "", row.label)


def image_cases(
    scores: pd.DataFrame, images: pd.DataFrame, lesions: pd.DataFrame, *, score: str, flagged: str
) -> list[Case]:
    """One case an image: malignant or not, flagged or not.

    Args:
        scores: image_id, and the columns named by `score` and `flagged`.
        images: Of the catalogue, at least these.
        lesions: Of the catalogue.
        score: Column with a score, 0 to 1, by which cases are ordered.
        flagged: Column that is 1 where the image is called malignant.
    """
    kinds = lesions.groupby("image_id")["kind"].agg(lambda values: ", ".join(sorted(set(values))))
    outcomes = {(True, True): HIT, (True, False): MISS, (False, True): FALSE_ALARM}
    table = scores.merge(images[["image_id", "label"]], on="image_id", validate="1:1")
    return [
        Case(
            row["image_id"],
            outcomes.get((row["label"] == "malignant", bool(row[flagged])), NO_ALARM),
            float(row[score]),
            None,
            str(kinds.get(row["image_id"], "")),
            row["label"],
        )
        for row in table.to_dict("records")
    ]


def choose_cases(cases: Sequence[Case], *, per_outcome: int) -> list[Case]:
    """At most so many cases of each outcome, by falling score, from the highest to the lowest.

    Where there are more, they are taken at equal distances of rank.

    Returns:
        In turn one of each outcome, so that a beginning of the list has some of each.
    """
    by_outcome = []
    for outcome in OUTCOMES:
        ranked = sorted(
            (case for case in cases if case.outcome == outcome),
            key=lambda case: (-case.score, case.image_id),
        )
        count = min(per_outcome, len(ranked))
        ranks = np.linspace(0, len(ranked) - 1, count).round().astype(int)
        by_outcome.append([ranked[rank] for rank in ranks])
    in_turn = chain.from_iterable(zip_longest(*by_outcome))
    return [case for case in in_turn if case is not None]


def breast_views(image_id: str, images: pd.DataFrame) -> list[str]:
    """An image and, where there is one, another view of the same breast, in the order of views.

    Args:
        image_id: Of the catalogue.
        images: Of the catalogue.
    """
    row = images.loc[images["image_id"] == image_id].iloc[0]
    if not row["laterality"]:
        return [image_id]
    identity = ["dataset", "patient_id", "laterality"]
    of_breast = (images[identity] == row[identity]).all(axis=1)
    second = images[of_breast & (images["view"] != row["view"])].sort_values(["view", "image_id"])
    views = [(row["view"], image_id)]
    views += [(second["view"].iloc[0], second["image_id"].iloc[0])] if len(second) else []
    return [name for _, name in sorted(views)]


def _box(row: object) -> Box:
    return Box(*(float(getattr(row, name)) for name in BOX))
