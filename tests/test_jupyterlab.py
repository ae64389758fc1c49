"""JupyterLab as a user has it: double-click, run all, look at the figures, edit, save."""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from helpers.browsers import FLAGS
from helpers.small_cases import small_pack
from jupytext.config import load_jupytext_configuration_file

playwright_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")

REPO = Path(__file__).resolve().parents[1]
FIRST = "01_data_survey"
# The figures of notebook 01 do not need its default sizes, which take minutes.
PARAMETERS = {
    "patients": 16, "image_rows": 256, "image_cols": 208, "sheet_images": 16, "workers": 1,
}  # fmt: skip
SECONDS = 420  # a slow machine with two cores that other tests share
START_SECONDS = 300  # until the server or a kernel answers on such a machine
SENTENCE = "A sentence written in the browser."

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

SMALL = """# %% [markdown]
# # A small notebook

# %%
import matplotlib.pyplot as plt

plt.plot([0, 1], [0, 1]);

# %%
print("done")
"""
VIEWER = """# %% [markdown]
# # Cases

# %%
import json
from pathlib import Path

from second_look.viewer.widget import CaseViewer

CaseViewer(pack=json.loads(Path("pack.json").read_text()))
"""
BROKEN = SMALL.replace('print("done")', 'raise ValueError("broken on purpose")')


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its port and token, the folder that it serves, its log."""

    port: int
    token: str
    root: Path
    log: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/lab?token={self.token}&reset"

    def get(self, path: str) -> Any:
        """The answer of the server's REST interface."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path, headers={"Authorization": f"token {self.token}"})
            response = connection.getresponse()
            text = response.read()
            assert response.status == 200, f"{path}: {response.status} {text!r}"
            return json.loads(text)
        finally:
            connection.close()

    def notebook(self, name: str) -> Any:
        """A saved notebook, from the server: the file itself may be half written."""
        return nbformat.from_dict(self.get(f"/api/contents/{contents_path(name)}")["content"])


def contents_path(name: str) -> str:
    return f"notebooks/{name}.ipynb"


