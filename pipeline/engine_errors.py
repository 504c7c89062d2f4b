"""What Beam's engines say of a failure, and what it means in a line for a person."""

from __future__ import annotations

import logging
import re

import grpc

from pipeline.beam_workarounds import ENDED


def is_of_engine(record: logging.LogRecord) -> bool:
    """Tells whether a log record is what an engine says, which is in the exception as well.

    Beam logs it as its own program would: to the root logger, a traceback for a worker's error.
    """
    return record.module == "portable_runner"


def find_cause(error: Exception) -> str:
    """Returns what made a graph fail, in a line for a person."""
    match error:
        case grpc.FutureTimeoutError():
            return "No engine answers at --job_endpoint. Start it, or name another."
        case grpc.RpcError():
            details = error.details() if isinstance(error, grpc.Call) else str(error)
            return f"The engine is gone: {details}"
    return root_cause(str(error) or repr(error))


def root_cause(text: str) -> str:
    """Returns the exception that a runner's text ends in, without module and step.

    Runners hand on what a worker raised as text, traceback and all.
    """
    if ENDED in text:
        return "A worker process ended before its work did: killed, or out of memory."
    if found := re.search(r"RPC that terminated with:.*?details = \"(.*?)\"\n", text, re.DOTALL):
        return f"Something that the engine needs does not answer ({found[1]}): its worker pool?"
    if found := re.search(r"KeyError: '(beam:env:\S+)'", text):
        return f"The engine has no workers of the kind {found[1]}: give another --environment_type."
    lines = [line for line in text.splitlines() if re.match(r"[A-Za-z_][\w.]*(:|$)", line)]
    line = lines[-1] if lines else text.strip().splitlines()[-1]
    line = re.sub(r" \[while running '.*$", "", line)
    return re.sub(r"^(?:\w+\.)+(?=\w)", "", line)
