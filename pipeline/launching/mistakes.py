"""Tables of mistakes: what is asked for, and the sentences that refuse it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.launching.options import Launch
from pipeline.options import RunConfig

Of = TypeVar("Of", bound=Launch, covariant=True)
For = TypeVar("For", bound=Launch, contravariant=True)


@dataclass(frozen=True)
class Asked(Generic[Of]):
    """All that was asked for.

    Attributes:
        launch: Of the engine.
        config: Of the pipeline; its options of Beam are those of the user alone.
    """

    launch: Of
    config: RunConfig

    @property
    def beam(self) -> Mapping[str, Any]:
        """Beam's options and their values, also those that were not given."""
        found: Mapping[str, Any] = PipelineOptions(list(self.config.beam_args)).get_all_options()
        return found

    def given(self, name: str) -> str | None:
        """Returns the value of an option as it was given; None if it was not."""
        value = self.config.options.get(name)
        return None if value is None else str(value)

    def names(self, name: str) -> list[str]:
        """Returns the entries of an option of Beam that is a list."""
        return list(self.beam[name] or ())


Check = Callable[[Asked[For]], str | None]
"""Returns the sentence that refuses what was asked for, with the fix; None if it is well."""


@dataclass(frozen=True)
class Table(Generic[For]):
    """Checks of what is asked of an engine.

    Attributes:
        checks: By the mistake in a few words, in the order in which they are looked for.
    """

    checks: dict[str, Check[For]] = field(default_factory=dict)

    def refuses(self, mistake: str) -> Callable[[Check[For]], Check[For]]:
        """Puts a check into the table."""

        def put(check: Check[For]) -> Check[For]:
            self.checks[mistake] = check
            return check

        return put
