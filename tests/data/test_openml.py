"""`openml:NAME` against a server on this machine that speaks OpenML's protocol.

The protocol is that of https://www.openml.org/apis: lists by name, description, features and qualities as
JSON, the rows as an ARFF file, status 412 for what is not there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import _openml

from workbench.cli.main import main
from workbench.core.errors import DataError
from workbench.core.types import DataSpec
from workbench.data import load

ROWS = 240
STUDY = """\
name = "churn"
[data]
source = "openml:{name}"
[model]
family = "logistic"
[training]
epochs = 3
[search]
trials = 2
seeds = 1
"""


def arff() -> str:
    """An identifier, a number with blanks, a nominal column with a rare label, and two classes."""
    draw = np.random.default_rng(0)
    lines = [
        "% somebody's customers",
        "@RELATION churn",
        "@ATTRIBUTE customer NUMERIC",
        "@ATTRIBUTE age NUMERIC",
        "@ATTRIBUTE 'monthly fee' REAL",
        "@ATTRIBUTE plan {basic, premium, 'trial period'}",
        "@ATTRIBUTE left {no, yes}",
        "@DATA",
    ]
    for number in range(ROWS):
        age, fee = draw.integers(18, 80), draw.normal(40, 10)
        plan = draw.choice(["basic", "premium", "'trial period'"], p=[0.6, 0.35, 0.05])
        left = "yes" if fee + 5 * draw.normal() > 42 else "no"
        lines.append(f"{1000 + number},{'?' if number % 17 == 0 else age},{fee:.2f},{plan},{left}")
    return "\n".join(lines) + "\n"


class OpenML:
    """The server: what it holds, what it was asked."""

    def __init__(self) -> None:
        self.file, self.asked, self.broken, self.checksum = arff().encode(), [], 0, ""
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                stand_in.asked.append(self.path)
                status, content = stand_in.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, bytes]:
        if self.broken:
            return self.broken, b"out of order"
        listed = {"did": 77, "name": "churn", "version": 2, "status": "active", "format": "ARFF"}
        api = "/api/v1/json/data"
        answers: dict[str, Any] = {
            f"{api}/list/data_name/churn/limit/2/status/active/": {"data": {"dataset": [listed]}},
            f"{api}/list/data_name/churn/limit/2/data_version/2": {"data": {"dataset": [listed]}},
            f"{api}/77": {"data_set_description": self._description()},
            f"{api}/features/77": {"data_features": {"feature": self._features()}},
            f"{api}/qualities/77": {
                "data_qualities": {"quality": [{"name": "NumberOfInstances", "value": f"{ROWS}.0"}]}
            },
        }
        if path == "/data/v1/download/5/churn.arff":
            return 200, self.file
        if path in answers:
            return 200, json.dumps(answers[path]).encode()
        return 412, b'{"error": {"code": "372", "message": "No results"}}'

    def _description(self) -> dict[str, str]:
        checksum = self.checksum or hashlib.md5(self.file, usedforsecurity=False).hexdigest()
        return {
            "id": "77",
            "name": "churn",
            "version": "2",
            "format": "ARFF",
            "status": "active",
            "description": "Who leaves?",
            "warning": "drawn, not collected",
            "default_target_attribute": "left",
            "row_id_attribute": "customer",
            "url": f"{self.address}/data/v1/download/5/churn.arff",
            "file_id": "5",
            "md5_checksum": checksum,
        }

    def _features(self) -> list[dict[str, Any]]:
        kinds = {
            "customer": "numeric",
            "age": "numeric",
            "monthly fee": "numeric",
            "plan": "nominal",
            "left": "nominal",
        }
        return [
            {
                "index": str(place), "name": name, "data_type": kind,
                "is_target": str(name == "left").lower(), "is_ignore": "false",
                "is_row_identifier": str(name == "customer").lower(),
                "number_of_missing_values": str(-(-ROWS // 17)) if name == "age" else "0",
            }
            for place, (name, kind) in enumerate(kinds.items())
        ]  # fmt: skip


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[OpenML]:
    held = OpenML()
    for name in ("_SEARCH_NAME", "_DATA_INFO", "_DATA_FEATURES", "_DATA_QUALITIES"):
        address = getattr(_openml, name).replace("https://www.openml.org", held.address)
        monkeypatch.setattr(_openml, name, address)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "cache"))
    yield held
    held.close()


def test_what_is_read(server: OpenML) -> None:
    dataset, sealed = load(DataSpec("openml:churn"))
    assert dataset.target_name == "left"
    assert dataset.classes == ("no", "yes")
    assert [(column.name, column.kind) for column in dataset.columns] == [
        ("age", "numeric"), ("monthly fee", "numeric"), ("plan", "category")
    ], "the row identifier is no feature"  # fmt: skip
    assert len(dataset.target) + sealed.rows == ROWS
    assert sealed.rows == ROWS // 5
    blank = np.asarray(dataset.rows["age"].isna())  # type: ignore[call-overload,union-attr]
    assert 0 < blank.sum() <= -(-ROWS // 17)
    assert any("OpenML raised a warning" in note for note in dataset.notes)
    again, seal = load(DataSpec("openml:churn@2"))
    assert again.fingerprint == dataset.fingerprint
    assert seal.fingerprint == sealed.fingerprint


def test_a_study_ends_without_the_server_once_the_set_is_here(
    server: OpenML, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, home = tmp_path / "study.toml", ["--home", str(tmp_path / "home"), "--json"]
    file.write_text(STUDY.format(name="churn"))
    assert main(["run", str(file), "--search-only", *home]) == 0
    server.broken = 503
    asked = len(server.asked)
    assert main(["confirm", str(file), *home]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["test"]["rows"] == ROWS // 5
    assert result["test"]["value"] > 0.55
    assert len(server.asked) == asked, "the test rows come out of scikit-learn's cache"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nosuchset", "No active dataset nosuchset found"),
        ("churn@9", "Dataset churn with version 9 not found"),
        ("churn@two", "write openml:NAME or openml:NAME@VERSION"),
    ],
)
def test_what_is_not_there(
    server: OpenML, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, says: str
) -> None:
    file = tmp_path / "study.toml"
    file.write_text(STUDY.format(name=name))
    assert main(["run", str(file), "--home", str(tmp_path / "home")]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
    assert not (tmp_path / "home" / "studies").exists()


def test_rows_that_were_damaged_on_the_way(server: OpenML) -> None:
    server.checksum = "0" * 32
    with pytest.raises(DataError, match=r"openml:churn.* cannot be fetched from OpenML \(The md5 checksum"):
        load(DataSpec("openml:churn"))


def test_an_answer_that_lacks_a_part(server: OpenML, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_features", lambda: [{"index": "0", "name": "left"}])
    with pytest.raises(DataError, match=r"openml:churn.* cannot be fetched from OpenML"):
        load(DataSpec("openml:churn"))


def test_a_server_that_is_out_of_order(server: OpenML) -> None:
    server.broken = 503
    with pytest.raises(DataError, match=r"cannot be fetched from OpenML \(HTTP Error 503"):
        load(DataSpec("openml:churn"))
    assert len(server.asked) == 4, "it was tried again"
