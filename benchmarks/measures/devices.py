"""What the subjects with networks share: pictures in memory, and fair times on CPU and GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from second_look.catalogue import LABELS
from second_look.phantoms.phantom import PhantomSettings, draw_image, plan_patient

from measures.timing import Row, rate, row, side_by_side

BITS = 12


@dataclass(frozen=True)
class Pictures:
    """A store of images in memory, as samplers read it: grey levels uint16 (rows, cols) by name."""

    grey: Mapping[str, npt.NDArray[np.uint16]]

    @property
    def images(self) -> pd.DataFrame:
        """Their table."""
        rows, cols = zip(*(pixels.shape for pixels in self.grey.values()), strict=True)
        return pd.DataFrame({"image_id": list(self.grey), "rows": rows, "cols": cols, "bits": BITS})

    def pixels(self, image_id: str) -> npt.NDArray[np.uint16]:
        """The grey levels of one."""
        return self.grey[image_id]

    def windows(self, count: int, size: int) -> pd.DataFrame:
        """Labelled windows anywhere in them, at random."""
        rng = np.random.default_rng(1)
        names = rng.choice(list(self.grey), count)
        shape = np.array([self.grey[name].shape for name in names])
        corners = rng.integers(0, shape - size + 1)
        table = pd.DataFrame({"image_id": names, "row": corners[:, 0], "col": corners[:, 1]})
        return table.assign(size=size, label=rng.choice(LABELS, count), excluded="")


def draw_pictures(count: int, rows: int, cols: int) -> Pictures:
    """Phantom mammograms, so that files compress about as those of real ones do."""
    settings = PhantomSettings(patients=count, rows=rows, cols=cols, bits=BITS, seed=0)
    return Pictures(
        {
            f"i{patient}": draw_image(settings, plan_patient(settings, patient)[0], "CC").pixels
            for patient in range(count)
        }
    )


def compare(
    label: str,
    unit: str,
    competitors: Mapping[str, Callable[[], int]],
    device: torch.device,
    *,
    repeats: int = 3,
) -> list[Row]:
    """One row a competitor; ours comes first. CPU seconds on a CPU, the clock's on a GPU.

    Work on a GPU must end when the GPU is done, and be warm.
    """
    if device.type == "cpu":
        return side_by_side(label, f"{unit} of CPU", competitors)
    for work in competitors.values():
        work()
    rates = {competitor: rate(work, repeats=repeats) for competitor, work in competitors.items()}
    first_rate = next(iter(rates.values()))
    name = torch.cuda.get_device_name(device)
    return [
        row(label, f"{competitor}, {name}", value, unit, first_rate / value)
        for competitor, value in rates.items()
    ]


def on_gpu(measure: Callable[[torch.device], list[Row]]) -> list[Row]:
    """The rows that are measured on a GPU; none where there is none."""
    if torch.cuda.is_available():
        return measure(torch.device("cuda"))
    print("no GPU here: its rows are left as they are.")
    return []


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
