"""What a run would do with an input, all of it found out without a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline.listening.progress import Progress
from pipeline.listening.tally import Tally
from pipeline.option_groups.model import check_width
from pipeline.planning.rate import Rate, read_rate
from pipeline.planning.size import OutputSize, measure_output
from pipeline.planning.survey import Survey, survey
from pipeline.planning.work import Schedule, Setting, Work
from transforms import events
from transforms.errors import ConfigurationError
from transforms.esm.architecture import ESM2_650M, count_parameters
from transforms.esm.checkpoints import DEFAULT_MODEL, find_config
from transforms.esm.devices import check_device_name, resolve_dtype
from transforms.esm.pass_budget import usual_tokens
from transforms.filling import PART_RECORDS
from transforms.inputs.collisions import check_pt_names, find_collisions
from transforms.inputs.finding import FastaFile, Listing, find_fasta
from transforms.residues import ResiduePolicy


@dataclass(frozen=True)
class PlanConfig:
    """What is planned.

    Attributes:
        inputs: Files, globs and folders.
        input_root: Folder below which sources are named; None for what the patterns share.
        pt: Whether ``_ESM.pt`` files are written.
        residues: The residue policy.
        model: ``demo``, a local directory, or a hub id.
        revision: Branch, tag or commit on the hub.
        device: As the option of a run.
        dtype: As the option of a run.
        toks_per_batch: As the option of a run; None for what is usual on the device.
        expected_dim: Width that the model must have; None for any.
        like: Output of a run whose speed is taken; None for none.
        tokens_per_second: Speed, where it is given.
        price_per_gpu_hour: What an hour of a GPU costs; None where that is not asked.
    """

    inputs: tuple[str, ...]
    input_root: str | None = None
    pt: bool = True
    residues: ResiduePolicy = ResiduePolicy()
    model: str = DEFAULT_MODEL
    revision: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    toks_per_batch: int | None = None
    expected_dim: int | None = None
    like: str | None = None
    tokens_per_second: float | None = None
    price_per_gpu_hour: float | None = None


@dataclass(frozen=True)
class Forecast:
    """What a run would do.

    Attributes:
        config: What is planned.
        listing: The input files.
        refusals: Why a run would not begin.
        survey: What the files hold.
        dim: Width of the vectors.
        is_known: Whether the model's own configuration is here; else ESM-2 650M stands for it.
        works: What the model would be given, on each kind of device that may be meant.
        size: What would be written.
        part_bytes: Vectors that are held until they are written.
        rate: How fast the model goes; None where that is not known.
    """

    config: PlanConfig
    listing: Listing
    refusals: tuple[str, ...]
    survey: Survey
    dim: int
    is_known: bool
    works: tuple[Work, ...]
    size: OutputSize
    part_bytes: int
    rate: Rate | None

    @property
    def has_failures(self) -> bool:
        """Whether records or files would be dead-lettered."""
        return bool(self.survey.refused.all())

    @property
    def seconds(self) -> float | None:
        """How long it takes at the known rate, on the last of the devices; None without one."""
        return self.works[-1].computed_tokens / self.rate.tokens_per_second if self.rate else None

    @property
    def cost(self) -> float | None:
        """What that costs; None where it is not known."""
        price, seconds = self.config.price_per_gpu_hour, self.seconds
        return None if price is None or seconds is None else price * seconds / 3600


def make_forecast(config: PlanConfig) -> Forecast:
    """Reads the input and reckons; how far it is, is shown on the way.

    Raises:
        ConfigurationError: Nothing can be planned: no file matches, or an option makes no sense.
    """
    check_device_name(config.device)
    resolve_dtype(config.dtype, "cpu")
    rate = _find_rate(config)
    config_of_model = _find_config_of_model(config)
    shape = config_of_model or ESM2_650M
    dim, parameters = shape["hidden_size"], count_parameters(shape)
    listing = find_fasta(config.inputs, config.input_root)
    longest = config.residues.truncation_seq_length
    settings = find_settings(config, rate)
    schedules = [Schedule(setting, longest, dim, parameters) for setting in settings]
    with _shown(listing.files) as hear:
        seen = survey(listing.files, config.residues, schedules, hear)
    rows = seen.total("to_embed")
    files = sum(file.readable for file in seen.files) if config.pt else 0
    return Forecast(
        config=config,
        listing=listing,
        refusals=tuple(_find_refusals(listing.files, config.pt)),
        survey=seen,
        dim=dim,
        is_known=config_of_model is not None,
        works=tuple(schedule.work for schedule in schedules),
        size=measure_output(seen.sample.held, rows, files, dim, config.model),
        part_bytes=4 * dim * min(rows, PART_RECORDS),
        rate=rate,
    )


def find_settings(config: PlanConfig, rate: Rate | None) -> list[Setting]:
    """Returns how the model would be run.

    With ``auto`` that is as in the run whose speed is taken, and else on a CPU or on CUDA: a plan
    is often made on another machine than the run.
    """
    devices, dtype = [config.device], config.dtype
    if config.device == "auto":
        devices = [rate.device] if rate and rate.device else ["cpu", "cuda"]
    if dtype == "auto" and rate and rate.dtype:
        dtype = rate.dtype
    return [
        Setting(
            device,
            resolve_dtype(dtype, device),
            config.toks_per_batch or usual_tokens(device),
        )
        for device in devices
    ]


def _find_config_of_model(config: PlanConfig) -> Mapping[str, Any] | None:
    found = find_config(config.model, config.revision)
    if found:
        check_width(config.model, found["hidden_size"], config.expected_dim)
    return found


def _find_rate(config: PlanConfig) -> Rate | None:
    given = config.tokens_per_second
    rate = Rate(given) if given else None
    if config.like:
        rate = read_rate(config.like, config.model)
        for option, planned, made in (
            ("--device", config.device, rate.device),
            ("--dtype", config.dtype, rate.dtype),
        ):
            if planned.partition(":")[0] not in ("auto", made.partition(":")[0]):
                raise ConfigurationError(
                    f"--like {config.like}: that run was with {option} {made}, which tells nothing "
                    f"of {planned}. Leave out {option}, or give another output."
                )
    if config.price_per_gpu_hour is None:
        return rate
    if rate is None:
        raise ConfigurationError(
            "--price_per_gpu_hour needs to know how fast a GPU is: give --tokens_per_second, or "
            "--like and the output of a run on it."
        )
    if rate.device and not rate.device.startswith("cuda"):
        raise ConfigurationError(
            f"--like {config.like}: that run was on {rate.device}, and --price_per_gpu_hour needs "
            "to know how fast a GPU is. Give the output of a run on one, or --tokens_per_second."
        )
    return rate


def _find_refusals(files: Sequence[FastaFile], pt: bool) -> Iterator[str]:
    """Yields the sentences with which a run would refuse the names of files."""
    yield from find_collisions(files)
    if pt:
        try:
            check_pt_names(files)
        except ConfigurationError as error:
            yield str(error)


@contextmanager
def _shown(files: Sequence[FastaFile]) -> Iterator[Callable[[events.Event], None]]:
    """Shows within the ``with`` block how far the reading is, by the events that it yields to."""
    tally = Tally(len(files), sum(file.size for file in files))
    progress = Progress(tally)

    def hear(event: events.Event) -> None:
        tally(event)
        progress.show()

    with closing(progress), events.listening(tally):
        yield hear
