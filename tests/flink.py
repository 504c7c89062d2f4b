"""A Flink cluster of processes of its own: a jobmanager and taskmanagers that can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.processes import free_port
from tests.waiting import wait_for

_CONFIGURATION = """\
jobmanager.rpc.address: localhost
jobmanager.rpc.port: {rpc}
jobmanager.memory.process.size: 1g
rest.address: localhost
rest.port: {rest}
taskmanager.host: localhost
taskmanager.numberOfTaskSlots: 1
taskmanager.memory.process.size: 1g
heartbeat.interval: 1000
heartbeat.timeout: 5000
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 10
restart-strategy.fixed-delay.delay: 1 s
execution.checkpointing.dir: file://{folder}/checkpoints
"""


class Cluster:
    """A jobmanager, and as many taskmanagers of one slot each as are started.

    Args:
        home: A Flink distribution, with ``bin/`` and ``lib/``.
        folder: Gets configuration, logs and checkpoints.
        held: Ends the processes.
    """

    def __init__(self, home: Path, folder: Path, held: ExitStack) -> None:
        self._home, self._folder, self._held = home, folder, held
        self._taskmanagers: list[subprocess.Popen[bytes]] = []
        self._rest = free_port()
        conf = folder / "conf"
        conf.mkdir()
        for name in ("log4j.properties", "log4j-console.properties"):
            (conf / name).write_bytes((home / "conf" / name).read_bytes())
        text = _CONFIGURATION.format(rpc=free_port(), rest=self._rest, folder=folder)
        (conf / "config.yaml").write_text(text)
        self._start("jobmanager")
        wait_for(lambda: self._get("/overview") is not None)

    @property
    def master(self) -> str:
        """Its ``--flink_master``."""
        return f"localhost:{self._rest}"

    def start_taskmanager(self) -> None:
        """Starts one more and waits until the cluster has its slot."""
        self._taskmanagers.append(self._start("taskmanager"))
        self._wait_for_slots()

    def replace_taskmanager(self) -> None:
        """Kills one and starts another."""
        killed = self._taskmanagers.pop(0)
        killed.kill()
        killed.wait()
        self._wait_for_slots()
        self.start_taskmanager()

    def _wait_for_slots(self) -> None:
        wait_for(lambda: self._get("/overview")["slots-total"] == len(self._taskmanagers))

    def stop_with_savepoint(self) -> str:
        """Stops the job that runs and returns where its savepoint is."""
        jobs = self._get("/jobs/overview")["jobs"]
        (job,) = (job["jid"] for job in jobs if job["state"] == "RUNNING")
        wanted = {"targetDirectory": f"file://{self._folder}/savepoints", "drain": False}
        trigger = self._get(f"/jobs/{job}/stop", wanted)["request-id"]
        status = f"/jobs/{job}/savepoints/{trigger}"
        wait_for(lambda: self._get(status)["status"]["id"] == "COMPLETED")
        location: str = self._get(status)["operation"]["location"]
        return location

    def _start(self, role: str) -> subprocess.Popen[bytes]:
        log = self._held.enter_context((self._folder / f"{role}.log").open("ab"))
        process = subprocess.Popen(
            [self._home / "bin" / f"{role}.sh", "start-foreground"],
            env={
                **os.environ,
                "FLINK_CONF_DIR": str(self._folder / "conf"),
                "FLINK_LOG_DIR": str(self._folder),
                "FLINK_PID_DIR": str(self._folder),
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._held.callback(_end, process)
        return process

    def _get(self, path: str, body: object = None) -> Any:
        """Returns the JSON that the cluster answers; None while it does not."""
        request = urllib.request.Request(
            f"http://{self.master}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with suppress(OSError), urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
        return None


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def cluster(home: Path, folder: Path, taskmanagers: int = 2) -> Iterator[Cluster]:
    """Runs a cluster within the ``with`` block."""
    with ExitStack() as held:
        started = Cluster(home, folder, held)
        for _ in range(taskmanagers):
            started.start_taskmanager()
        yield started
