"""``--config``: the options of a command line from a YAML or JSON file, and back again."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from typing import Any

import yaml

from pipeline.option_groups.beam import check_no_secret, given_beam_options
from pipeline.parser import Parser
from transforms.errors import ConfigurationError
from transforms.output.shards import Shard
from transforms.text import one_line

Value = str | None | list[str]
"""Of an option, as it is written: nothing is taken for a number, a date or a time of day."""

_NO_OPTIONS = "it has to hold names of options and their values."
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class _Pairs(list[tuple[str, Any]]):
    """The members of a JSON object, also those of the same name."""


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """Adds the option to a parser."""
    parser.add_argument(
        "--config",
        action="append",  # so that a second one is not taken in place of the first
        metavar="FILE",
        help="take options from a YAML or JSON file: their names without --, a list for what may "
        "be given several times, true for what takes no value; the command line wins",
    )


def with_file(argv: Sequence[str], find: Callable[[str], argparse.Action | None]) -> list[str]:
    """Returns a command line with the options of its ``--config`` file in place of that option.

    An option that the command line has is not taken from the file.

    Args:
        argv: The command line.
        find: Returns what an option such as ``--input`` does; None if there is none.

    Raises:
        ConfigurationError: The file cannot be read, or holds what is no option; it is named.
    """
    parser = Parser(add_help=False)
    add_config_option(parser)
    found, rest = parser.parse_known_args(argv)
    if found.config is None:
        return rest
    from transforms import storage  # late: it brings Beam, which a help does not need

    path, *others = found.config
    if others:
        raise ConfigurationError(f"--config {path} and --config {others[0]}: give one file.")
    given = {token.partition("=")[0] for token in rest}
    try:
        options = read_options(storage.read_bytes(storage.absolute(path)), path.endswith(".json"))
        from_file = [
            token
            for key, value in options.items()
            for token in _tokens(key, value, find(f"--{key}"))
            if f"--{key}" not in given
        ]
    except OSError as error:
        raise ConfigurationError(
            f"--config {path} cannot be read ({error.strerror or error}). Give another one."
        ) from error
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigurationError(f"--config {path}: {one_line(error)}") from error
    return [*from_file, *rest]


def read_options(data: bytes, is_json: bool) -> dict[str, Value]:
    """Returns the options of a file by name.

    Args:
        data: What it holds.
        is_json: Whether it is JSON; else YAML.

    Raises:
        ValueError: It is not made as options have to be.
        yaml.YAMLError: It is no YAML.
    """
    text = data.decode("utf-8-sig")
    try:
        pairs = _from_json(text) if is_json else _from_yaml(text)
    except RecursionError as error:
        raise ValueError(_NO_OPTIONS) from error
    options: dict[str, Value] = {}
    for key, value in pairs:
        if key in options:
            raise ValueError(f"{key} is there twice. Leave one out.")
        options[key] = _value(key, value)
    return options


def _from_json(text: str) -> _Pairs:
    held = json.loads(
        text, object_pairs_hook=_Pairs, parse_int=str, parse_float=str, parse_constant=str
    )
    if not isinstance(held, _Pairs):
        raise ValueError(_NO_OPTIONS)
    return held


def _from_yaml(text: str) -> _Pairs:
    # Nodes, not what they stand for: no tag is heeded, nothing built, and an alias not followed
    # into what holds it.
    root = yaml.compose(text, yaml.SafeLoader)
    if root is not None and not isinstance(root, yaml.MappingNode):
        raise ValueError(_NO_OPTIONS)
    pairs = root.value if root else ()
    if not all(isinstance(key, yaml.ScalarNode) for key, _ in pairs):
        raise ValueError(_NO_OPTIONS)
    return _Pairs((key.value, _plain(value)) for key, value in pairs)


def _plain(node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return [each.value for each in node.value]
    return None if node.tag == "tag:yaml.org,2002:null" else node.value


def _value(key: str, value: Any) -> Value:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, _Pairs) and all(isinstance(each, str) for each in value):
        return list(value)
    raise ValueError(f"{key} has to be a value or a list of values.")


def _tokens(key: str, value: Value, action: argparse.Action | None) -> list[str]:
    """Returns an option as a command line has it.

    Raises:
        ValueError: There is no such option, or not with that value.
    """
    is_flag = isinstance(action, argparse._StoreConstAction)
    if action is None or key == "config" or (action.nargs == 0 and not is_flag):
        raise ValueError(f"{key} is no option. See --help and --help_beam.")
    check_no_secret(f"--{key}")
    if value is None:
        return []
    if is_flag:
        if not isinstance(value, str) or value.lower() not in _FLAGS:
            raise ValueError(f"{key} is true or false, not {value!r}.")
        return [f"--{key}"] * _FLAGS[value.lower()]
    if isinstance(value, str):
        return [f"--{key}={value}"]
    if isinstance(action, argparse._StoreAction):
        raise ValueError(f"{key} takes one value, not a list.")
    return [f"--{key}={each}" for each in value]


def effective_options(ours: argparse.Namespace, beam_args: Sequence[str]) -> dict[str, Any]:
    """Returns every option of ours, and those of Beam's that were given, as a file may hold them.

    Args:
        ours: What the parser made of a command line.
        beam_args: Options for Beam.
    """
    options = {key: _as_json(value) for key, value in vars(ours).items() if key != "config"}
    return options | {k: _as_json(value) for k, value in given_beam_options(beam_args).items()}


def _as_json(value: object) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Shard):
        return value.option
    if type(value) is tuple:  # of what is written with commas
        return ",".join(map(str, value)) or None
    return [_as_json(each) for each in value] if type(value) is list else str(value)
