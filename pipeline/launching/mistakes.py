"""Tables of mistakes: what is asked for, and the sentences that refuse it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.options import RunConfig


@dataclass(frozen=True)
class Asked:
    """All that was asked for.

    Attributes:
        launch: What is asked of the engine, of the kind that the table is for.
        config: Of the pipeline; its options of Beam are those of the user alone.
    """

    launch: Any
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


Check = Callable[[Asked], str | None]
"""Returns the sentence that refuses what was asked for, with the fix; None if it is well."""


class Table(dict[str, Check]):
    """Checks by the mistake in a few words, in the order in which they are looked for."""

    def refuses(self, mistake: str) -> Callable[[Check], Check]:
        """Puts a check into the table."""
        return partial(self.setdefault, mistake)
