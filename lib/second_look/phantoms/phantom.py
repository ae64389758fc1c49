"""Synthetic mammograms, drawn from a seed: they need no download and their truth is exact.

Tissue is noise with a power-law spectrum 1/f^beta, beta = 3, as measured in real mammograms
(Burgess, Jacobson & Judy 2001, Med. Phys. 28:419). A breast has its outline, skin line, dense
tissue, in the oblique view the pectoral muscle, and beside it what scans of film have: a label,
tape and a scratch. Lesions are masses and clusters of microcalcifications with areas like the
paper's.

Lengths are in mm; every image is 204.8 mm high, so a phantom looks the same at every resolution.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.transform import resize

from second_look.catalogue import LABELS
from second_look.errors import DataError
from second_look.phantoms.lesions import CLUSTERS, MASSES, Mask, Plane

HEIGHT_MM = 204.8
BETA = 3.0
# Means of the paper (area-mass, area-calc), as shares of the whole image.
MEAN_AREA_SHARE = {"mass": 0.012, "calcification": 0.005}
_AREA_SPREAD = 0.45  # standard deviation of the logarithm of the area
_TEXTURE = 0.085  # standard deviation of the tissue's grey levels
# Grey levels of a lesion of contrast 1. Measured by benchmarks/phantom_difficulty.py: at the whole
# of the texture's deviation the brightest pixel of a patch begins to give lesions away.
_LESION = 0.75 * _TEXTURE


@dataclass(frozen=True, kw_only=True)
class PhantomSettings:
    """A set of phantoms.

    Attributes:
        patients: Women, each with two views of both breasts.
        rows, cols: Size of an image, px.
        bits: Grey levels are 0 to 2**bits - 1; 8 to 16.
        lesion_contrast: 1 is hard but learnable; 0 hides every lesion.
        seed: The same seed draws the same set.
        label_shares: Shares of the patients, in the order of LABELS; they sum to 1.
        drawing: Version of the pictures that the settings stand for, so that a cache never
            returns older ones; raised whenever the drawing changes.
    """

    patients: int
    rows: int
    cols: int
    bits: int = 16
    lesion_contrast: float = 1.0
    seed: int
    label_shares: tuple[float, float, float, float] = (0.25, 0.2, 0.25, 0.3)
    drawing: int = field(default=3, init=False)

    def __post_init__(self) -> None:
        shares = np.asarray(self.label_shares)
        # Stated as what must hold, since a NaN fails every comparison.
        requirements = {
            "at least one patient": self.patients >= 1,
            "at least 64 x 64 px": self.rows >= 64 and self.cols >= 64,
            "8 to 16 bits": 8 <= self.bits <= 16,
            "a lesion_contrast of 0 or more": 0 <= self.lesion_contrast < np.inf,
            "a seed of 0 or more": self.seed >= 0,
            f"{len(LABELS)} label_shares of 0 or more that sum to 1": shares.shape == (len(LABELS),)
            and bool((shares >= 0).all())
            and abs(float(shares.sum()) - 1) < 1e-6,
        }
        broken = [text for text, holds in requirements.items() if not holds]
        if broken:
            raise DataError(
                f"expected {' and '.join(broken)}. Got {self}.",
                location="settings of the phantom",
                remedy="Change the parameters of the phantom.",
            )

    @property
    def spacing_mm(self) -> float:
        """Size of a pixel, mm."""
        return HEIGHT_MM / self.rows


@dataclass(frozen=True)
class PlannedLesion:
    """A lesion of a breast, the same in both views.

    Attributes:
        pathology, kind: As in the catalogue.
        area_share: Of the whole image, 0 to 1.
        depth: From the chest wall (0) to the skin (1).
        offset: Along the chest wall, -1 to 1, from the middle of the breast.
        assessment, subtlety: As radiologists grade them, 0 to 6 and 1 to 5.
        seed: Of its shape.
    """

    pathology: str
    kind: str
    area_share: float
    depth: float
    offset: float
    assessment: int
    subtlety: int
    seed: int


@dataclass(frozen=True)
class PlannedBreast:
    """What is common to the two views of a breast."""

    patient: int
    laterality: str
    density: int
    lesions: tuple[PlannedLesion, ...]


@dataclass(frozen=True)
class DrawnLesion:
    """A lesion in one view, with the pixels that it covers, bool (rows, cols)."""

    plan: PlannedLesion
    mask: Mask


@dataclass(frozen=True)
class PhantomImage:
    """One view: grey levels uint8 or uint16 (rows, cols), breast mask and lesions."""

    pixels: npt.NDArray[np.unsignedinteger]
    breast: Mask
    lesions: tuple[DrawnLesion, ...]


def plan_patient(settings: PhantomSettings, patient: int) -> tuple[PlannedBreast, PlannedBreast]:
    """The right and the left breast of a patient; at most one of them has lesions."""
    label = _label_of(settings, patient)
    rng = np.random.default_rng([settings.seed, 1, patient])
    density = int(rng.choice([1, 2, 3, 4], p=[0.15, 0.4, 0.35, 0.1]))
    affected = "RL"[int(rng.integers(2))]
    lesions: tuple[PlannedLesion, ...] = ()
    if label != "normal":
        lesions = (_plan_lesion(rng, label, (-0.65, 0.65)),)
        if rng.random() < 0.2:
            # A second one, never worse than the label, in the other half of the breast.
            pathology = LABELS[1 + int(rng.integers(LABELS.index(label)))]
            upper = lesions[0].offset > 0
            lesions = (
                *lesions,
                _plan_lesion(rng, pathology, (-0.7, -0.35) if upper else (0.35, 0.7)),
            )
    right, left = (
        PlannedBreast(patient, side, density, lesions if side == affected else ()) for side in "RL"
    )
    return right, left


def draw_image(settings: PhantomSettings, breast: PlannedBreast, view: str) -> PhantomImage:
    """Draw one view of a breast; the same arguments draw the same image, in any order.

    Args:
        settings: Of the set.
        breast: From `plan_patient`.
        view: CC or MLO.
    """
    rng = np.random.default_rng(
        [settings.seed, 2, breast.patient, "RL".index(breast.laterality), ("CC", "MLO").index(view)]
    )
    outline = _Outline.draw(rng, settings, view)
    tissue, breast_mask = _tissue(rng, settings, outline, breast.density, view)
    lesions = []
    for plan in breast.lesions:
        addition, mask = _draw_lesion(settings, outline, plan)
        tissue += addition
        lesions.append(DrawnLesion(plan, mask & breast_mask))
    image = _exposed(rng, settings, tissue, breast_mask)
    full = 2**settings.bits - 1
    pixels = np.rint(np.clip(image, 0, 1) * full).astype(np.uint8 if full < 256 else np.uint16)
    if breast.laterality == "R":
        # Right breasts have the chest wall at the right.
        pixels, breast_mask = pixels[:, ::-1], breast_mask[:, ::-1]
        lesions = [DrawnLesion(lesion.plan, lesion.mask[:, ::-1]) for lesion in lesions]
    return PhantomImage(pixels, breast_mask, tuple(lesions))


def power_law_noise(rng: np.random.Generator, rows: int, cols: int, beta: float = BETA) -> Plane:
    """Noise with a power spectrum 1/f^beta, mean 0, standard deviation 1, float32 (rows, cols).

    Below four cycles an image the spectrum is flat, or slow trends would drown everything else.
    """
    white = rng.standard_normal((rows, cols), dtype=np.float32)
    spectrum = scipy.fft.rfft2(white)
    row_frequency = np.fft.fftfreq(rows)[:, None].astype(np.float32)
    col_frequency = np.fft.rfftfreq(cols)[None, :].astype(np.float32)
    frequency = np.maximum(np.hypot(row_frequency, col_frequency), np.float32(4 / rows))
    spectrum *= frequency ** np.float32(-beta / 2)
    noise: Plane = scipy.fft.irfft2(spectrum, s=(rows, cols))
    noise -= noise.mean()
    noise /= noise.std()
    return noise


@dataclass(frozen=True)
class _Outline:
    """Edge of the breast, chest wall at the left: col = extent * (1 - |row - centre|^p)^(1/2).

    All lengths in mm; in an oblique view the upper half of the breast is the longer one.
    """

    centre: float
    extent: float
    upper: float
    lower: float
    power: float

    @classmethod
    def draw(cls, rng: np.random.Generator, settings: PhantomSettings, view: str) -> _Outline:
        width = settings.cols * settings.spacing_mm
        oblique = view == "MLO"
        centre = HEIGHT_MM * (rng.uniform(0.54, 0.6) if oblique else rng.uniform(0.46, 0.54))
        extent = width * rng.uniform(0.55, 0.75)
        lower = HEIGHT_MM * rng.uniform(0.3, 0.36)
        upper = HEIGHT_MM * rng.uniform(0.56, 0.7) if oblique else lower * rng.uniform(0.95, 1.1)
        return cls(centre, extent, upper, lower, rng.uniform(2.0, 2.5))

    def edge(self, row_mm: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Width of the breast at a row, from the chest wall, mm; 0 beyond its ends."""
        distance = np.asarray(row_mm, dtype=np.float64) - self.centre
        share = np.abs(distance) / np.where(distance < 0, self.upper, self.lower)
        extent: npt.NDArray[np.float64] = self.extent * np.sqrt(
            np.clip(1 - share**self.power, 0, None)
        )
        return extent


