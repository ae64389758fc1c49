"""Start weights: which a run needs, what is missing, and how they are fetched."""

from __future__ import annotations

import functools
import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import h5py
import pytest
import timm
from safetensors.torch import save
from second_look import __main__ as command
from second_look.errors import DataError, MissingDataError, ParameterError
from second_look.running import weights
from second_look.running.notebooks import find_notebooks
from second_look.running.parameters import read_cells
from second_look.running.weights import (
    WeightsFile,
    choose_weights,
    download_weights,
    known_weights,
    needed_weights,
    weights_of_params,
)
from second_look.sources.fetching import RemoteFile, fetch_file

REPO = Path(__file__).resolve().parents[2]
CONTENT = bytes(range(256)) * 40
DIGITS = hashlib.sha256(CONTENT).hexdigest()[:8]


class Handler(BaseHTTPRequestHandler):
    """A server that can continue a file, and that breaks off in the middle if it is asked to."""

    def do_GET(self) -> None:
        server: Any = self.server
        asked = self.headers.get("Range", "")
        server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-") or 0)
        if start and start >= len(server.content):
            self.send_error(416)
            return
        content = server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:100] if server.breaks else content)
        server.breaks = max(0, server.breaks - 1)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("NO_PROXY", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        served: Any = running
        served.content, served.breaks, served.asked = CONTENT, 0, []
        served.address = f"http://127.0.0.1:{running.server_port}/net-{DIGITS}.pth"
        thread = threading.Thread(target=functools.partial(running.serve_forever, 0.01))
        thread.start()
        yield served
        running.shutdown()
        thread.join()


def test_a_broken_download_continues_where_it_stopped(server: Any, tmp_path: Path) -> None:
    target, remote = tmp_path / "net.pth", RemoteFile(server.address, f"sha256:{DIGITS}")
    server.breaks = 1
    with pytest.raises(MissingDataError, match=r"broke off after 100 of 10,240.*put the file at"):
        fetch_file(target, remote, retries=0)
    assert not target.exists()
    assert fetch_file(target, remote, retries=0)
    assert server.asked == ["", "bytes=100-"]
    assert target.read_bytes() == CONTENT
    assert not fetch_file(target, remote, retries=0)
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


def test_a_draft_of_another_file_is_not_kept(server: Any, tmp_path: Path) -> None:
    target, remote = tmp_path / "net.pth", RemoteFile(server.address, f"sha256:{DIGITS}")
    for draft in (b"x" * 100, b"x" * 20_000):
        (tmp_path / ".net.pth.part").write_bytes(draft)
        with pytest.raises(DataError, match="another checksum"):
            fetch_file(target, remote, retries=0)
        assert list(tmp_path.iterdir()) == []
    assert fetch_file(target, remote, retries=0)


def test_weights_are_offered_with_their_size_and_fetched_once(server: Any, tmp_path: Path) -> None:
    file = WeightsFile("net", server.address, len(CONTENT), DIGITS, f"net-{DIGITS}.pth")
    offers: list[str] = []
    assert download_weights([file], tmp_path, confirm=lambda text: bool(offers.append(text))) == []
    assert server.asked == []
    assert "1 files, 0.00 GB" in offers[0]
    assert server.address in offers[0]
    path = tmp_path / "weights" / f"net-{DIGITS}.pth"
    assert download_weights([file], tmp_path, confirm=lambda _: True) == [path]
    assert download_weights([file], tmp_path, confirm=pytest.fail) == []


def test_matterports_file_is_known_by_its_layers(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = server.address.replace("net", "coco")
    file = WeightsFile(weights.MATTERPORT, address, len(CONTENT), "", weights.MATTERPORT)
    with pytest.raises(DataError, match=r"not the file of mask_rcnn_coco\.h5"):
        download_weights([file], tmp_path, confirm=lambda _: True)
    assert list((tmp_path / "weights").iterdir()) == []
    with h5py.File(tmp_path / "whole.h5", "w") as content:
        for layer in weights._MATTERPORT_LAYERS:
            content.create_group(layer)
    server.content = (tmp_path / "whole.h5").read_bytes()
    (path,) = download_weights([file], tmp_path, confirm=lambda _: True)
    digest = hashlib.sha256(server.content).hexdigest()
    assert path.with_name(f"{path.name}.sha256").read_text() == f"{digest}  {path.name}\n"


def test_without_a_network_the_address_is_named(tmp_path: Path) -> None:
    file = WeightsFile("net", "http://127.0.0.1:9/net.pth", 10, "", "net.pth")
    with pytest.raises(
        MissingDataError, match=r"127\.0\.0\.1:9/net\.pth.*put the file at"
    ) as error:
        download_weights([file], tmp_path, confirm=lambda _: True, retries=0)
    assert str(tmp_path / "weights" / "net.pth") in str(error.value)


def test_a_file_of_timm_is_tried_on_its_network(server: Any, tmp_path: Path) -> None:
    name = "mobilenetv3_small_050"
    file = WeightsFile(name, server.address, len(CONTENT), "", f"{name}.safetensors")
    with pytest.raises(DataError, match=f"not the file of {name}.*cannot be read as weights"):
        download_weights([file], tmp_path, confirm=lambda _: True)
    server.content = save(timm.create_model(name, pretrained=False).state_dict())
    (path,) = download_weights([file], tmp_path, confirm=lambda _: True)
    assert path.name == f"{name}.safetensors"
    assert path.with_name(f"{path.name}.sha256").is_file()


def test_published_files_carry_their_checksum_where_there_is_one() -> None:
    published = known_weights()
    assert set(published) == {
        "mobilenet_v2",
        "inception_v3",
        weights.MASK_RCNN,
        "mask_rcnn_coco.h5",
    }
    for name, file in published.items():
        assert len(file.digits) == (0 if name == "mask_rcnn_coco.h5" else 8)
        assert 5e6 < file.size < 1e9
    chosen = choose_weights(["mask_rcnn_coco.h5", published["mobilenet_v2"].file, "resnet50"])
    assert chosen[:2] == [published["mask_rcnn_coco.h5"], published["mobilenet_v2"]]
    assert chosen[2].address.startswith("https://huggingface.co/timm/resnet50.")
    assert chosen[2].file == "resnet50.safetensors"
    assert chosen[2].size == pytest.approx(94e6, rel=0.02)  # without its last layer


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ParameterError, match=r"no weights 'resnet5'\. Did you mean 'resnet50"):
        choose_weights(["resnet5"])


def test_the_params_files_name_these() -> None:
    cells = read_cells(find_notebooks(REPO / "notebooks"))
    full = {file.name for file in weights_of_params([REPO / "params" / "full.yaml"], cells)}
    assert full == {"resnet50", "mask_rcnn_coco.h5"}
    mias = {file.name for file in weights_of_params([REPO / "params" / "mias.yaml"], cells)}
    assert mias == {"tf_efficientnet_lite0"}
    assert weights_of_params([REPO / "params" / "smoke.yaml"], cells) == []


def values_of_06(root: Path, *starts: str) -> dict[str, dict[str, Any]]:
    parameters = {
        "data_root": str(root),
        "weights_folder": "weights",
        "architecture": "mobilenet_v2",
        "starts": ["random", "phantom", *starts],
        "image_starts": ["patches", *starts],
    }
    return {"06_patch_transfer_learning": parameters}


def test_missing_weights_come_with_the_command_that_gets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (needed,) = needed_weights(values_of_06(tmp_path, "imagenet"))
    assert needed.published == "mobilenet_v2"
    assert "python -m second_look download weights mobilenet_v2" in needed.problem
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / known_weights()["mobilenet_v2"].file).touch()
    (needed,) = needed_weights(values_of_06(tmp_path, "imagenet"))
    assert needed.problem == ""


