"""A search whose time is over asks for nothing more, and goes on where it is given more time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.end_to_end import ONE_TRIAL
from workbench.cli.main import main
from workbench.core.types import SearchSpec

STUDY = f"""name = "timed"
[data]
source = "wine"
{ONE_TRIAL.replace("trials = 1", "trials = 9")}timeout = LIMIT
[optimizer]
learning_rate = {{ low = 1e-3, high = 1e-1, log = true }}
"""


def ran(path: Path, limit: str, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    line = f"timeout = {limit}" if limit else ""
    path.write_text(STUDY.replace("timeout = LIMIT", line))
    assert main(["run", str(path), "--home", str(path.parent / "home"), "--search-only", "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out.splitlines()[-1]))


def test_it_ends_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.toml"
    first = ran(path, "0.001", capsys)
    assert first["stopped"] == "the timeout of 0.001 s is over"
    assert 0 < first["trials"]["total"] < 9  # type: ignore[index]
    again = ran(path, "0.001", capsys)
    assert again == first  # the recorded result
    whole = ran(path, "", capsys)
    assert whole["study"] == first["study"]  # time is budget, and no part of what a study is
    assert whole["trials"]["total"] == 9  # type: ignore[index]
    assert whole["stopped"] is None


@pytest.mark.parametrize(
    ("search", "reason", "ended"),
    [
        (SearchSpec(timeout=5.0), SearchSpec(timeout=5.0).timed_out, True),
        (SearchSpec(timeout=6.0), SearchSpec(timeout=5.0).timed_out, False),
        (SearchSpec(stop="noise"), SearchSpec(timeout=5.0).timed_out, False),
        (SearchSpec(stop="noise"), "a further gain would be within noise", True),
        (SearchSpec(timeout=5.0), "a further gain would be within noise", False),
        (SearchSpec(), "a further gain would be within noise", False),
    ],
)
def test_a_search_stays_ended_by_the_rule_that_it_has(search: SearchSpec, reason: str, ended: bool) -> None:
    assert search.ends(reason) is ended