def _tissue(
    rng: np.random.Generator,
    settings: PhantomSettings,
    outline: _Outline,
    density: int,
    view: str,
) -> tuple[Plane, Mask]:
    """Grey levels of the breast and where it is; outside of it they mean nothing."""
    rows, cols, spacing = settings.rows, settings.cols, settings.spacing_mm
    row_mm = (np.arange(rows) + 0.5) * spacing
    edge = outline.edge(row_mm)[:, None]
    breast_mask: Mask = (np.arange(cols) + 0.5)[None, :] * spacing < edge
    texture = power_law_noise(rng, rows, cols)
    # Everything smooth is drawn small and enlarged: at 4096 rows that saves seconds.
    small = (256, max(32, round(256 * cols / rows)))
    coarse = resize(breast_mask.astype(np.float32), small, order=1) > 0.5
    padded = np.pad(coarse, ((1, 1), (0, 1)))  # the chest wall is no skin
    skin_mm = distance_transform_edt(padded)[1:-1, :-1] * HEIGHT_MM / small[0]
    thickness = np.sqrt(np.clip(skin_mm / 22.0, 0.02, 1))
    gland = gaussian_filter(power_law_noise(rng, *small), 3)
    gland = 1 / (1 + np.exp(-3 * (gland / gland.std() + 0.8 * (density - 2.5))))
    gland *= np.clip((skin_mm - 6) / 20, 0, 1)
    smooth = thickness * (0.34 + 0.17 * gland)
    if view == "MLO":
        smooth += 0.2 * _muscle(rng, small)
    large: Plane = resize(smooth.astype(np.float32), (rows, cols), order=1)
    shade: Plane = resize(thickness.astype(np.float32), (rows, cols), order=1)
    return large + np.float32(_TEXTURE) * shade * texture, breast_mask


