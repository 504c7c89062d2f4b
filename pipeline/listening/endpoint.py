"""``--metrics_port``: where Prometheus fetches the metrics of a run while it goes on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from pipeline.listening.hearing import check_is_heard
from transforms import events
from transforms.errors import ConfigurationError

_LOCALHOST = "127.0.0.1"
_MOST_PORTS = 1 << 16


class Address(NamedTuple):
    """Where to listen; port 0 is any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Returns what ``--metrics_port`` asks for, e.g. ``9100``, ``0.0.0.0:9100`` or ``[::]:9100``.

    Raises:
        argparse.ArgumentTypeError: It is neither a port nor an address with a port.
    """
    host, _, port = text.strip().rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) < _MOST_PORTS):
        raise argparse.ArgumentTypeError(
            f"must be a port, 0 to 65535, or an address and a port, e.g. 0.0.0.0:9100, not {text!r}"
        )
    return Address(host.removeprefix("[").removesuffix("]") or _LOCALHOST, int(port))


def check_endpoint(address: Address | None, beam_args: Sequence[str]) -> None:
    """Makes sure that there will be something to tell of, where it is to be told.

    Raises:
        ConfigurationError: The steps will run in other processes.
    """
    if address:
        check_is_heard(
            beam_args,
            "--metrics_port tells",
            "Leave it out: Beam's metrics hold the same numbers, in the runner's own monitoring "
            "and in run_report.json. Or run on the local runner.",
        )


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
            print(f"Metrics are at http://{served}/metrics", file=sys.stderr)
        yield served
