"""An export from its options to what a person is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.exports.formats import FORMATS, load_format
from pipeline.exports.keys import KeySurvey, survey_keys
from pipeline.exports.source import open_source
from pipeline.exports.target import make_target, staged
from pipeline.failures import count_failed
from transforms import storage
from transforms.errors import AccountingError, ConfigurationError
from transforms.text import counted, printable


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """What is asked for.

    Attributes:
        output: The output root.
        to: One of :data:`~pipeline.exports.formats.FORMATS`.
        out: Where the export goes.
        key: What names a row; None for its id.
        replace_slash: What stands in keys in place of ``/``; None for ``/`` itself.
        overwrite: Whether an export that is there may be replaced.
        license: What a dataset card names as the licence; None for unknown.
    """

    output: str
    to: str
    out: str
    key: str | None = None
    replace_slash: str | None = None
    overwrite: bool = False
    license: str | None = None


def export(config: ExportConfig, tell: Callable[[str], object]) -> str:
    """Writes the rows of an output in another format.

    Args:
        config: What is asked for.
        tell: Is given remarks, a sentence each.

    Returns:
        What was written, in a sentence.

    Raises:
        ConfigurationError: It cannot be done as asked; nothing was written.
        AccountingError: What was written is not what was committed; it was deleted.
        OSError: A file cannot be read or written; what was written was deleted.
    """
    form = FORMATS[config.to]
    _check_options(config)
    module = load_format(config.to)
    source = open_source(config.output, config.key or "id", config.replace_slash)
    target = make_target(config.out, source.root, config.overwrite, form.contents)
    if form.has_keys:
        survey = survey_keys(source, getattr(module, "find_fault", lambda key: None))
        _judge(survey, config, tell)
    if failed := count_failed(source.dead_letters, source.failed_files):
        tell(f"{failed} failed, of which there is no vector.")
    if source.unfinished:
        tell(
            f"not finished yet: {counted(source.unfinished, 'file')}, of which there is what is "
            "committed so far."
        )
    with staged(target) as path:
        if form.has_card:
            module.write(path, source, config.license)
        else:
            module.write(path, source)
        if (written := module.count(path)) != source.rows:
            raise AccountingError(
                f"{source.root} has {source.rows:,} rows, but {written:,} were found in what was "
                f"written for {target.path}, so it was deleted"
            )
    size = sum(found.size for found in storage.match(target.path))
    return (
        f"{printable(target.path)}: {counted(source.rows, 'row')} of {source.dim:,} values, as "
        f"many as are committed, {size / 1e6:,.1f} MB."
    )


def _check_options(config: ExportConfig) -> None:
    form = FORMATS[config.to]
    if config.license is not None and not form.has_card:
        raise ConfigurationError("--license is for the card of --to hf. Leave it out.")
    given = {"key": config.key, "replace_slash": config.replace_slash}
    for name, value in given.items():
        if value is not None and not form.has_keys:
            raise ConfigurationError(
                f"--{name} is not for --to {config.to}, which has id, accession, source and "
                "ordinal. Leave it out."
            )


def _judge(survey: KeySurvey, config: ExportConfig, tell: Callable[[str], object]) -> None:
    """Refuses keys with which a row would be lost, and tells of those that come twice.

    Raises:
        ConfigurationError: Rows cannot be named by their keys.
    """
    key = config.key or "id"
    if survey.unfit:
        raise ConfigurationError(
            f"{counted(survey.unfit, 'row')} cannot be named by {key} in --to {config.to}: "
            f"{survey.reason}. Give --replace_slash _ to have that in place of each /, another "
            "--key, such as source_ordinal, or another --to. Nothing was written."
        )
    if not survey.doubled:
        return
    found = (
        f"{counted(survey.doubled, 'row')} share their {key} with another row, such as "
        f"{survey.example[:60]!r}"
    )
    if FORMATS[config.to].needs_unique_keys:
        raise ConfigurationError(
            f"{found}, and --to {config.to} can hold one of each. Give --key source_ordinal to "
            "name rows by file and place in it, or another --to. Nothing was written."
        )
    tell(f"{found}: all are there, but whoever looks up by it finds one of them.")
