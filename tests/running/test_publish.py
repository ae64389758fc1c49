"""Publishing a run: a finished one of a clean commit, without pictures that may not be shown."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.small_mammograms import small_mammograms
from helpers.small_published import card
from PIL import Image
from second_look.errors import OutputError
from second_look.running import publish as publishing
from second_look.running.publish import (
    LEFT_OUT,
    data_card,
    is_chart,
    publish,
    set_card,
    within_size,
    without_paths,
    without_pictures,
)

RUN = {
    "commit": "a" * 40,
    "dirty": False,
    "params_file": "../../params/small.yaml",
    "device": "CPU",
    "notebooks": {
        "01_data_survey": {"status": "done", "commit": "a" * 40, "dirty": False, "seed": 0}
    },
}


def run_folder(tmp_path: Path, change: Callable[[dict], object] = lambda run: None) -> Path:
    folder = tmp_path / "outputs" / "small"
    folder.mkdir(parents=True)
    run = json.loads(json.dumps(RUN))
    change(run)
    (folder / "run.json").write_text(json.dumps(run))
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: run.update(notebooks={}), "no run has ended here"),
        (lambda run: run["notebooks"]["01_data_survey"].update(status="failed"), "not finished"),
        (lambda run: run["notebooks"]["01_data_survey"].update(dirty=True), "no clean commit"),
        (lambda run: run.update(commit=None), "no commit"),
        (lambda run: run.update(dirty=None), "no clean commit"),
        (lambda run: run.update(notebooks=["01_data_survey"]), "no run has ended here"),
        (lambda run: run.update(notebooks={"01_data_survey": 3}), "no run has ended here"),
    ],
)
def test_a_run_that_nobody_could_repeat_is_refused(
    tmp_path: Path, change: Callable[[dict], object], message: str
) -> None:
    folder = run_folder(tmp_path, change)
    with pytest.raises(OutputError, match=message):
        publish(folder, tmp_path / "reference")
    assert not (tmp_path / "reference").exists()


def test_a_run_whose_data_set_has_changed_is_refused(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    (folder / "manifests").mkdir()
    record = {"reads": {"dataset/images.parquet": "other"}, "writes": {}}
    (folder / "manifests" / "01_data_survey.json").write_text(json.dumps(record))
    with pytest.raises(OutputError, match="out of date: 01_data_survey"):
        publish(folder, tmp_path / "reference")


def test_notebooks_that_were_left_out_are_named(tmp_path: Path) -> None:
    data = small_mammograms(tmp_path / "data")
    run = json.loads(json.dumps(RUN))
    assert "Not run" not in set_card("small", data, [card()], run, pictures=False)
    run["notebooks"]["03_dcgan"] = {"status": "not run", "commit": None, "dirty": None}
    page = set_card("small", data, [card()], run, pictures=False)
    assert "\nNot run: 03_dcgan.\n" in page


def test_what_is_published_without_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Squares are a user's own data set: nothing says that its pictures may be passed on."""
    folder = run_folder(tmp_path)
    data = small_mammograms(tmp_path / "data")
    for name in ("tables", "figures"):
        (folder / name).mkdir()
    (folder / "results.json").write_text("[]")
    (folder / "tables" / "01_x.csv").write_text(f"file\n{folder}/dataset/a.png\n")
    for name, element in (("01_chart", "<path"), ("01_picture", "<image")):
        (folder / "figures" / f"{name}.png").write_bytes(b"png")
        (folder / "figures" / f"{name}.svg").write_text(f"<svg>{element}/></svg>")
    (folder / "report.html").write_text('<figure id="01_picture"><img src="data:"></figure>')
    monkeypatch.setattr(publishing, "open_dataset", lambda _: data)
    files = publish(folder, tmp_path / "reference")
    target = tmp_path / "reference" / "small"
    assert [str(path.relative_to(target)) for path in files] == [
        "README.md", "data.md", "figures/01_chart.png", "report.html", "results.json", "run.json",
        "tables/01_x.csv",
    ]  # fmt: skip
    assert (target / "tables" / "01_x.csv").read_text() == "file\noutputs/small/dataset/a.png\n"
    assert "<img" not in (target / "report.html").read_text()
    assert "charts only" in (target / "README.md").read_text()


def picture(width: int, height: int = 60) -> str:
    stream = io.BytesIO()
    Image.effect_noise((width, height), 90).convert("RGB").save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def test_a_figure_of_pixels_is_no_chart(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text("<svg><path/></svg>")
    (tmp_path / "b.svg").write_text("<svg><image/></svg>")
    assert is_chart(tmp_path / "a.svg")
    assert not is_chart(tmp_path / "b.svg")
    assert not is_chart(tmp_path / "missing.svg")


def test_only_charts_stay_on_a_page_without_pictures() -> None:
    page = (
        '<img src="data:1"><figure id="01_chart"><img src="data:2"></figure>'
        '<figure id="01_scan" class="x"><img src="data:3"><figcaption>A</figcaption></figure>'
        '<script type="application/json" class="cases" id="c">{"pixels": 1}</script>end'
    )
    cleaned = without_pictures(page, {"01_chart"})
    assert "data:2" in cleaned
    assert "data:1" not in cleaned
    assert "data:3" not in cleaned
    assert "pixels" not in cleaned
    assert cleaned.count(LEFT_OUT) == 2
    assert cleaned.endswith("end")


def test_a_page_is_made_to_fit_or_refused(tmp_path: Path) -> None:
    page = f'<img src="{picture(1700)}">'
    fitted = within_size(page, tmp_path / "report.html", len(page) // 2)
    assert len(fitted) <= len(page) // 2
    with pytest.raises(OutputError, match=r"report\.html: .* MB, more than"):
        within_size("x" * 200, tmp_path / "report.html", 100)


def test_paths_of_this_machine_are_not_published(tmp_path: Path) -> None:
    folder = (tmp_path / "outputs" / "small").resolve()
    assert without_paths(f"{folder}/a {Path.cwd()}/b", folder) == "outputs/small/a b"


def test_cards_of_a_set_hold_counts_and_numbers(tmp_path: Path) -> None:
    data = small_mammograms(tmp_path)
    text = data_card(data)
    assert "| train | 4 | 8 |" in text
    page = set_card("small", data, [card()], RUN, pictures=True)
    assert (
        "| [image](weights/image.md) | small image model | AUC by image | 0.75 [0.60, 0.85] |"
        in (page)
    )
    assert "a" * 40 in page