def test_an_unknown_start_gets_the_nearest(tmp_path: Path) -> None:
    (needed,) = needed_weights(values_of_06(tmp_path, "imagnet"))
    assert "Did you mean 'imagenet'?" in needed.problem


def test_matterports_file_of_notebook_05_is_looked_for_in_the_data_root(tmp_path: Path) -> None:
    parameters = {"model": "paper", "weights": "weights/mask_rcnn_coco.h5"}
    values = {"01_data_survey": {"data_root": str(tmp_path)}, "05_mask_rcnn": parameters}
    (needed,) = needed_weights(values)
    assert "download weights mask_rcnn_coco.h5" in needed.problem
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "mask_rcnn_coco.h5").touch()
    assert needed_weights(values)[0].problem == ""


def test_the_command_says_what_it_would_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert command.main(["download", "weights", "resnet18", "--folder", "there"]) == 0
    printed = capsys.readouterr().out
    assert "0.04 GB, to there/weights" in printed
    assert printed.endswith("Nothing was fetched.\n")
    assert command.main(["download", "weights", "resnet19"]) == 2
    assert "Did you mean 'resnet18'?" in capsys.readouterr().err
    assert command.main(["download", "weights"]) == 2
    assert "there is no folder params here" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--help"], ["--version"], ["download", "--help"]])
def test_help_needs_no_library(options: list[str]) -> None:
    code = (
        "import sys\nfrom second_look.__main__ import main\n"
        f"try:\n    main({options!r})\nexcept SystemExit:\n    pass\n"
        "print(sorted({'numpy', 'pandas', 'h5py', 'torch', 'tqdm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
