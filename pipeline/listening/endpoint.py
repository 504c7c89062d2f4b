"""``--metrics_port``: where Prometheus fetches the metrics of a run while it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pipeline.option_groups.values import Address
from pipeline.terminal import say_aside
from transforms import events
from transforms.errors import ConfigurationError


@contextmanager
def serving_metrics(address: Address | None, quiet: bool = False) -> Iterator[Address | None]:
    """Serves metrics within the ``with`` block, to whoever asks for them over HTTP.

    Args:
        address: Where; None for nowhere.
        quiet: Whether not to say where, unless nobody else would know.

    Yields:
        Where they are served.

    Raises:
        ConfigurationError: One cannot listen there.
    """
    if address is None:
        yield None
        return
    # Here, because the import takes a tenth of a second, and few runs need it.
    from pipeline.listening.prometheus import PrometheusMetrics

    metrics = PrometheusMetrics()
    with ExitStack() as stack:
        try:
            port = stack.enter_context(metrics.served(*address))
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigurationError(
                f"--metrics_port {address} cannot be listened on ({reason}). Give another one, or "
                "0 for any that is free."
            ) from error
        stack.enter_context(events.listening(metrics))
        served = address._replace(port=port)
        if not quiet or not address.port:
            say_aside(f"Metrics are at http://{served}/metrics")
        yield served
