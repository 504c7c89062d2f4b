"""The errors that carry a sentence for the user."""


class ConfigurationError(Exception):
    """Nothing can run as asked; the message says what to do instead (exit code 2)."""


class FastaFormatError(ValueError):
    """A file is not FASTA that can be read to its end; the message names line or byte."""


class RecordError(ValueError):
    """A record, or a message with records, that is refused.

    Args:
        error_type: Short class of the failure, e.g. ``invalid_residue``.
        message: One sentence for a person.
    """

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


class AccountingError(Exception):
    """Records read, embedded and dead-lettered do not add up (exit code 1)."""


class LostError(Exception):
    """Another run has taken a lock over; the message says which (exit code 1)."""


class DeviceError(Exception):
    """A device is full, or in use by somebody else; the message says what to do (exit code 1)."""


def damaged(url: str, or_newer: bool = False) -> ConfigurationError:
    """Returns what is said of a file of an output that does not hold what it must.

    Args:
        url: The file.
        or_newer: Whether a newer version of this program may have written it.
    """
    how, fix = "", "Put"
    if or_newer:
        how, fix = ", or was written by a newer version of this program", "Use that version, put"
    return ConfigurationError(
        f"{url} is damaged{how}. {fix} it back from a copy, or give another --output."
    )
