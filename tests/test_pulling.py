from __future__ import annotations

import threading

import pytest

from pipeline.messages import pulling
from pipeline.messages.pulling import LEASE_SECONDS, leased, pull_round
from pipeline.messages.subscription import Delivery
from tests.fake_subscription import FakeSubscription, make_message

SECONDS_TO_HANG = 60


def message(number: int) -> object:
    return make_message(number, ">a\nMKT\n")


class Timed(FakeSubscription):
    """One message comes every so many seconds of a clock of its own."""

    def __init__(self, every: float, most: int = 10**6) -> None:
        super().__init__()
        self.now = 0.0
        self._every, self._left = every, most

    def pull(self, most: int, seconds: float) -> list[Delivery]:
        if self._every > seconds or not self._left:
            self.now += seconds
            return []
        self.now += self._every
        self._left -= 1
        self.waiting.append(make_message(int(self.now * 1000), ">a\nMKT\n"))
        return super().pull(most, seconds)

    def pull_round(self, wait: float) -> int:
        return len(pull_round(self, wait, lambda: False, lambda: self.now))


def test_nothing_comes() -> None:
    source = Timed(every=60)
    assert source.pull_round(5) == 0
    assert source.now == pulling.IDLE_SECONDS


def test_it_pull_rounds_for_so_long_from_the_first_one_on() -> None:
    source = Timed(every=0.5)
    assert source.pull_round(1.9) == 4  # at 0.5, and within 1.9 s after that
    assert source.now == pytest.approx(2.4)


def test_it_takes_no_more_than_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Timed(every=0.0001).pull_round(1) == pulling.ROUND_MESSAGES
    monkeypatch.setattr(pulling, "ROUND_BYTES", 20)
    assert Timed(every=0.0001).pull_round(1) == 3  # of seven bytes each


def test_what_is_pull_rounded_for_long_is_kept() -> None:
    source = Timed(every=1.5)
    assert source.pull_round(20) > 10
    assert source.extended[0][1] == LEASE_SECONDS
    assert len(source.extended[-1][0]) > len(source.extended[0][0])


def test_it_ends_when_it_is_told_to_and_keeps_what_it_has() -> None:
    source = FakeSubscription(make_message(1, "x"))
    told = iter([False, True])
    assert len(pull_round(source, 99, lambda: next(told))) == 1


def test_a_lease_is_renewed_until_its_end() -> None:
    source = FakeSubscription(make_message(1, "x"))
    (delivery,) = source.pull(1, 0)
    renewed = threading.Event()

    class Renewing:
        def extend(self, ack_ids: list[str], seconds: int) -> None:
            source.extend(ack_ids, seconds)
            if len(source.extended) == 3:
                renewed.set()

    with leased(Renewing(), [delivery.ack_id], seconds=0.03):
        assert renewed.wait(SECONDS_TO_HANG)
    count = len(source.extended)
    assert set(map(str, source.extended)) == {str(([delivery.ack_id], 0.03))}
    assert not renewed.wait(0) or len(source.extended) == count


def test_what_fails_is_given_back() -> None:
    source = FakeSubscription(make_message(1, "x"))
    (delivery,) = source.pull(1, 0)
    with pytest.raises(ValueError, match="broken"), leased(source, [delivery.ack_id]):
        raise ValueError("broken")
    assert source.extended[-1] == ([delivery.ack_id], 0)
    assert [m.id for m in source.waiting] == ["1"]
