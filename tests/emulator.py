"""Google's Pub/Sub emulator: started, stopped and filled by tests and benchmarks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.processes import answers, free_port
from tests.waiting import wait_for

EMULATOR = Path(
    os.environ.get(
        "PUBSUB_EMULATOR",
        "/usr/lib/google-cloud-sdk/platform/pubsub-emulator/bin/cloud-pubsub-emulator",
    )
)


def why_not() -> str | None:
    """Returns what keeps it from being run here; None if nothing does."""
    try:
        import google.cloud.pubsub_v1  # noqa: F401
    except ImportError:
        return "needs google-cloud-pubsub: pip install '.[pubsub]'"
    if not EMULATOR.exists():
        return "needs google-cloud-cli-pubsub-emulator, or PUBSUB_EMULATOR, which names it"
    return None if shutil.which("java") else "needs java for the Pub/Sub emulator"


@contextmanager
def emulator(log: Path) -> Iterator[str]:
    """Runs it for the time of a ``with`` block, and yields ``host:port``.

    Args:
        log: Where what it says goes.
    """
    port = free_port()
    command = [EMULATOR, "--host=127.0.0.1", f"--port={port}"]
    with log.open("wb") as said:
        # A session of its own, since it is a shell script that starts java.
        process = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
        try:
            wait_for(lambda: _listens(process, port, log))
            yield f"127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _listens(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    return answers(port)


class Queue:
    """A topic with one subscription.

    Args:
        host: Of the emulator.

    Attributes:
        topic: Name of the topic.
        subscription: Name of the subscription.
    """

    def __init__(self, host: str) -> None:
        # Google's client heeds it when it is made.
        os.environ["PUBSUB_EMULATOR_HOST"] = host
        from google.cloud import pubsub_v1

        name = f"q-{uuid.uuid4().hex[:8]}"
        self.subscription = f"projects/proj/subscriptions/{name}"
        self.topic = f"projects/proj/topics/{name}"
        self._publisher = pubsub_v1.PublisherClient()
        self._subscriber = pubsub_v1.SubscriberClient()
        del os.environ["PUBSUB_EMULATOR_HOST"]
        self._publisher.create_topic(name=self.topic)
        request = {"name": self.subscription, "topic": self.topic, "ack_deadline_seconds": 10}
        self._subscriber.create_subscription(request=request)

    def publish(self, messages: Iterable[bytes]) -> list[str]:
        """Publishes messages and returns their ids."""
        futures = [self._publisher.publish(self.topic, data) for data in messages]
        return [future.result() for future in futures]

    def publish_later(self, data: bytes) -> Any:
        """Publishes a message in the background and returns the future of its id."""
        return self._publisher.publish(self.topic, data)

    def take_all(self) -> list[Any]:
        """Returns all messages that there are, and acknowledges them."""
        found: list[Any] = []
        while received := self._pull(1000):
            found += [each.message for each in received]
            ack_ids = [each.ack_id for each in received]
            self._subscriber.acknowledge(subscription=self.subscription, ack_ids=ack_ids)
        return found

    def is_empty(self) -> bool:
        """Tells whether no message is left that could be delivered now."""
        return not self._pull(1)

    def _pull(self, most: int) -> list[Any]:
        from google.api_core.exceptions import DeadlineExceeded

        request = {"subscription": self.subscription, "max_messages": most}
        try:
            response = self._subscriber.pull(request=request, timeout=3, retry=None)
        except DeadlineExceeded:
            return []
        return list(response.received_messages)


def main(argv: list[str]) -> None:
    """Runs the command with the emulator that the first argument names."""
    os.environ["PUBSUB_EMULATOR_HOST"] = argv[0]
    from pipeline.run import main

    main(argv[1:])
