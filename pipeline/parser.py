"""How command lines are parsed: a short help, the versions, and refusals that say the fix."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NoReturn

from pipeline.terminal import say
from pipeline.versions import tell_versions
from transforms.errors import ConfigurationError
from transforms.text import nearest

_TELLING = ("help", "help_all", "version")  # what tells of the parser stands last

HELP_COLUMN = 32
"""Where the text begins that tells of an option."""


class Parser(argparse.ArgumentParser):
    """A parser that raises what it refuses, and whose ``--help`` may be short."""

    def __init__(self, essential: Collection[str] = (), **options: Any) -> None:
        """Makes a parser without options of its own, but for those that tell of it.

        Args:
            essential: Names of options, without ``--``, to which ``--help`` keeps; ``--help_all``
                then tells of all. Empty for a help that is short as it is.
            options: Those of ``ArgumentParser``. Without ``add_help`` it has no ``--version``
                either.
        """
        is_for_people = options.pop("add_help", True)
        options.setdefault("formatter_class", _HelpFormatter)
        super().__init__(add_help=False, allow_abbrev=False, **options)
        self._essential = frozenset(essential)
        if not is_for_people:
            return
        add = self.add_argument
        which = "these options" if essential else "the options"
        add("-h", "--help", action=_ShortHelp, help=f"tell of {which} and exit")
        if essential:
            add("--help_all", action="help", help="tell of all options and exit")
        add("--version", action=_Version, help="tell which versions of what are installed and exit")

    def format_help(self) -> str:
        """Returns the help of all options."""
        return self._format(self._actions)

    def format_short_help(self) -> str:
        """Returns the help of the essential options."""
        if not self._essential:
            return self.format_help()
        told = self._essential.union(_TELLING)
        return self._format([action for action in self._actions if action.dest in told])

    def _format(self, actions: Sequence[argparse.Action]) -> str:
        formatter = self._get_formatter()
        own = [action for action in actions if action.dest not in _TELLING]
        formatter.add_usage(self.usage, own, self._mutually_exclusive_groups)
        formatter.add_text(self.description)
        for group in sorted(self._action_groups, key=lambda group: group is self._optionals):
            shown = [action for action in group._group_actions if action in actions]
            formatter.start_section(group.title)
            formatter.add_arguments(sorted(shown, key=lambda action: action.dest in _TELLING))
            formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses a command line that may hold nothing else.

        Raises:
            ConfigurationError: It does, or an option is missing or has a value that makes no
                sense.
        """
        found, rest = self.parse_known_args(args, namespace)
        if rest:
            raise ConfigurationError(f"{tell_unknown(rest[0], self)} See --help.")
        return found

    def error(self, message: str) -> NoReturn:
        """Raises the message as a ConfigurationError."""
        if wrong := re.match(r"argument (\S+): invalid choice: '(.*?)' \(choose from", message):
            action = self._option_string_actions.get(wrong[1].partition("/")[0])
            message += "." + _suggest(wrong[2], map(str, (action and action.choices) or ()))
        end = "" if message.endswith((".", "?")) else "."
        raise ConfigurationError(f"{message[:1].upper()}{message[1:]}{end} See --help.")


def tell_unknown(token: str, *parsers: argparse.ArgumentParser) -> str:
    """Returns the sentences that refuse what no parser knows, with what may have been meant.

    Args:
        token: It, as it stands in the command line.
        parsers: Those of the options that there are, ours first.
    """
    known = [option for parser in parsers for option in parser._option_string_actions]
    if not token.startswith("-"):
        hint = f" Input is given as --input {token}, a name with blanks in quotes."
        hint = hint if "--input" in known else ""
        return f"{token} follows no option.{hint}"
    option = token.partition("=")[0]
    for action in parsers[0]._actions:
        if not action.option_strings and action.dest == option.lstrip("-"):
            return f"{action.metavar} is given by itself, without {option}."
    return f"Unknown option {option}.{_suggest(option, known)}"


def _suggest(given: str, known: Iterable[str]) -> str:
    meant = nearest(given, known)
    return f" Did you mean {meant}?" if meant else ""


class _ShortHelp(argparse.Action):
    def __init__(self, **options: Any) -> None:
        super().__init__(nargs=0, default=argparse.SUPPRESS, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        assert isinstance(parser, Parser)
        say(parser.format_short_help().removesuffix("\n"))
        parser.exit()


class _Version(argparse.Action):
    def __init__(self, **options: Any) -> None:
        super().__init__(nargs=0, default=argparse.SUPPRESS, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        say(tell_versions())
        parser.exit()


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=HELP_COLUMN)
