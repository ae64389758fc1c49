"""What a run leaves behind, and what it takes from earlier notebooks.

Every file is written whole or not at all. What is read and written is recorded (records.py), and
what is out of date is refused.
"""

from __future__ import annotations

import base64
import html
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from IPython.display import HTML, display

from second_look.claims import claim
from second_look.errors import OutputError
from second_look.files import (
    harmless,
    read_parquet,
    sha256,
    write_bytes,
    write_csv,
    write_json,
    write_parquet,
)
from second_look.headings import heading, in_words
from second_look.records import (
    GONE,
    IF_CURRENT,
    MANIFESTS,
    OTHERS,
    RESULTS,
    VERSION,
    Records,
    begin_record,
    fingerprint,
    load_results,
)
from second_look.rendering import rendered
from second_look.verdicts import Conditions, Interval, noted
from second_look.verdicts import verdict as judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDERS = ("figures", "tables", "predictions", MANIFESTS)
ROWS_SHOWN = 50
NO_ROWS = "Nothing to list: this table has no rows in this run."
_NAME = re.compile(r"[a-z0-9_]+")
_silent = False


def open_run(outputs: str | Path, *, notebook: str) -> Run:
    """Begin the run of a notebook: its earlier results and record are dropped.

    Args:
        outputs: Folder of the run.
        notebook: Name without ending, such as 01_data_survey.

    Raises:
        OutputError: The folder cannot be written.
    """
    kind = SilentRun if _silent else Run
    return kind(Path(outputs).resolve(), notebook)


@contextmanager
def silenced() -> Iterator[None]:
    """Within the block, runs leave nothing but what trainings write: no figure, table, record."""
    global _silent
    previous, _silent = _silent, True
    try:
        yield
    finally:
        _silent = previous


