"""Beam's metrics, counted where the steps run, so that a cluster's own monitoring shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache

from apache_beam.metrics import Metrics
from apache_beam.metrics.execution import MetricsEnvironment

from transforms.measures import METRICS, Measure

NAMESPACE = "fastesm"

_held: Counter[tuple[str, tuple[str, ...]]] = Counter()


def count(measures: Iterable[Measure]) -> None:
    """Adds measures to the metrics of the step that is at work in this thread. Not for two at once.

    Beam drops what is counted where no step is: in threads of a step's own, and while a DoFn is
    set up. Sums from there wait for the next measure of a step of this process.
    """
    if MetricsEnvironment.current_container() is None:
        for name, value, labels in measures:
            if not METRICS[name].buckets:
                _held[name, labels] += value  # type: ignore[assignment]
        return
    for (name, labels), value in _held.items():
        _updater(name, labels)(value)
    _held.clear()
    for name, value, labels in measures:
        _updater(name, labels)(value)


@lru_cache(maxsize=1024)
def _updater(name: str, labels: tuple[str, ...]) -> Callable[[float], None]:
    """Returns what updates a metric of Beam's; finding it by its name takes longer."""
    metric = METRICS[name]
    beam_name = metric.name_for_beam(labels)
    update = (
        Metrics.distribution(NAMESPACE, beam_name).update
        if metric.buckets
        else Metrics.counter(NAMESPACE, beam_name).inc
    )
    return lambda value: update(round(value * metric.beam_factor))
