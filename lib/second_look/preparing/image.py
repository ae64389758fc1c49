"""One mammogram prepared: cropped to the breast, turned, kept beside a map of what lies where.

Everything that decides what a prepared image holds is here or is imported from here; how the work
is spread over processes is not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.transform import resize

from second_look.catalogue import LABELS, PHOTOMETRIC
from second_look.decoding.acquisition import Polygon
from second_look.decoding.dicom import Header
from second_look.decoding.pixels import Pixels, read_header, read_pixels, read_square
from second_look.decoding.special_views import special_view_name
from second_look.errors import DataError
from second_look.files import write_json
from second_look.geometry import Box, Transform
from second_look.preparing.breast import Mask, breast_side, exposed, find_breast
from second_look.preparing.fingerprints import fingerprint, to_text
from second_look.preparing.mask_checks import mask_doubt, negative_doubt, special_shape
from second_look.preparing.outlines import Outline, draw_outlines
from second_look.preparing.store import ARRAYS, files_of, path_of, save_array
from second_look.quarantine import Code, Quarantine

# Lesions may reach over the edge of the breast mask. This margin cuts none of the 1,696 masses of
# CBIS-DDSM (the farthest reaches over by 0.9 %) and one of 121 circles of mini-MIAS (by 4.7 %).
MARGIN = 0.02


@dataclass(frozen=True)
class PrepareSettings:
    """How images are prepared.

    Attributes:
        margin: Around the breast, as a share of the image's longer side.
        spacing_mm: Resample to pixels of this size; None keeps the image's own pixels.
    """

    margin: float = MARGIN
    spacing_mm: float | None = None


@dataclass(frozen=True)
class Job:
    """All that a worker needs for one image.

    Attributes:
        image, lesions: Rows of the catalogue.
        folder: Where the prepared image goes.
        settings: How it is prepared.
        key: Changes with anything that decides what the prepared image holds.
    """

    image: dict[str, Any]
    lesions: list[dict[str, Any]]
    folder: Path
    settings: PrepareSettings
    key: str

    @property
    def image_id(self) -> str:
        """Id of the image."""
        return str(self.image["image_id"])

    @property
    def record(self) -> Path:
        """The file that marks the image as done, and says what became of it."""
        return path_of(self.folder, self.image_id, "json")


class UnfitError(DataError):
    """The picture can be read, but its levels or what it shows are not those of a mammogram.

    Attributes:
        code: For the quarantine.
    """

    def __init__(self, code: Code, problem: str) -> None:
        super().__init__(problem)
        self.code = code


def read_original(image: Mapping[str, Any]) -> Pixels:
    """The whole picture with square pixels and bright tissue bright, (rows, cols).

    Args:
        image: Row of the catalogue.

    Raises:
        DataError: It cannot be decoded, or a level is beyond what its bits allow.
    """
    pixels = read_square(Path(image["path"]), int(image["rows"]), int(image["cols"]))
    # 0: not known, and found from the levels of the set.
    white = (1 << (int(image["bits"]) or 16)) - 1
    if (brightest := int(pixels.max())) > white:
        raise UnfitError(
            Code.BITS_EXCEEDED,
            f"its levels go up to {brightest}, but {image['bits']} bits end at {white}: give at "
            f"least {brightest.bit_length()} as bits",
        )
    if image["photometric"] != PHOTOMETRIC[0]:
        return pixels
    if not image["bits"]:
        raise UnfitError(
            Code.NEGATIVE,
            "its lowest level is white, and which one is black is not known: give bits",
        )
    inverted: Pixels = (white - pixels).astype(pixels.dtype)
    return inverted


def stored_brightness(path: str) -> tuple[str, int]:
    """A file and its highest level, as stored; 0 where it cannot be read."""
    try:
        return path, int(read_pixels(Path(path)).max())
    except DataError:
        return path, 0


def prepare_image(job: Job) -> None:
    """Prepare one image and write its record, which marks it as done."""
    try:
        record = _prepare(job)
    except DataError as error:
        code = error.code if isinstance(error, UnfitError) else Code.IMAGE_UNUSABLE
        row = _quarantine_row(job, "", "image left out", code, error.problem)
        record = {"quarantine": [row]}
    write_json(job.record, {"key": job.key} | record)


def _prepare(job: Job) -> dict[str, Any]:
    header = read_header(Path(job.image["path"]))
    _check(Code.VIEW_SPECIAL, header.special_view or _special_by_table(str(job.image["view"])))
    pixels = read_original(job.image)
    # What the collimator hides is as bright as the system likes, often white.
    free = exposed(pixels, *_fields(header, pixels.shape))
    _check(Code.NEGATIVE, negative_doubt(free))
    breast = find_breast(free)
    _check(Code.VIEW_SPECIAL, special_shape(free, breast))
    breast_px = int(breast.sum())
    outlines = draw_outlines(job.lesions, breast)
    transform = _transform(job, breast)
    cut, regions = _cut(pixels, transform), _cut(_region_map(breast, outlines), transform)
    content = hashlib.sha256(repr(cut.shape).encode() + cut.astype("<u2").tobytes()).hexdigest()
    cut, regions = _scaled(cut, regions, transform.scale)
    for name, array in zip(ARRAYS, (cut, regions), strict=True):
        save_array(path_of(job.folder, job.image_id, name), array)
    files = files_of(job.folder, job.image_id)
    sizes = (size for size, _ in files.values())
    return {
        "files": files,
        "image": {
            **_image_row(job, pixels.shape, cut.shape, transform),
            "breast_px": breast_px,
            "brightest": int(pixels.max()),
            "content_hash": content,
            **dict(zip(ARRAYS.values(), sizes, strict=True)),
        },
        "lesions": [
            _lesion_row(outline, code, pixels.size, breast_px)
            for code, outline in enumerate(outlines, start=2)
        ],
        "quarantine": [
            *_unlocated(job, outlines),
            *_cut_lesions(job, outlines, transform),
            *_doubtful(job, mask_doubt(free, breast)),
            *_unprocessed(job, header),
        ],
        "fingerprint": to_text(fingerprint(pixels)),
    }


def _special_by_table(view: str) -> str:
    """What the view in the catalogue names that is no whole breast; "" if nothing."""
    kind = special_view_name(view)
    return f"{kind}, by the view {view!r} in the table" if kind else ""


def _check(code: Code, reason: str) -> None:
    """Raise an UnfitError if there is a reason to leave the picture out."""
    if reason:
        raise UnfitError(code, reason)


def _doubtful(job: Job, doubt: str) -> Iterator[dict[str, str]]:
    """A row for the quarantine if the breast mask looks wrong."""
    if doubt:
        yield _quarantine_row(job, "", "kept, mask uncertain", Code.BREAST_UNCERTAIN, doubt)


def _unprocessed(job: Job, header: Header) -> Iterator[dict[str, str]]:
    """A row for the quarantine if the levels are those of a detector."""
    if header.unprocessed:
        reason = "its presentation intent is FOR PROCESSING: levels of a detector"
        yield _quarantine_row(job, "", "kept, levels uncertain", Code.UNPROCESSED, reason)


def _fields(header: Header, shape: tuple[int, int]) -> tuple[Box | None, list[Polygon]]:
    """The exposed fields, box and polygons, in px of the picture with square pixels."""
    tall, wide = shape[0] / header.rows, shape[1] / header.cols
    box = None if header.field is None else header.field.scaled(tall, wide)
    polygons = [tuple((row * tall, col * wide) for row, col in p) for p in header.polygons]
    return box, polygons


def _transform(job: Job, breast: Mask) -> Transform:
    crop = _crop(breast, job.settings.margin)
    spacing = job.settings.spacing_mm
    return Transform(
        int(crop.row_min),
        int(crop.col_min),
        int(crop.height),
        int(crop.width),
        breast_side(breast) == "right",
        float(job.image["pixel_spacing_mm"]) / spacing if spacing else 1.0,
    )


def _unlocated(job: Job, outlines: Sequence[Outline]) -> Iterator[dict[str, str]]:
    """Rows for the quarantine, one for each lesion whose location is unusable or was corrected."""
    for outline in outlines:
        if outline.code:
            effect = "location unknown" if outline.mask is None else "kept, corrected"
            yield _quarantine_row(job, outline.lesion_id, effect, outline.code, outline.problem)


def _crop(breast: Mask, margin: float) -> Box:
    """The smallest box around the breast, with a margin, inside the picture.

    Lesions have no say: where a network is applied, nobody knows them.
    """
    pad = round(margin * max(breast.shape))
    box = Box.of_mask(breast)
    assert box is not None
    return Box(box.row_min - pad, box.col_min - pad, box.row_max + pad, box.col_max + pad).clipped(
        *breast.shape
    )


def _cut_lesions(
    job: Job, outlines: Sequence[Outline], transform: Transform
) -> Iterator[dict[str, str]]:
    """Rows for the quarantine, one for each lesion that reaches beyond the crop."""
    for outline in outlines:
        if outline.mask is None:
            continue
        outside = 1 - np.count_nonzero(_cut(outline.mask, transform)) / outline.area_px
        if outside > 0:
            reason = f"{outside:.1%} of the lesion is outside the crop around the breast"
            yield _quarantine_row(
                job, outline.lesion_id, "kept, corrected", Code.LESION_CUT, reason
            )


def _region_map(breast: Mask, outlines: Sequence[Outline]) -> npt.NDArray[np.uint8]:
    """0 air, 1 breast, 2+k lesion k; where lesions overlap, the worst is on the map."""
    regions = breast.astype(np.uint8)
    located = [(code, o) for code, o in enumerate(outlines, start=2) if o.mask is not None]
    for code, outline in sorted(located, key=lambda pair: LABELS.index(pair[1].pathology)):
        regions[outline.mask] = code
    return regions


def _cut(array: npt.NDArray[Any], transform: Transform) -> npt.NDArray[Any]:
    cut = array[transform.row_offset :, transform.col_offset :][: transform.rows, : transform.cols]
    return np.ascontiguousarray(cut[:, ::-1] if transform.flipped else cut)


def _scaled(
    pixels: npt.NDArray[Any], regions: npt.NDArray[np.uint8], scale: float
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
    """Resample both to `scale` times their size: grey levels smoothly, regions to the nearest."""
    if scale == 1:
        return pixels, regions
    shape = tuple(max(1, round(length * scale)) for length in pixels.shape)
    smooth = resize(
        pixels.astype(np.float32), shape, order=1, anti_aliasing=scale < 1, preserve_range=True
    )
    nearest = resize(regions, shape, order=0, anti_aliasing=False, preserve_range=True)
    return np.rint(smooth).astype(pixels.dtype), nearest.astype(np.uint8)


def _image_row(
    job: Job, original: tuple[int, ...], prepared: tuple[int, ...], transform: Transform
) -> dict[str, Any]:
    spacing = float(job.image["pixel_spacing_mm"]) / transform.scale
    return {
        "image_id": job.image_id,
        "rows": prepared[0],
        "cols": prepared[1],
        "bits": int(job.image["bits"]),
        "row_offset": transform.row_offset,
        "col_offset": transform.col_offset,
        "crop_rows": transform.rows,
        "crop_cols": transform.cols,
        "original_rows": original[0],
        "original_cols": original[1],
        "flipped": transform.flipped,
        "scale": transform.scale,
        # JSON knows no NaN: an unknown pixel size is null on the way.
        "pixel_spacing_mm": spacing if np.isfinite(spacing) else None,
    }


def _lesion_row(outline: Outline, code: int, image_px: int, breast_px: int) -> dict[str, Any]:
    located = outline.mask is not None
    return {
        "lesion_id": outline.lesion_id,
        "code": code if located else 0,
        "area_px": float(outline.area_px) if located else None,
        "share_of_image": outline.area_px / image_px if located else None,
        "share_of_breast": outline.area_px / breast_px if located else None,
        "inside_breast": outline.inside_breast if located else None,
    }


def _quarantine_row(
    job: Job, lesion_id: str, effect: str, code: Code, reason: str
) -> dict[str, str]:
    quarantine = Quarantine(str(job.image["dataset"]))
    quarantine.add(
        code,
        reason,
        effect=effect,
        file=job.image["path"],
        image_id=job.image_id,
        lesion_id=lesion_id,
    )
    return quarantine.rows[0]