class Run:
    """One run of one notebook: what it shows is saved, what it reads and writes is recorded.

    Attributes:
        folder: Of the run's outputs.
        notebook: Name without ending.
    """

    def __init__(self, folder: Path, notebook: str) -> None:
        self.folder, self.notebook = folder, notebook
        self._number = notebook.split("_", 1)[0]
        self._reads: dict[str, str] = {}
        self._writes: dict[str, str] = {}
        self._earlier: list[str] = []
        for name in FOLDERS:
            try:
                (folder / name).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(
                    f"{folder}: cannot be written ({error.strerror}). Choose another folder."
                ) from error
        self._save_results([])
        self._earlier = begin_record(folder, notebook)

    def figure(self, figure: Figure, name: str, caption: str) -> None:
        """Save a figure as PNG and SVG, show it with its caption, and close it."""
        # Only here: matplotlib is slow to import, and the pipeline never draws.
        import matplotlib.pyplot as plt

        anchor = self._anchor(name)
        png, svg = rendered(figure)
        plt.close(figure)
        for suffix, content in ((".png", png), (".svg", svg)):
            path = self.folder / "figures" / f"{anchor}{suffix}"
            write_bytes(path, content)
            self.wrote(path)
        image = base64.b64encode(png).decode()
        _show(
            f'<figure id="{anchor}"><img style="max-width:100%" alt="{html.escape(caption)}" '
            f'src="data:image/png;base64,{image}"><figcaption>{html.escape(caption)}'
            "</figcaption></figure>"
        )

    def table(self, table: pd.DataFrame, name: str, caption: str, *, empty: str = NO_ROWS) -> None:
        """Save a table as CSV and show its first rows with a caption, or why it has none.

        Args:
            table: To save under its own names, and to show under those of headings.py.
            name: Of the file, without ending.
            caption: Shown above it.
            empty: A sentence to show instead of a table without rows.
        """
        anchor = self._anchor(name)
        path = self.folder / "tables" / f"{anchor}.csv"
        table, changed = harmless(table)
        write_csv(path, table)
        self.wrote(path)
        remaining = len(table) - ROWS_SHOWN
        note = f" {remaining:,} more rows are in tables/{path.name}." if remaining > 0 else ""
        if changed:
            note += f" Formulas and control characters written as plain text: {changed}."
        _show(
            f'<figure id="{anchor}" class="table"><figcaption>{html.escape(caption + note)}'
            f"</figcaption>{table_html(table.head(ROWS_SHOWN), empty)}</figure>"
        )

    def result(
        self,
        claim_id: str,
        measured: float | Interval,
        *,
        low: float | None = None,
        high: float | None = None,
        n: int | None = None,
        how: str = "",
        conditions: Conditions | None = None,
        verdict: str | None = None,
        figure: str | None = None,
        synthetic: bool = False,
    ) -> None:
        """Put a measurement beside a claim of the paper, in results.json.

        Args:
            claim_id: Of claims.CLAIMS.
            measured: An estimate with its interval, or a count.
            low: Lower end of a range, or of an interval that is no estimate.
            high: Upper end.
            n: Observations behind it, where it is no estimate.
            how: How it was measured, in a few words.
            conditions: Trainings, budget and control that the verdict depends on.
            verdict: In words, where verdicts.RULE does not fit; None: by that rule.
            figure: Name of the figure or table that shows it.
            synthetic: Whether it was measured on phantoms, which judge no claim, in words or not.

        Raises:
            ValueError: The paper has no such claim, or the value is not a finite number.
        """
        paper_claim, reason = claim(claim_id), ""
        if isinstance(measured, int | float | np.number):
            value = measured
        else:
            value, low, high = measured.value, measured.low, measured.high
            n, reason = measured.n, measured.reason
        if not math.isfinite(value):
            raise ValueError(f"{claim_id}: the value must be a finite number. Got {value}.")
        rule_verdict = judge(
            paper_claim, value, low, high,
            reason=reason, conditions=conditions, synthetic=synthetic,
        )  # fmt: skip
        row = {
            "claim": claim_id,
            "value": _plain(value),
            "low": _plain(low),
            "high": _plain(high),
            "n": _plain(n),
            "how": "; ".join(
                dict.fromkeys(filter(None, (how, reason, *noted(paper_claim, conditions))))
            ),
            "verdict": rule_verdict if synthetic or verdict is None else verdict,
            "figure": self._anchor(figure) if figure else None,
            "notebook": self.notebook,
        }
        kept_rows = [row for row in self._own_results() if row["claim"] != claim_id]
        self._save_results([*kept_rows, row])

    def parquet(self, table: pd.DataFrame, relative_path: str) -> None:
        """Save a table for later notebooks."""
        path = self.folder / relative_path
        write_parquet(path, table)
        self.wrote(path)

    def read_parquet(self, relative_path: str) -> pd.DataFrame:
        """Read a table that an earlier notebook saved.

        Raises:
            OutputError: It is not there, or out of date.
        """
        path = self.folder / relative_path
        if not path.is_file():
            raise OutputError(f"{path} is not there: run the notebook that writes it first.")
        self.uses(path)
        return read_parquet(path)

    def current(self, relative_path: str) -> Path | None:
        """The path of what an earlier notebook saved; None where it is missing or out of date.

        Once that changes, this notebook is out of date.
        """
        name = f"{relative_path}{IF_CURRENT}"
        self._reads[name] = fingerprint(self.folder / name, self.folder)
        self._save_record()
        return None if self._reads[name] == GONE else self.folder / relative_path

    def results(self) -> list[dict[str, Any]]:
        """The rows of results.json; those that are out of date say so instead of a verdict.

        When what the other notebooks put there changes, this one is out of date. Its own rows do
        not count, so that it may write some of its own.
        """
        name = f"{RESULTS}{OTHERS}{self.notebook}"
        self._reads[name] = fingerprint(self.folder / name, self.folder)
        self._save_record()
        return Records(self.folder).results()

    def results_of_others(self) -> list[dict[str, Any]]:
        """As `results`, without its own."""
        return [row for row in self.results() if row["notebook"] != self.notebook]

    def uses(self, *paths: str | Path | None) -> None:
        """Record files or folders that are read: when they change, the notebook is out of date.

        Those that are None are passed over.

        Raises:
            OutputError: A file of an earlier notebook is of another data set, or of inputs that
                have changed since; names the notebook to run.
        """
        records = Records(self.folder)
        for path in paths:
            if path is not None:
                absolute = Path(path).resolve()
                records.check(absolute)
                name = self._name(absolute)
                self._reads[name] = records.fingerprint(name)
        self._save_record()

    def wrote(self, *paths: Path) -> None:
        """Record files that a library function wrote for this notebook."""
        for path in paths:
            self._writes[self._name(path.resolve())] = sha256(path)
        self._save_record()

    def _anchor(self, name: str) -> str:
        """Name of a figure or table after the notebook's number: of its file and on a page."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"a name has small letters, digits and _ only. Got {name!r}.")
        return f"{self._number}_{name}"

    def _name(self, path: Path) -> str:
        in_run = path.is_relative_to(self.folder)
        return path.relative_to(self.folder).as_posix() if in_run else str(path)

    def _own_results(self) -> list[dict[str, Any]]:
        return [row for row in load_results(self.folder) if row["notebook"] == self.notebook]

    def _save_results(self, rows: list[dict[str, Any]]) -> None:
        others_rows = [row for row in load_results(self.folder) if row["notebook"] != self.notebook]
        all_rows = sorted([*others_rows, *rows], key=lambda row: str(row["notebook"]))
        write_json(self.folder / RESULTS, all_rows)

    def _save_record(self) -> None:
        record = {
            "version": VERSION,
            "reads": self._reads,
            "writes": self._writes,
            "earlier": self._earlier,
        }
        write_json(self.folder / MANIFESTS / f"{self.notebook}.json", record)


class SilentRun(Run):
    """A run that reads what is there and leaves no trace, for processes that only train."""

    def __init__(self, folder: Path, notebook: str) -> None:
        self.folder, self.notebook = folder, notebook
        self._number = notebook.split("_", 1)[0]
        self._reads, self._writes = {}, {}

    def figure(self, figure: Figure, name: str, caption: str) -> None:
        """Close the figure."""
        import matplotlib.pyplot as plt

        plt.close(figure)

    def table(self, table: pd.DataFrame, name: str, caption: str, *, empty: str = NO_ROWS) -> None:
        """Nothing."""

    def parquet(self, table: pd.DataFrame, relative_path: str) -> None:
        """Nothing."""

    def wrote(self, *paths: Path) -> None:
        """Nothing."""

    def _save_results(self, rows: list[dict[str, Any]]) -> None:
        """Nothing."""

    def _save_record(self) -> None:
        """Nothing."""


def table_html(table: pd.DataFrame, empty: str = NO_ROWS) -> str:
    """A plain HTML table without the index; numbers in class `number`, readable, "–" for none.

    Args:
        table: Its columns and cells get the words of headings.py.
        empty: A sentence to show instead, if it has no rows.
    """
    if table.empty:
        return f"<p>{html.escape(empty)}</p>"
    numeric = [pd.api.types.is_numeric_dtype(dtype) for dtype in table.dtypes]
    marks = [' class="number"' if number else "" for number in numeric]
    heads = [
        f'<th scope="col"{mark}>{html.escape(heading(name))}</th>'
        for name, mark in zip(table.columns, marks, strict=True)
    ]
    rows = [
        "".join(
            f"<td{mark}>{html.escape(in_words(readable(value)))}</td>"
            for value, mark in zip(row, marks, strict=True)
        )
        for row in table.itertuples(index=False, name=None)
    ]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{''.join(heads)}</tr></thead><tbody>{body}</tbody></table>"


def readable(value: Any) -> str:  # noqa: ANN401
    """A value as people read it: thousands separated, four digits, yes and no, "–" for none."""
    value = _plain(value)
    if value is None or value is pd.NA or value != value:  # NaN, NaT
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        is_whole = value.is_integer() or abs(value) >= 1000
        return f"{value:,.0f}" if is_whole and abs(value) < 1e15 else f"{value:.4g}"
    return str(value)


def _show(markup: str) -> None:
    display(HTML(markup))  # type: ignore[no-untyped-call]


def _plain(value: Any) -> Any:  # noqa: ANN401
    """A number that JSON can hold: Python's own type; None where there is none."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