def _muscle(rng: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """The pectoral muscle in the upper corner at the chest wall, 0 to 1 with a soft edge."""
    rows = (np.arange(shape[0]) + 0.5)[:, None] / shape[0]
    cols = (np.arange(shape[1]) + 0.5)[None, :] / shape[1]
    height, width = rng.uniform(0.45, 0.6), rng.uniform(0.28, 0.38)
    muscle: npt.NDArray[np.float64] = 1 / (
        1 + np.exp(np.clip(40 * (rows / height + cols / width - 1), -50, 50))
    )
    return muscle


def _exposed(
    rng: np.random.Generator, settings: PhantomSettings, tissue: Plane, breast_mask: Mask
) -> Plane:
    """The whole image: the breast, dark air, noise, and in the air a label, tape and a scratch."""
    rows, cols, spacing = settings.rows, settings.cols, settings.spacing_mm
    image = np.full((rows, cols), 0.02, dtype=np.float32)
    blend = gaussian_filter(breast_mask.astype(np.float32), max(0.5, 0.4 / spacing))
    image += blend * (np.clip(tissue, 0.02, 0.93) - image)
    image += 0.006 * rng.standard_normal((rows, cols), dtype=np.float32)

    def free(
        row_mm: float, col_mm: float, height_mm: float, width_mm: float
    ) -> tuple[slice, slice]:
        area = (
            slice(round(row_mm / spacing), round((row_mm + height_mm) / spacing)),
            slice(round(col_mm / spacing), round((col_mm + width_mm) / spacing)),
        )
        margin = round(3 / spacing)
        around = breast_mask[max(0, area[0].start - margin) : area[0].stop + margin]
        around = around[:, max(0, area[1].start - margin) :]
        return area if not around.any() else (slice(0, 0), slice(0, 0))

    width = cols * spacing
    label_row = rng.uniform(5, 12) if rng.random() < 0.5 else rng.uniform(188, 194)
    image[free(label_row, width - 32, 9, 26)] = 0.75
    for stroke in range(6):
        # Dark strokes on the bright label, as wide as letters are.
        image[free(label_row + 2, width - 30 + 4 * stroke, 5, float(rng.uniform(0.8, 2.5)))] = 0.1
    image[free(0, width - 3.5, HEIGHT_MM, 2.5)] = 0.45
    image[free(rng.uniform(25, 45), width - 18, 0.5, 14)] = 0.9
    return image


def _label_of(settings: PhantomSettings, patient: int) -> str:
    """Labels by quota, mixed by the seed: a small set has every class too."""
    quota = np.floor(np.cumsum(settings.label_shares) * settings.patients + 0.5).astype(int)
    order = np.random.default_rng([settings.seed, 0]).permutation(settings.patients)
    position = int(np.flatnonzero(order == patient)[0])
    return LABELS[int(np.searchsorted(quota, position, side="right"))]


def _plan_lesion(
    rng: np.random.Generator, pathology: str, offsets: tuple[float, float]
) -> PlannedLesion:
    kind = "mass" if rng.random() < 0.6 else "calcification"
    # A lognormal with the wanted mean: its logarithm has the mean log(m) - s^2 / 2.
    mean = MEAN_AREA_SHARE[kind]
    share = np.exp(rng.normal(np.log(mean) - _AREA_SPREAD**2 / 2, _AREA_SPREAD))
    assessments = {"benign_without_callback": [2], "benign": [3, 4], "malignant": [4, 5]}
    return PlannedLesion(
        pathology=pathology,
        kind=kind,
        area_share=float(np.clip(share, 0.25 * mean, 3 * mean)),
        depth=float(rng.uniform(0.35, 0.7)),
        offset=float(rng.uniform(*offsets)),
        assessment=int(rng.choice(assessments[pathology])),
        subtlety=int(rng.integers(2, 6)),
        seed=int(rng.integers(2**31)),
    )


def _draw_lesion(
    settings: PhantomSettings, outline: _Outline, plan: PlannedLesion
) -> tuple[Plane, Mask]:
    """What a lesion adds to the tissue, and its mask, both (rows, cols)."""
    rng = np.random.default_rng(plan.seed)
    spacing = settings.spacing_mm
    area_mm2 = plan.area_share * HEIGHT_MM * settings.cols * spacing
    radius = float(np.sqrt(area_mm2 / np.pi))
    side = outline.upper if plan.offset < 0 else outline.lower
    row = outline.centre + plan.offset * side * (0.6 if side > 100 else 0.8)
    edge = float(outline.edge(row))
    col = float(np.clip(plan.depth * edge, 1.15 * radius, max(edge - 1.5 * radius, 0.5 * edge)))
    rows_mm = (np.arange(settings.rows)[:, None] + 0.5) * spacing - row
    cols_mm = (np.arange(settings.cols)[None, :] + 0.5) * spacing - col
    # Only the surroundings are drawn; a lesion and its spicules end at twice its radius.
    surroundings = (np.abs(rows_mm[:, 0]) < 2.1 * radius, np.abs(cols_mm[0]) < 2.1 * radius)
    row_mm, col_mm = rows_mm[surroundings[0]], cols_mm[:, surroundings[1]]
    draw = MASSES[plan.pathology] if plan.kind == "mass" else CLUSTERS[plan.pathology]
    shape, covered = draw(rng, row_mm, col_mm, radius)
    addition = np.zeros((settings.rows, settings.cols), dtype=np.float32)
    mask = np.zeros((settings.rows, settings.cols), dtype=bool)
    addition[np.ix_(*surroundings)] = settings.lesion_contrast * _LESION * shape
    mask[np.ix_(*surroundings)] = covered
    return addition, mask
