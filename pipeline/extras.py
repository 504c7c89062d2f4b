"""Packages that are not installed by default: whether they are there, and what installs them."""

from __future__ import annotations

import importlib
import os
import shlex
import sys
from collections.abc import Mapping

import pipeline
from transforms.errors import ConfigurationError


def require(who: str, packages: Mapping[str, str], extra: str) -> None:
    """Makes sure that packages can be imported.

    Args:
        who: What needs them, as a sentence begins.
        packages: What pip calls each, by what is imported.
        extra: The extra of pyproject.toml that has them all.

    Raises:
        ConfigurationError: One is missing.
    """
    for imported, package in packages.items():
        try:
            importlib.import_module(imported)
        except ImportError as error:
            raise ConfigurationError(
                f"{who} needs {package} ({error}). Install it: {_command(package, extra)}"
            ) from error


def _command(package: str, extra: str) -> str:
    """Returns what installs a package: from our folder, if we run in it, in the pinned version."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(pipeline.__file__)))
    pins = os.path.join(folder, "constraints.txt")
    what = [package]
    if os.path.exists(pins):
        what = ["-c", pins, "-e", f"{folder}[{extra}]"]
    return shlex.join([sys.executable, "-m", "pip", "install", *what])
