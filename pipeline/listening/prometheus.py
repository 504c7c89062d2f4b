"""The metrics of a run, as Prometheus takes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)

from transforms import events
from transforms.measures import METRICS, Metric

PREFIX = "fastesm"


class PrometheusMetrics:
    """Listens to a run and adds up what its events measure; with the process' memory and time."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # nobody needs them
        self.registry = CollectorRegistry()
        self._families = {name: _make(metric, self.registry) for name, metric in METRICS.items()}
        ProcessCollector(registry=self.registry)

    def __call__(self, event: events.Event) -> None:
        """Takes note of an event."""
        for name, value, labels in event.measures():
            family = self._families[name]
            if labels:
                family = family.labels(*labels)
            if isinstance(family, Histogram):
                family.observe(value)
            else:
                family.inc(value)

    @contextmanager
    def served(self, host: str, port: int) -> Iterator[int]:
        """Answers HTTP requests within the ``with`` block, in threads that end with the process.

        Args:
            host: Address to listen on.
            port: Port; 0 for any that is free.

        Yields:
            The port.

        Raises:
            OSError: One cannot listen there.
        """
        server, thread = start_http_server(port, host, self.registry)
        os.register_at_fork(after_in_child=server.socket.close)  # else it would keep the port
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _make(metric: Metric, registry: CollectorRegistry) -> Counter | Histogram:
    if metric.buckets:
        return Histogram(
            metric.name,
            metric.text,
            metric.labels,
            namespace=PREFIX,
            registry=registry,
            buckets=metric.buckets,
        )
    return Counter(metric.name, metric.text, metric.labels, namespace=PREFIX, registry=registry)
