"""How many bits the grey levels of a data set have where its files do not say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
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

    White is the brightest level that a depth allows, so levels are compared as shares of it. A PNG
    or TIFF of 16 bits may hold 12: the images of a data set that do not say have the least depth of
    DEPTHS that holds the brightest level of all of them. It is never found for each image by
    itself, which would make dim pictures bright.

    Args:
        images: Prepared images with `bits` (0: not said) and `brightest`, the highest level of the
            whole picture.
        datasets: Name of the data set of each image.
        files: Its file.

    Returns:
        The images, with all bits known; rows for the quarantine.
    """
    bits, names = images["bits"].to_numpy(copy=True), np.asarray(datasets, dtype=object)
    brightest = images["brightest"].to_numpy()
    rows = []
    for name in dict.fromkeys(datasets):
        quarantine = Quarantine(name)
        silent = (names == name) & (bits == 0)
        if silent.any():
            highest = int(brightest[silent].max())
            depth = next(depth for depth in DEPTHS if highest < 1 << depth)
            bits[silent] = depth
            if depth < DEPTHS[-1]:
                quarantine.add(
                    Code.DEPTH_FOUND,
                    f"{silent.sum()} files of 16 bits hold levels up to {highest}: they count as "
                    f"{depth} bits; bits says otherwise",
                    effect="kept, corrected",
                    file=files[int(np.flatnonzero(silent)[0])],
                )
        for index in np.flatnonzero(names == name).tolist():
            white = (1 << int(bits[index])) - 1
            if brightest[index] < MIN_SHARE_OF_WHITE * white:
                quarantine.add(
                    Code.FEW_LEVELS,
                    f"its brightest level is {brightest[index]} of {white}",
                    effect="kept, levels uncertain",
                    file=files[index],
                    image_id=str(images["image_id"].iloc[index]),
                )
        rows += quarantine.rows
    return images.assign(bits=bits), rows
