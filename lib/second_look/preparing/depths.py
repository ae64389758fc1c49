"""How many bits the grey levels of a data set have where its files do not say."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from second_look.quarantine import Code, Quarantine

# Depths of scanners and detectors. Of 16 bits is what only fits into 16.
DEPTHS = (8, 10, 12, 14, 16)
# A picture whose brightest level is a smaller share of its white is suspicious.
MIN_SHARE_OF_WHITE = 1 / 8


def with_depths(
    images: pd.DataFrame, datasets: Sequence[str], files: Sequence[str]
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Give a depth to the images whose files do not say theirs, and report dim pictures.

    Args:
        images: Prepared images with `bits` (0: not said) and `brightest`, the highest level of the
            whole picture.
        datasets: Name of the data set of each image.
        files: Its file.

    Returns:
        The images, with all bits known; rows for the quarantine.
    """
    brightest = images["brightest"].tolist()
    bits, rows = found_depths(images["bits"].tolist(), brightest, datasets, files)
    for index, (depth, level) in enumerate(zip(bits, brightest, strict=True)):
        white = (1 << depth) - 1
        if level < MIN_SHARE_OF_WHITE * white:
            hint = (
                "; if it is of fewer bits, as 12 in a PNG or TIFF of 16, give them as bits"
                if depth > DEPTHS[0]
                else ""
            )
            quarantine = Quarantine(datasets[index])
            quarantine.add(
                Code.FEW_LEVELS,
                f"its brightest level is {level} of {white}{hint}",
                effect="kept, levels uncertain",
                file=files[index],
                image_id=str(images["image_id"].iloc[index]),
            )
            rows += quarantine.rows
    names = list(dict.fromkeys(datasets))
    rows.sort(key=lambda row: names.index(row["dataset"]))
    return images.assign(bits=bits), rows


def found_depths(
    bits: Sequence[int], brightest: Sequence[int], datasets: Sequence[str], files: Sequence[str]
) -> tuple[list[int], list[dict[str, str]]]:
    """A depth for each image whose file does not say its own.

    White is the brightest level that a depth allows, so levels are compared as shares of it. A PNG
    or TIFF of 16 bits may hold 12: the images of a data set that do not say have the least depth of
    DEPTHS that holds the brightest level of all of them. It is never found for each image by
    itself, which would make dim pictures bright.

    Args:
        bits: Of each image; 0: not said.
        brightest: Its highest level.
        datasets: Name of its data set.
        files: Its file.

    Returns:
        The bits, none of them 0; rows for the quarantine.
    """
    settled, rows = list(bits), []
    for name in dict.fromkeys(datasets):
        silent = [n for n, dataset in enumerate(datasets) if dataset == name and bits[n] == 0]
        if not silent:
            continue
        highest = max(brightest[n] for n in silent)
        depth = next(depth for depth in DEPTHS if highest < 1 << depth)
        for n in silent:
            settled[n] = depth
        if depth < DEPTHS[-1]:
            quarantine = Quarantine(name)
            quarantine.add(
                Code.DEPTH_FOUND,
                f"{len(silent)} files of 16 bits hold levels up to {highest}: they count as "
                f"{depth} bits; bits says otherwise",
                effect="kept, corrected",
                file=files[silent[0]],
            )
            rows += quarantine.rows
    return settled, rows
