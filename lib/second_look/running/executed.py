"""Executed notebooks as they lie among the outputs, where anything may have happened to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from second_look.files import read_object


def read_executed(path: Path) -> dict[str, Any]:
    """An executed notebook; {} where there is none that can be read: the report leaves it out."""
    notebook = read_object(path)
    cells = notebook.get("cells")
    valid = isinstance(cells, list) and all(_is_cell(cell) for cell in cells)
    return notebook if valid else {}


def _is_cell(cell: object) -> bool:
    if not isinstance(cell, dict) or not isinstance(cell.get("metadata"), dict):
        return False
    outputs = cell.get("outputs", [])
    valid_outputs = isinstance(outputs, list) and all(
        isinstance(output, dict) and "output_type" in output for output in outputs
    )
    is_code = cell.get("cell_type") == "code"
    return (
        valid_outputs
        and isinstance(cell.get("source"), str | list)
        and ("outputs" in cell) >= is_code
    )
