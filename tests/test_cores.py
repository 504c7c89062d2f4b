from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from transforms.esm.cores import run_side_by_side


@pytest.fixture(autouse=True)
def _four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_every_job_is_done_once(workers: int) -> None:
    done = list(run_side_by_side(lambda job: job * job, range(50), workers))
    assert sorted(done) == [job * job for job in range(50)]


def test_jobs_run_at_the_same_time_each_on_its_share_of_the_threads() -> None:
    both_there = threading.Barrier(2)

    def run(job: int) -> int:
        both_there.wait(timeout=60)
        return torch.get_num_threads()

    assert list(run_side_by_side(run, range(4), 2)) == [2, 2, 2, 2]
    assert torch.get_num_threads() == 4


def test_a_single_worker_is_the_thread_that_asks_with_all_of_its_threads() -> None:
    def run(job: int) -> tuple[int, int]:
        return threading.get_ident(), torch.get_num_threads()

    assert list(run_side_by_side(run, [0], 1)) == [(threading.get_ident(), 4)]


def test_a_job_is_taken_only_when_a_worker_is_free() -> None:
    taken: list[int] = []
    go_on = threading.Semaphore(0)

    def take() -> Iterator[int]:
        for job in range(6):
            taken.append(job)
            yield job

    def run(job: int) -> int:
        assert go_on.acquire(timeout=60)
        return job

    results = run_side_by_side(run, take(), 2)
    go_on.release()
    next(results)
    assert len(taken) == 3
    go_on.release(5)
    assert len(list(results)) == 5


def test_what_a_job_raises_comes_up_and_no_other_job_begins() -> None:
    begun: list[int] = []

    def run(job: int) -> int:
        begun.append(job)
        if job == 0:
            raise RuntimeError("broken")
        return job

    with pytest.raises(RuntimeError, match="broken"):
        list(run_side_by_side(run, range(100), 2))
    assert len(begun) < 10
    assert torch.get_num_threads() == 4
