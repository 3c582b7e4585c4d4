"""Whether a store answers: a sentence in a few seconds, whatever stands at the address."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.helpers.servers import free_port
from workbench.core.errors import AwayError, StoreError
from workbench.core.locations import check_reachable, resolve


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("./mlruns", "sqlite:///FILE"),
        ("file:///tmp/mlruns", "sqlite:///FILE"),
        ("databricks", "sqlite:///FILE"),
        ("http://", "names no host"),
        ("http://me:s3cret@127.0.0.1:{port}", "does not answer"),
        ("http://127.0.0.1:x", "is no address"),
        ("http://no-such-host.invalid", "does not answer"),
        ("postgresql+nodriver://me:s3cret@h/d", "not a database address"),
        ("mysql+pymysql://me:s3cret@h/d", "its driver is missing (pymysql)"),
        ("sqlite://", "names no file"),
        ("sqlite:///{tmp}/text.db", "no SQLite database"),
        ("sqlite:///{tmp}/text.db/below/mlflow.db", "cannot be written"),
        ("sqlite:////proc/nowhere/mlflow.db", "cannot be written"),
    ],
)
def test_an_address_that_cannot_be_used_is_a_sentence(url: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database at all")
    _refused(url.format(port=free_port(), tmp=tmp_path), words)


def test_a_database_server_that_does_not_answer_is_a_sentence() -> None:
    pytest.importorskip("psycopg")
    _refused(f"postgresql://me:s3cret@127.0.0.1:{free_port()}/d", "does not answer (connection")


def test_a_store_that_can_be_made_is_reachable(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    check_reachable(f"sqlite:///{tmp_path}/empty.db")
    check_reachable(f"sqlite:///{tmp_path}/new/home/mlflow.db")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("code", "kind"),
    [(500, AwayError), (503, AwayError), (404, StoreError), (401, None), (200, None)],
)
def test_a_server_that_answers_errors_may_come_back(code: int, kind: type[StoreError] | None) -> None:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.end_headers()

        def log_message(self, *unused: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        if kind is None:
            check_reachable(url)
        else:
            with pytest.raises(StoreError, match=f"answers {code}") as error:
                check_reachable(url)
            assert type(error.value) is kind
        thread.join()


def _refused(url: str, words: str) -> None:
    began = time.perf_counter()
    with pytest.raises(StoreError, match=r"^storage '") as error:
        check_reachable(url, "storage", timeout=1.0)
    assert time.perf_counter() - began < 30.0
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert "s3cret" not in str(error.value)


def test_locations_print_no_password() -> None:
    held = resolve(home="runs", storage="postgresql://me:secret@host/db", environ={})
    assert "secret" not in repr(held)
    assert "host/db" in repr(held)
