"""``--output_topic`` and ``--dead_letter_topic``: what is committed of a pull is published."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.messages.subscription import Subscription
from pipeline.messages.topic import Topic, open_topic
from pipeline.options import RunConfig
from transforms.errors import ConfigurationError
from transforms.inputs.fasta import Counts
from transforms.inputs.finding import FastaFile
from transforms.inputs.reading import end_of
from transforms.items import FinishedFile
from transforms.output.commits import Output, read_part_record
from transforms.output.gathering import gather
from transforms.results import make_answers, make_dead_letters, read_outcomes


@dataclass(frozen=True)
class DonePull:
    """A pull of which every record is committed.

    Attributes:
        file: Where its messages lie, and what it is called.
        rows: How many of its records were embedded.
        dead_letters: How many failed.
        parts: Names of the parts in which they lie.
    """

    file: FastaFile
    rows: int
    dead_letters: int
    parts: Sequence[str]


@dataclass(frozen=True)
class Topics:
    """Where it is published to; None for nowhere.

    Attributes:
        answers: Gets a message for each message that is done.
        dead_letters: Gets a message for each record that failed.
    """

    answers: Topic | None = None
    dead_letters: Topic | None = None

    def publish(self, pull: DonePull, output: Output, is_to_end: Callable[[], bool]) -> None:
        """Publishes what has become of a pull.

        Nobody may take parts of it away meanwhile.

        Args:
            pull: The pull.
            output: Where it lies, and the model.
            is_to_end: Tells whether not to try again what does not get through.

        Raises:
            UnpublishedError: It was told so, and not all is published.
            ConfigurationError: Nothing can be published there, or a part is damaged.
        """
        dead_letters = self.dead_letters if pull.dead_letters else None
        if not (self.answers or dead_letters):
            return
        counts = Counts(pull.rows + pull.dead_letters, 0)
        whole = FinishedFile(end_of(pull.file, "", counts), pull.rows, pull.dead_letters, ())
        parts = [read_part_record(output.root, name) for name in pull.parts]
        found = gather(whole, parts, output.root)
        if dead_letters:
            dead_letters.publish(make_dead_letters(found), is_to_end)
        # Last, so that who has the answer can rely on all the rest.
        if self.answers:
            answers = make_answers(read_outcomes(found), pull.file.source, output)
            self.answers.publish(answers, is_to_end)


def open_topics(config: RunConfig, subscription: Subscription) -> Topics:
    """Returns the topics that are asked for, which are there.

    Raises:
        ConfigurationError: One is not, or it is what the subscription reads.
    """
    topics: dict[str, Topic] = {}
    for option in ("output_topic", "dead_letter_topic"):
        name: str | None = getattr(config, option)
        if name is None:
            continue
        if name == subscription.topic:
            raise ConfigurationError(
                f"--{option} {name} is what {subscription.name} reads, so that what is published "
                "would come back without an end. Give another topic."
            )
        topics[option] = open_topic(name, option)
    return Topics(topics.get("output_topic"), topics.get("dead_letter_topic"))
