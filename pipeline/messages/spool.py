"""What is pulled is written down before it is embedded, and is known for a while when it is done.

``.spool/pubsub/<subscription>/<time>-<id>``    the messages of a pull, until they are acknowledged
``.spool/done/<time>-<id>``                     the keys of those of a pull that is committed, a
                                                hexadecimal one a line

So a pull that a kill has cut short has its outcome under its own name, and a message that is
delivered again after it was committed is known by what is on disk.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence

from transforms import storage
from transforms.errors import ConfigurationError
from transforms.inputs.finding import FastaFile
from transforms.messages import Message, encode_messages
from transforms.pulls import PUBSUB, name_pull

SPOOL = ".spool"
_PULLS, _DONE = f"{SPOOL}/{PUBSUB}", f"{SPOOL}/done"

HORIZON_MESSAGES = 500_000
HORIZON_PULLS = 10_000
"""A message is known again among the last so many messages, in the last so many pulls. By number
and not by time: while nobody pulls nothing is forgotten."""


class Spool:
    """The pulls that are at work in an output.

    Args:
        root: The output root.
    """

    def __init__(self, root: str) -> None:
        self._root = root

    def pulls(self) -> tuple[FastaFile, ...]:
        """Returns the pulls that are not done, the oldest first."""
        found = storage.match(storage.join(self._root, _PULLS))
        return tuple(FastaFile(f.url, self._source(f.url), f.size, f.mtime) for f in found)

    def add(self, subscription: str, messages: Sequence[Message]) -> FastaFile:
        """Writes down a pull, so that it outlives this process.

        Args:
            subscription: Short name of the subscription.
            messages: What was pulled.

        Returns:
            The file, whose source names the pull in the output.
        """
        name = f"{SPOOL}/{name_pull(subscription)}"
        data = encode_messages(messages)
        storage.publish(self._root, name, lambda handle: handle.write(data))
        url = storage.join(self._root, name)
        found = storage.look_up(url)
        if found is None:
            raise FileNotFoundError(f"{url} has just been written and is gone")
        return FastaFile(url, self._source(url), found.size, found.mtime)

    def remove(self, file: FastaFile) -> None:
        """Forgets a pull whose messages are done."""
        storage.delete(file.url)

    def _source(self, url: str) -> str:
        return url.removeprefix(storage.join(self._root, SPOOL) + "/")


class Done:
    """The keys of the messages that were committed last.

    Args:
        root: The output root.
        messages: How many keys are kept at the most.
        pulls: Of how many pulls.
    """

    def __init__(
        self, root: str, messages: int = HORIZON_MESSAGES, pulls: int = HORIZON_PULLS
    ) -> None:
        self._root = root
        self._messages, self._most_pulls = messages, pulls
        self._pulls: OrderedDict[str, tuple[bytes, ...]] = OrderedDict()
        self._keys: set[bytes] = set()
        for name in storage.list_names(storage.join(root, _DONE)):
            self._remember(name, _read(storage.join(root, _DONE, name)))

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys

    def add(self, file: FastaFile, keys: Collection[bytes]) -> None:
        """Writes down that the messages of a pull are committed, and forgets the oldest."""
        name = file.source.rpartition("/")[2]
        data = "".join(f"{key.hex()}\n" for key in keys).encode()
        storage.publish(self._root, f"{_DONE}/{name}", lambda handle: handle.write(data))
        self._remember(name, tuple(keys))

    def _remember(self, name: str, keys: tuple[bytes, ...]) -> None:
        self._pulls[name] = keys
        self._keys.update(keys)
        while len(self._pulls) > self._most_pulls or (
            len(self._keys) > self._messages and len(self._pulls) > 1
        ):
            oldest, gone = self._pulls.popitem(last=False)
            self._keys.difference_update(gone)
            storage.delete(storage.join(self._root, _DONE, oldest))


def _read(url: str) -> tuple[bytes, ...]:
    try:
        return tuple(bytes.fromhex(line) for line in storage.read_bytes(url).decode().splitlines())
    except ValueError as error:
        raise ConfigurationError(
            f"{url} is damaged. Put it back from a copy; without it, messages that it names and "
            "that come again would be embedded again."
        ) from error
