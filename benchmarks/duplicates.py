"""How many changed copies of a mammogram are found, and how many others are taken for copies.

Copies of each of some mammograms are hidden, one kind of change at a time, among all of them. False
alarms are pairs among the originals; on real images, look at each: it may be a true copy.

    python benchmarks/duplicates.py                                    phantoms
    python benchmarks/duplicates.py --images data/all-mias "*.pgm"     and real images of a folder
    python benchmarks/duplicates.py --growth 1000 4000 16000           time for so many images

Writes results/duplicates.csv; with --growth results/duplicates_growth.csv.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from scipy.ndimage import rotate
from second_look.decoding.pixels import read_pixels
from second_look.files import write_csv
from second_look.phantoms.phantom import PhantomSettings, draw_image, plan_patient
from second_look.preparing.duplicates import MIN_CORRELATION, likely_pairs, near_copies
from second_look.preparing.fingerprints import SIDE, Signature, fingerprint, likeness
from skimage.transform import resize
from tqdm.auto import tqdm

RESULTS = Path(__file__).parent / "results"
ROWS, COLS = 800, 650
Picture = npt.NDArray[np.uint8]


def _shift(pixels: Picture, value: float) -> Picture:
    step = round(value * max(pixels.shape))
    moved = np.zeros_like(pixels)
    moved[step:, step:] = pixels[:-step, :-step]
    return moved


def _crop(pixels: Picture, value: float) -> Picture:
    rows, cols = (round(value * length) for length in pixels.shape)
    return pixels[rows:-rows, cols:-cols]


def _turn(pixels: Picture, value: float) -> Picture:
    return rotate(pixels, value, reshape=False, order=1)


def _logarithm(pixels: Picture, value: float) -> Picture:
    scaled = np.log1p(value * (pixels / 255)) / np.log1p(value)
    return np.rint(255 * scaled).astype(np.uint8)


def _gamma(pixels: Picture, value: float) -> Picture:
    return np.rint(255 * (pixels / 255) ** value).astype(np.uint8)


def _equalize(pixels: Picture, value: float) -> Picture:
    counts = np.bincount(pixels.ravel(), minlength=256).cumsum()
    return (255 * counts[pixels] / counts[-1]).astype(np.uint8)


def _quarter_turns(pixels: Picture, value: float) -> Picture:
    return np.rot90(pixels, round(value / 90))


def _mirror(pixels: Picture, value: float) -> Picture:
    return pixels[:, ::-1]


def _rescale(pixels: Picture, value: float) -> Picture:
    shape = tuple(round(value * length) for length in pixels.shape)
    return np.rint(255 * resize(pixels / 255, shape, order=1, anti_aliasing=True)).astype(np.uint8)


def _jpeg(pixels: Picture, value: float) -> Picture:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=round(value))
    return np.asarray(Image.open(stream))


def _noise(pixels: Picture, value: float) -> Picture:
    noise = np.random.default_rng(0).normal(0, value, pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


CHANGES: dict[str, tuple[Callable[[Picture, float], Picture], str, tuple[float, ...]]] = {
    "shifted": (_shift, "share of the longer side", (0.01, 0.03)),
    "cropped": (_crop, "share of each side", (0.02, 0.05)),
    "turned": (_turn, "degrees", (2, 5)),
    "quarter turns": (_quarter_turns, "degrees", (90, 180, 270)),
    "mirrored": (_mirror, "", (1,)),
    "logarithm": (_logarithm, "log(1 + s x)", (10, 50)),
    "gamma": (_gamma, "exponent", (0.5, 2)),
    "equalized": (_equalize, "", (1,)),
    "rescaled": (_rescale, "factor", (0.5,)),
    "JPEG": (_jpeg, "quality", (50,)),
    "noise": (_noise, "grey levels of 255", (5,)),
}


def phantoms(patients: int) -> Iterator[tuple[str, Picture]]:
    """Id and 8-bit pixels of four images a patient."""
    settings = PhantomSettings(patients=patients, rows=ROWS, cols=COLS, bits=8, seed=7)
    for patient in tqdm(range(patients), desc="drawing phantoms"):
        for breast in plan_patient(settings, patient):
            for view in ("CC", "MLO"):
                image_id = f"{patient}_{breast.laterality}_{view}"
                yield image_id, draw_image(settings, breast, view).pixels.astype(np.uint8)


def real_images(folder: Path, pattern: str) -> Iterator[tuple[str, Picture]]:
    """Name and pixels, reduced to 8 bit, of the files of a folder."""
    for path in tqdm(sorted(folder.glob(pattern)), desc="reading images"):
        pixels = read_pixels(path)
        yield path.stem, (pixels // 257 if pixels.dtype == np.uint16 else pixels).astype(np.uint8)


def measure(name: str, images: Iterator[tuple[str, Picture]], copies: int) -> pd.DataFrame:
    """Recall of each change on `copies` images, and the false alarms among all of them."""
    ids, pictures = zip(*images, strict=True)
    start = time.process_time()
    originals = np.stack([fingerprint(pixels) for pixels in pictures])
    alarms = near_copies(originals)
    cost = 1000 * (time.process_time() - start) / len(ids)
    for first, second in alarms:
        print(f"{name}: {ids[first]} and {ids[second]} pass for copies")
    chosen = np.random.default_rng(0).permutation(len(ids))[:copies]
    rows = []
    for change, (function, unit, strengths) in CHANGES.items():
        for strength in strengths:
            recall = _recall(originals, pictures, chosen, partial(function, value=strength))
            rows.append((name, change, strength, unit, recall, len(chosen)))
            print(*rows[-1])
    table = pd.DataFrame(rows, columns=["images", "change", "strength", "unit", "recall", "copies"])
    compared = len(ids) * (len(ids) - 1) / 2
    return table.assign(
        originals=len(ids),
        false_alarms=len(alarms),
        false_alarms_per_million_pairs=round(1e6 * len(alarms) / compared, 2),
        cpu_ms_an_image=round(cost, 1),
    )


def _recall(
    originals: npt.NDArray[np.uint8],
    pictures: tuple[Picture, ...],
    chosen: npt.NDArray[np.int64],
    change: Callable[[Picture], Picture],
) -> float:
    """Share of the chosen images whose changed copy, hidden among all, is found."""
    changed = [fingerprint(np.ascontiguousarray(change(pictures[index]))) for index in chosen]
    likely = set(likely_pairs(np.concatenate([originals, np.stack(changed)])))
    hits = []
    for position, index in enumerate(chosen.tolist()):
        signatures = [
            Signature(originals[index]),
            Signature(changed[position]),
        ]
        is_likely = (index, len(originals) + position) in likely
        hits.append(is_likely and likeness(*signatures) >= MIN_CORRELATION)
    return float(np.mean(hits))


def drawn(count: int) -> Iterator[Picture]:
    """Fingerprints of half ellipses of smooth noise, which cost less to draw than a phantom."""
    rows, cols = np.mgrid[:SIDE, :SIDE]
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE))
    fall = 1 / (frequency + 1 / SIDE) ** 2
    for seed in tqdm(range(count), desc="drawing"):
        rng = np.random.default_rng(seed)
        height, width, middle = rng.uniform((0.35, 0.3, 0.45), (0.5, 0.6, 0.55)) * SIDE
        breast = ((rows - middle) / height) ** 2 + (cols / width) ** 2 < 1
        noise = np.fft.irfft2(fall * np.fft.rfft2(rng.normal(size=(SIDE, SIDE))))
        levels = np.clip(128 + 50 * (noise - noise.mean()) / noise.std(), 1, 255)
        yield (breast * levels).astype(np.uint8)


def growth(counts: list[int]) -> pd.DataFrame:
    """CPU seconds and memory of the check for so many images; the exponent from row to row."""
    prints = np.stack(list(drawn(max(counts))))
    rows = []
    for count in counts:
        start = time.process_time()
        likely = likely_pairs(prints[:count])
        searched = time.process_time() - start
        copies = near_copies(prints[:count])
        rows.append((count, len(likely), len(copies), searched, time.process_time() - start))
        print(*rows[-1])
    columns = ["images", "likely_pairs", "false_alarms", "search_cpu_s", "check_cpu_s"]
    table = pd.DataFrame(rows, columns=columns)
    # The search is timed alone, then once more as a part of the check.
    table["check_cpu_s"] -= table["search_cpu_s"]
    logs = np.log(table[["images", "check_cpu_s"]]).diff()
    return table.assign(exponent=logs["check_cpu_s"] / logs["images"]).round(2)


def main() -> None:
    """Measure on phantoms, and on real images where a folder is named; write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=50)
    parser.add_argument("--copies", type=int, default=50)
    parser.add_argument("--images", nargs=2, action="append", default=[], metavar=("DIR", "GLOB"))
    parser.add_argument("--growth", nargs="+", type=int, metavar="COUNT")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.growth:
        write_csv(arguments.out / "duplicates_growth.csv", growth(arguments.growth))
        return
    parts = [measure("phantoms", phantoms(arguments.patients), arguments.copies)]
    for folder, pattern in arguments.images:
        images = real_images(Path(folder), pattern)
        parts.append(measure(Path(folder).name, images, arguments.copies))
    write_csv(arguments.out / "duplicates.csv", pd.concat(parts, ignore_index=True))


if __name__ == "__main__":
    main()
