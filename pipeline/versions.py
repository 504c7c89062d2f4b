"""Which version this is, and which of what it rests on are installed."""

from __future__ import annotations

import platform
from importlib.metadata import version

from pipeline import __version__

PACKAGES = ("apache-beam", "torch", "transformers", "pyarrow", "numpy")


def read_versions() -> dict[str, str]:
    """Returns the versions by name, ours first. Nothing is imported for it.

    Raises:
        PackageNotFoundError: One that is needed is not installed.
    """
    return {
        "fastesm-beam": __version__,
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def tell_versions() -> str:
    """Returns the two lines that a person reads."""
    ours, *others = (f"{name} {number}" for name, number in read_versions().items())
    return f"{ours}\n{', '.join(others)}"
