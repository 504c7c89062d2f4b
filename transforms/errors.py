"""The errors that carry a sentence for the user."""


class ConfigurationError(Exception):
    """Nothing can run as asked; the message says what to do instead (exit code 2)."""


class FastaFormatError(ValueError):
    """A file is not FASTA that can be read to its end; the message names line or byte."""


class AccountingError(Exception):
    """Records read, embedded and dead-lettered do not add up (exit code 1)."""
