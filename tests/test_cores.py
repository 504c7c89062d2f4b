from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain, count

import pytest
import torch

from transforms.esm import cores
from transforms.esm.cores import run_side_by_side


@pytest.fixture(autouse=True)
def _four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_every_job_is_done_once(workers: int) -> None:
    done = chain.from_iterable(run_side_by_side(lambda job: job * job, range(50), workers))
    assert sorted(done) == [job * job for job in range(50)]


@pytest.mark.parametrize("workers", [1, 2])
def test_quick_jobs_come_together_and_slow_ones_by_themselves(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = list(run_side_by_side(lambda job: job, range(1000), workers))
    assert len(quick) < 100
    monkeypatch.setattr(cores, "_SECONDS", -1)
    slow = list(run_side_by_side(lambda job: job, range(10), workers))
    assert sorted(slow) == [[job] for job in range(10)]


@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_run_in_inference_mode_and_nothing_else_does(workers: int) -> None:
    for done in run_side_by_side(lambda _: torch.is_inference_mode_enabled(), range(3), workers):
        assert all(done)
        assert not torch.is_inference_mode_enabled()


def test_jobs_run_at_the_same_time_each_on_its_share_of_the_threads() -> None:
    both_there = threading.Barrier(2)

    def run(job: int) -> int:
        both_there.wait(timeout=60)
        return torch.get_num_threads()

    results = run_side_by_side(run, range(4), 2)
    assert list(chain.from_iterable(results)) == [2, 2, 2, 2]
    assert torch.get_num_threads() == 4


def test_a_single_worker_is_the_thread_that_asks_with_all_of_its_threads() -> None:
    def run(job: int) -> tuple[int, int]:
        return threading.get_ident(), torch.get_num_threads()

    assert list(run_side_by_side(run, [0], 1)) == [[(threading.get_ident(), 4)]]


def test_a_job_is_taken_only_when_a_worker_is_free() -> None:
    taken: list[int] = []
    third_taken = threading.Event()
    go_on = threading.Semaphore(0)

    def take() -> Iterator[int]:
        for job in range(6):
            taken.append(job)
            if len(taken) == 3:
                third_taken.set()
            yield job

    def run(job: int) -> int:
        assert go_on.acquire(timeout=60)
        return job

    results = chain.from_iterable(run_side_by_side(run, take(), 2))
    with ThreadPoolExecutor(1) as asking:
        done = asking.submit(list, results)
        go_on.release()
        assert third_taken.wait(timeout=60)
        assert len(taken) == 3
        go_on.release(5)
        assert sorted(done.result()) == list(range(6))


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_job_raises_comes_up_and_no_other_job_begins(workers: int) -> None:
    begun: list[int] = []
    broken = threading.Event()

    def run(job: int) -> int:
        begun.append(job)
        if job == 0:
            broken.set()
            raise RuntimeError("broken")
        assert broken.wait(timeout=60)
        time.sleep(0.05)  # so that it could be known before the next one begins
        return job

    with pytest.raises(RuntimeError, match="broken"):
        list(run_side_by_side(run, range(100), workers))
    assert len(begun) < 10
    assert torch.get_num_threads() == 4


def test_jobs_of_which_nobody_wants_to_know_are_not_begun() -> None:
    begun: list[int] = []
    with closing(run_side_by_side(begun.append, count(), 2)) as results:
        next(results)
    assert torch.get_num_threads() == 4
    after = len(begun)
    time.sleep(0.01)
    assert len(begun) == after
