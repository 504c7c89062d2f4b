"""What is wrong in Beam 2.77 where its engines and workers meet, put right while a graph runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability.fn_api_runner.worker_handlers import (
    SubprocessSdkWorkerHandler,
)
from apache_beam.runners.worker.bundle_processor import BundleProcessor

ENDED = "Channel closed prematurely"
"""What Beam says of a worker process that has ended before its work did."""

_SECONDS_TO_END = 2.0
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
    tell = threading.excepthook

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
        for thread in threading.enumerate():
            if thread.name.startswith(_THREADS):
                thread.join(max(end - time.monotonic(), 0))
        threading.excepthook = tell


@contextmanager
def minding_workers() -> Iterator[None]:
    """Lets FnApiRunner hear of each worker process that has ended, and keeps Ctrl-C from them.

    By itself it hears of one that was at work. What it gives to one that was idle when it was
    killed, or died before it answered for the first time, it waits for for ever. And a terminal
    sends its signals to them as well, while the run is to be drained.
    """
    start = SubprocessSdkWorkerHandler.start_worker

    def start_worker(handler: Any) -> None:
        # A line for the shell; who is started with a signal ignored goes on to ignore it.
        handler._worker_command_line = b"trap '' INT HUP; exec " + handler._worker_command_line
        start(handler)
        answer_for_the_dead(handler.control_conn, handler.worker_thread)

    SubprocessSdkWorkerHandler.start_worker = start_worker
    try:
        yield
    finally:
        SubprocessSdkWorkerHandler.start_worker = start


def answer_for_the_dead(connection: Any, worker: threading.Thread) -> None:
    """Fails whatever is asked of a worker, and was asked of it, once it has ended.

    Args:
        connection: Beam's ControlConnection to the worker.
        worker: A thread that ends with it.
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

    def wait() -> None:
        worker.join()
        has_ended.set()
        for future in list(connection._futures_by_id.values()):
            fail(future)

    connection.push = push_or_fail
    threading.Thread(target=wait, name="deaths", daemon=True).start()
