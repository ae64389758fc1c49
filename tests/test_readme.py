"""README, ARCHITECTURE and CONTRIBUTING name what is there: commands, options, links, files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from second_look.verdicts import RULE

REPO = Path(__file__).resolve().parents[1]
DOCUMENTS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"]
LINK = re.compile(
    r"\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)|<(?:img|a)\b[^>]*?(?:src|href)=\"([^\"]+)\""
)
NAMED_PATH = re.compile(
    r"`((?:\.?[\w-]+/)+[\w.*-]*|[\w-]+\.(?:py|md|yml|yaml|toml|lock|ipynb)|Makefile)`"
)
MADE_BY_A_RUN = (
    "outputs/", ".venv/", "figures/", "tables/", "predictions/", "checkpoints/"
)  # fmt: skip
DATA_OF_A_USER = (
    "data/", "cbis-ddsm", "cesm-cc-87/", "weights/", "csv/", "jpeg/", "all-mias/", "images/"
)  # fmt: skip


def text_of(name: str) -> str:
    return (REPO / name).read_text(encoding="utf-8")


def links(text: str) -> list[str]:
    """Targets of the links and pictures that stay inside the repository."""
    targets = [first or second for first, second in LINK.findall(text)]
    return [t.split("#")[0] for t in targets if not re.match(r"[a-z]+:|#", t)]


def named_paths(text: str) -> list[str]:
    """Files and folders written as code, apart from results and data."""
    paths = NAMED_PATH.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [path for path in paths if not path.startswith(MADE_BY_A_RUN + DATA_OF_A_USER)]


def exists(path: str) -> bool:
    """Whether a path of a document exists, from the root, the package or the parameters."""
    starts = (REPO, REPO / "lib", REPO / "lib" / "second_look", REPO / "params")
    return any(any(start.glob(path.rstrip("/"))) for start in starts)


def make_targets(text: str) -> set[str]:
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, flags=re.DOTALL))
    return set(re.findall(r"\bmake (?:-\S+ )?([a-z][\w-]*)(?![\w=])", code))


def run_all_options(text: str) -> set[str]:
    # Options before the script's name are torchrun's.
    parts = (line.partition("run_all.py") for line in re.split(r"\n|`", text))
    lines = [arguments for _, script, arguments in parts if script]
    return {option for line in lines for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", line)}


def test_readme_starts_with_two_commands() -> None:
    assert make_targets(text_of("README.md")) >= {"test", "report"}


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert re.search(r"^\s*make test\b|`make test`", text_of("README.md"), flags=re.MULTILINE)
    assert "make test" in text_of(".ci/run").splitlines()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    broken = [target for target in links(text_of(name)) if not (REPO / target).exists()]
    assert broken == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_named_files_are_there(name: str) -> None:
    assert [path for path in named_paths(text_of(name)) if not exists(path)] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_make_targets_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", text_of("Makefile"), flags=re.MULTILINE))
    assert make_targets(text_of(name)) <= targets


@pytest.fixture(scope="module")
def options() -> set[str]:
    """The options that run_all.py names in its help."""
    help_text = subprocess.run(
        [sys.executable, "run_all.py", "--help"],
        cwd=REPO,
        text=True,
        capture_output=True,
        check=True,
    ).stdout
    return set(re.findall(r"--[a-z][a-z-]*", help_text))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_options_of_run_all_exist(name: str, options: set[str]) -> None:
    assert "--params" in options
    assert run_all_options(text_of(name)) <= options


def test_numbers_of_the_phantoms_are_those_that_were_measured() -> None:
    table = pd.read_csv(REPO / "benchmarks" / "results" / "phantom_difficulty.csv")
    first = table[(table["contrast"] == 1) & (table["group"] == "all") & (table["seed"] == 1)]
    rows = first.set_index("method")[["auc", "low", "high"]]
    text = " ".join(text_of("README.md").split())
    sentence = re.search(r"CNN reaches (.*?) at contrast 0", text)
    assert sentence is not None
    numbers = [float(number) for number in re.findall(r"\d\.\d\d", sentence[1])]
    measured = rows.loc[["small CNN", "maximum", "mean"]].to_numpy().ravel()
    assert numbers == pytest.approx(list(measured), abs=0.0051)


INTERVAL = re.compile(r"([+-]?[\d.]+)(?: %| points)? \[(-?[\d.]+), (-?[\d.]+)\]")


def intervals(text: str) -> list[tuple[float, float, float]]:
    """Estimates with their intervals: "0.75 [0.69, 0.81]", "69 % [64, 75]", "+2 points [1, 5]"."""
    return [(float(a), float(b), float(c)) for a, b, c in INTERVAL.findall(text)]


def is_measured(interval: tuple[float, float, float], measured: pd.DataFrame) -> bool:
    """Whether a row of a table rounds to these numbers, as shares or in percent."""
    numbers = measured[["value", "low", "high"]].to_numpy()
    rounded = {tuple(row) for row in numbers.round(2)} | {
        tuple(row) for row in (100 * numbers).round(0)
    }
    return interval in rounded


def section(text: str, title: str) -> str:
    return text.split(f"## {title}")[1].split("\n## ")[0]


def test_results_are_those_that_were_measured() -> None:
    measured = pd.read_csv(REPO / "benchmarks" / "results" / "real_mammograms.csv")
    text = section(text_of("README.md"), "What came out on real mammograms")
    for column, name in ((2, "cbis_mass"), (3, "mias")):
        cells = [line.split("|")[column] for line in text.splitlines() if line.startswith("|")]
        stated_intervals = intervals("\n".join(cells))
        assert len(stated_intervals) > 8
        rows = measured[measured["set"] == name]
        assert [x for x in stated_intervals if not is_measured(x, rows)] == []


def test_speeds_are_those_that_were_measured() -> None:
    measured = pd.read_csv(REPO / "benchmarks" / "results" / "speed.csv")
    factors = measured[["speedup", "lowest", "highest"]].stack()
    values = {*measured["value"], *(3600 * measured["value"]), *factors}
    table = section(text_of("README.md"), "How fast is it?")
    lines = [line.split("|")[2:4] for line in table.splitlines() if line.startswith("| ")][1:]
    cells = " ".join(cell for line in lines for cell in line)
    text = re.sub(r"torchvision|from \d+ draws|two|one", "", cells)
    numbers = [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]
    assert len(numbers) > 25
    close = {x for x in numbers if any(abs(x - value) < 0.006 * x for value in values)}
    assert [x for x in numbers if x not in close] == []


# ------------------------------------------------------------------ the checks can fail


def test_what_the_checks_look_at() -> None:
    text = (
        '[a](docs/a.md#part) ![b](b.png "B") [c](https://example.org) [d](#d)\n'
        '<img width="3" src="e.png"> `lib/second_look/geometry.py` `outputs/x` `Makefile`\n'
        "`make test` and we make sure\n```\nmake report PYTHON=python3.12\n"
        "python run_all.py --params params/mias.yaml --only 01\n```\n"
    )
    assert links(text) == ["docs/a.md", "b.png", "e.png"]
    assert named_paths(text) == ["lib/second_look/geometry.py", "Makefile"]
    assert make_targets(text) == {"test", "report"}
    assert run_all_options(text) == {"--params", "--only"}
    assert intervals("a 0.75 [0.69, 0.81] b 69 % [64, 75], +2 points [-1, 5]") == [
        (0.75, 0.69, 0.81),
        (69, 64, 75),
        (2, -1, 5),
    ]
    measured = pd.DataFrame({"value": [0.754], "low": [0.6901], "high": [0.8104]})
    assert is_measured((0.75, 0.69, 0.81), measured)
    assert is_measured((75, 69, 81), measured)
    assert not is_measured((0.76, 0.69, 0.81), measured)
    assert exists("geometry.py")
    assert not exists("no_such.py")


def test_the_rule_of_verdicts_is_that_of_the_code() -> None:
    assert RULE in text_of("README.md")
