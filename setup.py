"""The shim that Beam's ``--setup_file`` needs; all metadata is in pyproject.toml."""

from setuptools import setup

setup()
