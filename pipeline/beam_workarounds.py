"""What is wrong in Beam 2.77 where its engines and workers meet, put right while a graph runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability.fn_api_runner.worker_handlers import (
    SubprocessSdkWorkerHandler,
)
from apache_beam.runners.portability.local_job_service import SubprocessSdkWorker
from apache_beam.runners.worker.bundle_processor import BundleProcessor

ENDED = "Channel closed prematurely"
"""What Beam says of a worker process that has ended before its work did."""

_SECONDS_TO_END, _SECONDS_BETWEEN_LOOKS = 2.0, 0.01
_THREADS = ("read_", "run_worker", "wait_until_finish_", "beam_control_read")

logger = logging.getLogger(__name__)


@contextmanager
def whole_bundles() -> Iterator[None]:
    """Lets the workers of this process, which are those of Prism, divide no bundle.

    Prism 2.77 divides one that is slow even where it is of a keyed step: both halves then run at
    the same time, from the same state, and what the first to end has made of it is lost.
    """
    divide = BundleProcessor.try_split
    BundleProcessor.try_split = lambda *_: beam_fn_api_pb2.ProcessBundleSplitResponse()
    try:
        yield
    finally:
        BundleProcessor.try_split = divide


@contextmanager
def quiet_end() -> Iterator[None]:
    """Lets the threads that listen to an engine end without a traceback when it is gone."""
    tell, before = threading.excepthook, set(threading.enumerate())

    def tell_of_others(args: threading.ExceptHookArgs) -> None:
        # Of a worker process that ended, the run tells itself.
        name = args.thread.name if args.thread else ""
        if issubclass(args.exc_type, grpc.RpcError) or name.startswith("run_worker"):
            logger.debug("%s ends.", args.thread)
        else:
            tell(args)

    threading.excepthook = tell_of_others
    try:
        yield
    finally:
        end = time.monotonic() + _SECONDS_TO_END
        # Not by join: before Python 3.13 two that join one thread at a time may both fail.
        while time.monotonic() < end and any(
            thread.name.startswith(_THREADS) and thread not in before
            for thread in threading.enumerate()
        ):
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        threading.excepthook = tell


@contextmanager
def minding_workers() -> Iterator[None]:
    """Lets FnApiRunner hear of each worker process that has ended, and keeps Ctrl-C from them.

    By itself it hears of one that was at work. What it gives to one that was idle when it was
    killed, or died before it answered for the first time, it waits for for ever. And a terminal
    sends its signals to them as well, while the run is to be drained.
    """
    start, run = SubprocessSdkWorkerHandler.start_worker, SubprocessSdkWorker.run
    at_end: dict[str, Callable[[], None]] = {}

    def start_worker(handler: Any) -> None:
        # A line for the shell; who is started with a signal ignored goes on to ignore it.
        handler._worker_command_line = b"trap '' INT HUP; exec " + handler._worker_command_line
        at_end[handler.worker_id] = answer_for_the_dead(handler.control_conn)
        start(handler)

    def run_to_the_end(worker: Any) -> None:
        try:
            run(worker)
        finally:
            at_end[worker._worker_id]()

    SubprocessSdkWorkerHandler.start_worker = start_worker
    SubprocessSdkWorker.run = run_to_the_end
    try:
        yield
    finally:
        SubprocessSdkWorkerHandler.start_worker, SubprocessSdkWorker.run = start, run


def answer_for_the_dead(connection: Any) -> Callable[[], None]:
    """Returns what is to be called once a worker has ended.

    From then on whatever it is asked fails, and so does what it was asked before.

    Args:
        connection: Beam's ControlConnection to the worker.
    """
    push = connection.push
    has_ended = threading.Event()

    def fail(future: Any) -> None:
        future.set(
            beam_fn_api_pb2.InstructionResponse(instruction_id=future.instruction_id, error=ENDED)
        )

    def push_or_fail(request: Any) -> Any:
        future = push(request)
        if future is not None and has_ended.is_set():
            fail(future)
        return future

    def end() -> None:
        has_ended.set()
        for future in list(connection._futures_by_id.values()):
            fail(future)

    connection.push = push_or_fail
    return end