def wait_for(condition: Callable[[], bool], event: str, seconds: float = SECONDS) -> None:
    """Wait until the condition is true; fail with the event's name when the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:.0f} s: {event}")
        time.sleep(0.5)


def pairing() -> Any:
    """What jupytext.toml says."""
    return load_jupytext_configuration_file(str(REPO / "jupytext.toml"))


def write_pair(folder: Path, name: str, notebook: Any) -> None:
    """Both halves of a notebook, as `make sync` writes them."""
    jupytext.write(notebook, folder / f"{name}.ipynb")
    jupytext.write(notebook, folder / f"{name}.py", fmt="py:percent")


def small_notebook(text: str) -> Any:
    """A notebook of these cells, with the metadata of the real ones."""
    notebook = jupytext.reads(text, "py:percent")
    notebook.metadata["jupytext"] = {
        "formats": "ipynb,py:percent",
        "notebook_metadata_filter": pairing().notebook_metadata_filter,
    }
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3",
    }  # fmt: skip
    return notebook


def with_parameters(notebook: Any, values: dict[str, Any]) -> Any:
    """The notebook with other defaults in its parameters cell, as a user would edit them."""
    cell = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    for name, value in values.items():
        line = re.compile(rf"^({name}: \w+ = )\S+", flags=re.MULTILINE)
        cell.source, count = line.subn(rf"\g<1>{value!r}", cell.source)
        assert count == 1, f"{name} is not a parameter"
    return notebook


def copy_checkout(root: Path) -> None:
    """Fill the folder that JupyterLab serves: the real notebooks, and two small ones."""
    shutil.copy2(REPO / "jupytext.toml", root)
    shutil.copytree(
        REPO / "notebooks", root / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints")
    )
    first = jupytext.read(root / contents_path(FIRST))
    write_pair(root / "notebooks", FIRST, with_parameters(first, PARAMETERS))
    write_pair(root / "notebooks", "small", small_notebook(SMALL))
    write_pair(root / "notebooks", "broken", small_notebook(BROKEN))
    write_pair(root / "notebooks", "viewer", small_notebook(VIEWER))
    (root / "notebooks" / "pack.json").write_text(json.dumps(small_pack()))


def lab_command(port: int, token: str, root: Path) -> list[str]:
    """What `make lab` runs, for another folder and without opening a window."""
    command = subprocess.run(
        ["make", "--dry-run", "--always-make", "--no-print-directory", "lab"],
        cwd=REPO, env=clean_environment(root), text=True, capture_output=True, check=True,
    ).stdout.splitlines()[-1]  # fmt: skip
    python, *options = shlex.split(command)
    assert python == ".venv/bin/python"
    return [
        sys.executable, *(option.replace(str(REPO), str(root)) for option in options),
        "--no-browser", "--ServerApp.allow_root=True", "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
    ]  # fmt: skip


def clean_environment(home: Path) -> dict[str, str]:
    """The environment of a user whose settings are all Jupyter's defaults."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JUPYTER", "IPYTHON", "MPL", "COV_", "PYTEST", "MAKE", "LAB_"))
    }
    return environment | {
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_running(lab: Lab, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        pytest.fail(f"JupyterLab ended: {lab.log.read_text()[-2000:]}")
    try:
        return "started" in lab.get("/api/status")
    except OSError:
        return False


def end(process: subprocess.Popen[bytes]) -> None:
    """End the server, which ends its kernels; only what was started here."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


@pytest.fixture(scope="module")
def lab(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "checkout").mkdir()
    copy_checkout(folder / "checkout")
    lab = Lab(free_port(), secrets.token_hex(16), folder / "checkout", folder / "server.log")
    with lab.log.open("wb") as log:
        process = subprocess.Popen(
            lab_command(lab.port, lab.token, lab.root),
            cwd=lab.root, env=clean_environment(folder), stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            wait_for(
                lambda: is_running(lab, process),
                f"JupyterLab answers; see {lab.log}",
                START_SECONDS,
            )
            yield lab
        finally:
            end(process)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(60_000)
    failures = request.session.testsfailed
    try:
        yield page
    finally:
        if request.session.testsfailed > failures:
            page.screenshot(path=tmp_path / "screenshot.png")
            print(f"the browser at the failure: {tmp_path / 'screenshot.png'}")
        context.close()


# ------------------------------------------------------------------ what a user does


def open_by_double_click(page: Any, lab: Lab, name: str) -> None:
    assert (lab.root / contents_path(name)).exists(), "make sync writes the .ipynb"
    page.goto(lab.address)
    page.locator(".jp-DirListing-item", has_text=f"{name}.ipynb").dblclick()
    page.locator(".jp-NotebookPanel:visible .jp-Notebook .jp-Cell").first.wait_for()
    wait_for(lambda: kernel_ready(lab, name), f"a kernel for {name}", START_SECONDS)
    page.locator("#jp-main-statusbar", has_text="| Idle").wait_for()


def run_all_cells(page: Any) -> None:
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def save(page: Any, name: str) -> None:
    """Save, and wait until the server has written both halves.

    JupyterLab drops the keys while it still writes an earlier save: they are pressed again.
    """

    def is_saving(response: Any) -> bool:
        return response.request.method == "PUT" and f"/{contents_path(name)}" in response.url

    for last in (False, False, False, True):
        try:
            with page.expect_response(is_saving, timeout=15_000) as response:
                page.keyboard.press("Control+s")
            break
        except playwright_api.TimeoutError:
            if last:
                raise
    assert response.value.ok


def kernel_ready(lab: Lab, name: str) -> bool:
    """Whether the notebook's kernel waits for work and the browser is connected to it."""
    kernels = [
        session["kernel"]
        for session in lab.get("/api/sessions")
        if session["path"] == contents_path(name)
    ]
    return any(k["execution_state"] == "idle" and k["connections"] > 0 for k in kernels)


def wait_until_run(page: Any, lab: Lab, name: str) -> None:
    """Wait until every code cell has run or one has failed.

    The saved notebook says so; the page does not draw cells that are far from the visible ones.
    """

    def has_run() -> bool:
        dialogs = page.locator(".jp-Dialog").all_inner_texts()
        assert dialogs == []
        if not kernel_ready(lab, name):
            return False
        save(page, name)
        cells = [cell for cell in lab.notebook(name).cells if cell.cell_type == "code"]
        counts = [cell.execution_count for cell in cells if cell.source.strip()]
        return bool(counts) and (None not in counts or errors(lab, name) != [])

    wait_for(has_run, f"all cells of {name} have run")


def errors(lab: Lab, name: str) -> list[str]:
    """Tracebacks among the outputs of a saved notebook, and what it wrote to stderr."""
    outputs = [output for cell in lab.notebook(name).cells for output in cell.get("outputs", [])]
    raised = [f"{o.ename}: {o.evalue}" for o in outputs if o.output_type == "error"]
    written = [o.text for o in outputs if o.output_type == "stream" and o.name == "stderr"]
    return raised + [text for text in written if re.search(r"Traceback|Warning\b", text)]


def pictures_in_file(lab: Lab, name: str) -> int:
    """How many different pictures the outputs of a saved notebook hold."""
    outputs = [output for cell in lab.notebook(name).cells for output in cell.get("outputs", [])]
    bundles = [output.get("data", {}) for output in outputs]
    images = [{m: b[m] for m in sorted(b) if m.startswith("image/")} for b in bundles]
    # Figures with a caption are HTML with the picture inside.
    in_html = [p for b in bundles for p in re.findall(r'src="data:image[^"]+"', html_of(b))]
    return len({json.dumps(image) for image in images if image} | set(in_html))


def html_of(bundle: dict[str, Any]) -> str:
    text = bundle.get("text/html", "")
    return text if isinstance(text, str) else "".join(text)


def pictures_on_screen(page: Any) -> dict[str, int]:
    """Every picture in the outputs -> its width in px (0: broken), scrolling from top to end."""
    widths: dict[str, int] = {}
    panel = page.locator(".jp-NotebookPanel:visible .jp-WindowedPanel-outer")
    panel.evaluate("box => { box.scrollTop = 0 }")
    while True:
        page.wait_for_timeout(400)
        pictures = panel.evaluate(
            "box => [...box.querySelectorAll('.jp-OutputArea-output img')].filter(i => i.complete)"
            ".map(i => [i.src.length + i.src.slice(-200), i.naturalWidth])"
        )
        widths |= dict(pictures)
        moved = panel.evaluate(
            "box => { const old = box.scrollTop; box.scrollTop += box.clientHeight * 0.7;"
            " return box.scrollTop > old }"
        )
        if not moved:
            return widths


def write_into_first_cell(page: Any, text: str) -> None:
    panel = page.locator(".jp-NotebookPanel:visible .jp-WindowedPanel-outer")
    panel.evaluate("box => { box.scrollTop = 0 }")
    cell = page.locator(".jp-NotebookPanel:visible .jp-MarkdownCell").first
    cell.locator(".jp-RenderedMarkdown h1").dblclick()
    editor = cell.locator(".cm-content")
    editor.focus()
    page.wait_for_timeout(500)  # the double-click sets the cursor too, a little later
    page.keyboard.press("Control+End")
    page.keyboard.insert_text(f"\n\n{text}")
    playwright_api.expect(editor.locator(".cm-line").last).to_have_text(text)
    page.keyboard.press("Shift+Enter")


# ------------------------------------------------------------------ tests


@pytest.mark.parametrize("name", ["small", pytest.param(FIRST, marks=pytest.mark.slow)])
def test_open_run_look_edit_save(lab: Lab, page: Any, name: str) -> None:
    script = lab.root / "notebooks" / f"{name}.py"
    old_text = script.read_text(encoding="utf-8")

    open_by_double_click(page, lab, name)
    run_all_cells(page)
    wait_until_run(page, lab, name)
    assert errors(lab, name) == []

    widths = pictures_on_screen(page)
    assert pictures_in_file(lab, name) >= 1
    assert len(widths) >= pictures_in_file(lab, name)
    assert min(widths.values()) > 0

    write_into_first_cell(page, SENTENCE)
    save(page, name)
    new_text = script.read_text(encoding="utf-8")
    assert SENTENCE in new_text
    assert SENTENCE in lab.notebook(name).cells[0].source
    assert page.locator(".jp-Dialog").count() == 0

    # nothing but the sentence has changed: no outputs, no times, no versions
    old, new = set(old_text.splitlines()), set(new_text.splitlines())
    assert new - old - {"#"} == {f"# {SENTENCE}"}
    assert old - new == set()


def test_a_cell_that_fails_is_seen(lab: Lab, page: Any) -> None:
    open_by_double_click(page, lab, "broken")
    run_all_cells(page)
    wait_until_run(page, lab, "broken")
    assert errors(lab, "broken") == ["ValueError: broken on purpose"]


@pytest.mark.slow
def test_the_case_viewer_is_used_by_keys_that_the_lab_leaves_alone(lab: Lab, page: Any) -> None:
    open_by_double_click(page, lab, "viewer")
    run_all_cells(page)
    wait_until_run(page, lab, "viewer")
    assert errors(lab, "viewer") == []
    status = page.locator(".case-viewer .status")
    playwright_api.expect(status).to_contain_text("1 of 4 · hit")
    cells = page.locator(".jp-NotebookPanel:visible .jp-Cell").count()
    page.locator(".case-viewer canvas").first.click()
    for key in "ddn":  # in a notebook, d twice deletes a cell
        page.keyboard.press(key)
    playwright_api.expect(status).to_contain_text("2 of 4 · miss")
    assert page.locator(".jp-NotebookPanel:visible .jp-Cell").count() == cells


def test_scripts_outside_the_notebooks_stay_alone() -> None:
    assert pairing().default_formats(str(REPO / "notebooks" / "new.py"))
    assert pairing().default_formats(str(REPO / "lib" / "second_look" / "files.py")) is None
