"""Leases: a part is one process's at a time, a dead one's part is taken over, a late one delivers nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.core.errors import StoreError
from workbench.tuning.distributed import leases
from workbench.tuning.distributed.leases import Leases, LedError, now_of


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'workbench.db'}"
    address: str = request.getfixturevalue("database")
    return address


@pytest.fixture
def pair(url: str, tmp_path: Path) -> Iterator[tuple[Leases, Leases]]:
    """Who leads, and a worker that has joined."""
    boss, hand = Leases(url, "s"), Leases(url, "s")
    boss.lead(tmp_path, {"rooms": [8]})
    hand.join()
    yield boss, hand
    boss.close()
    hand.close()


def dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a lease that is taken has run out already."""
    monkeypatch.setattr(leases, "LEASE_SECONDS", -1.0)


def test_a_part_goes_out_and_comes_back(pair: tuple[Leases, Leases]) -> None:
    boss, hand = pair
    terms, session, done = hand.fleet()
    assert (terms, session, done) == ({"rooms": [8]}, boss.me, False)
    assert boss.beat() == 1
    ids = boss.publish([b"one", b"two"])
    claim = hand.claim(session)
    assert claim is not None
    assert (claim.part, claim.lease, claim.request) == (ids[0], 1, b"one")
    assert hand.deliver(claim, b"done")
    assert boss.results(ids) == {ids[0]: b"done"}
    other = boss.claim(session)
    assert other is not None
    assert other.request == b"two"
    assert hand.claim(session) is None
    boss.withdraw(ids)
    assert not boss.deliver(other, b"late")
    hand.leave()
    assert boss.beat() == 0


def test_a_dead_process_is_replaced_and_delivers_nothing(
    pair: tuple[Leases, Leases], monkeypatch: pytest.MonkeyPatch
) -> None:
    boss, hand = pair
    ids = boss.publish([b"one"])
    with monkeypatch.context() as patch:
        dead(patch)
        late = hand.claim(boss.me)
    assert late is not None
    again = boss.claim(boss.me)
    assert again is not None
    assert (again.part, again.lease) == (late.part, 2)
    assert not hand.deliver(late, b"late")
    assert boss.deliver(again, b"good")
    assert not hand.deliver(late, b"later")
    assert boss.results(ids) == {ids[0]: b"good"}


def test_a_heartbeat_keeps_a_lease_and_leaving_gives_it_up(
    pair: tuple[Leases, Leases], monkeypatch: pytest.MonkeyPatch
) -> None:
    boss, hand = pair
    boss.publish([b"one"])
    with monkeypatch.context() as patch:
        dead(patch)
        assert hand.claim(boss.me) is not None
    hand.join()
    assert boss.claim(boss.me) is None
    hand.leave()
    assert boss.claim(boss.me) is not None


@pytest.mark.parametrize("hours", [1.0, 24.0])
def test_a_clock_that_is_set_back_holds_nothing(
    pair: tuple[Leases, Leases], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: float
) -> None:
    boss, hand = pair
    (id_,) = boss.publish([b"one"])
    with monkeypatch.context() as patch:
        patch.setattr(leases, "now_of", lambda connection: now_of(connection) + 3600.0 * hours)
        hand.join()
        late = hand.claim(boss.me)  # and dies, and the clock is set back
        boss.beat()
    assert late is not None
    assert boss.beat() == 0
    again = boss.claim(boss.me)
    assert again is not None
    assert again.part == id_
    assert not hand.deliver(late, b"late")
    assert boss.deliver(again, b"good")
    other = Leases(url, "s")  # the leader is alive, and has said so since
    with pytest.raises(LedError):
        other.lead(tmp_path / "elsewhere", {})
    with monkeypatch.context() as patch:
        patch.setattr(leases, "now_of", lambda connection: now_of(connection) + 3600.0 * hours)
        boss.beat()  # its last sign of life is of the future
    other.lead(tmp_path / "elsewhere", {})
    other.close()


def test_a_new_session_voids_the_old_one(pair: tuple[Leases, Leases], url: str, tmp_path: Path) -> None:
    boss, hand = pair
    boss.publish([b"one"])
    claim = hand.claim(boss.me)
    assert claim is not None
    again = Leases(url, "s")
    again.lead(tmp_path, {"rooms": [8]})
    assert not hand.deliver(claim, b"late")
    assert hand.claim(boss.me) is None
    assert hand.fleet()[1] == again.me
    with pytest.raises(StoreError, match="led by another process"):
        boss.beat()
    boss.resign(done=True)
    assert hand.fleet()[2] is False
    again.resign(done=True)
    assert hand.fleet() == (None, again.me, True)
    again.close()


def test_two_homes_cannot_lead_one_study(
    pair: tuple[Leases, Leases], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = Leases(url, "s")
    with pytest.raises(LedError, match="join it with workbench worker"):
        second.lead(tmp_path / "elsewhere", {})
    dead(monkeypatch)  # of the first nothing was heard
    second.lead(tmp_path / "elsewhere", {})
    second.close()


def test_many_processes_take_every_part_once(pair: tuple[Leases, Leases], url: str) -> None:
    boss, _ = pair
    ids = boss.publish([bytes([k]) for k in range(40)])
    taken: list[int] = []
    lock = threading.Lock()

    def take() -> None:
        mine = Leases(url, "s")
        while (claim := mine.claim(boss.me)) is not None:
            assert mine.deliver(claim, claim.request)
            with lock:
                taken.append(claim.part)
        mine.close()

    hands = [threading.Thread(target=take) for _ in range(8)]
    for one in hands:
        one.start()
    for one in hands:
        one.join(60)
    assert sorted(taken) == sorted(ids)
    assert boss.results(ids) == {id_: bytes([k]) for k, id_ in enumerate(ids)}


def test_nobody_leads_yet(url: str) -> None:
    hand = Leases(url, "s")
    hand.join()
    assert hand.fleet() == (None, "", False)
    hand.close()


def test_a_database_that_is_away_is_told_without_its_password() -> None:
    away = Leases("postgresql://me:s3cret@127.0.0.1:1/x", "s")
    with pytest.raises(StoreError, match="workers and the run that leads them meet there") as error:
        away.fleet()
    assert "s3cret" not in str(error.value)
    away.close()
