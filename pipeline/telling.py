"""The status of an output, in words for a person and as JSON for a program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pipeline.failures import count_failed, tell_kinds
from pipeline.file_states import FAILED, STATES, UNFINISHED, FileState
from pipeline.listening.tally import add_up
from pipeline.overview import Overview
from pipeline.remarks import NUCLEOTIDES
from transforms.inputs.nucleotides import tell_nucleotides
from transforms.output.division import ENDS, ShardState, describe_missing
from transforms.output.holders import COMPACT, FINISH, RUN, Holder, State
from transforms.text import counted, duration, printable
from transforms.times import seconds_since

FILES_TOLD = 20
"""How many files a person is told of."""

_WORK = {RUN: "run", COMPACT: "compaction", FINISH: "completion"}  # by its lock

_SHORT_SECONDS = 10  # of a shorter run much was not the model, so its speed says little

_OF_KIND = ("stage", "error_type", "source", "ordinal", "id", "message")
_OF_FILE = ("source", "status", "records", "rows", "dead_letters", "pt")

_ORDER: tuple[State, ...] = ("alive", "silent", "dead", "ended")


def state_of_all(seen: Overview) -> str:
    """Returns the liveliest state of the holders; ``none`` if there never was one."""
    return next((state for state in _ORDER if state in seen.states), "none")


def speed(progress: Mapping[str, float] | None) -> float | None:
    """Returns the residues that a run embeds in a second; None where that is not known."""
    progress = progress or {}
    # What earlier runs have committed is passed over, not embedded.
    embedded = progress.get("residues", 0) - progress.get("residues_skipped", 0)
    seconds = progress.get("seconds", 0)
    return embedded / seconds if embedded > 0 and seconds > 0 else None


def seconds_left(progress: Mapping[str, float] | None) -> float | None:
    """Returns how long a run still takes, as far as can be reckoned; None where it cannot."""
    rate = speed(progress)
    if progress is None or rate is None or not progress.get("residues_total"):
        return None
    return max(progress["residues_total"] - progress["residues"], 0) / rate


def as_json(seen: Overview) -> dict[str, Any]:
    """Returns all that was seen as plain values."""
    return {
        "output": seen.root,
        "state": state_of_all(seen),
        "runs": [_run(*held) for held in zip(seen.holders, seen.states, strict=True)],
        "totals": {
            "files": len(seen.files),
            **{name: seen.count(name) for name in STATES},
            "parts": seen.parts,
            "rows": seen.rows,
            "dead_letters": sum(file.dead_letters for file in seen.files),
            "pt": sum(file.pt is not None for file in seen.files) - len(seen.lost_pt),
        },
        "shards": [asdict(shard) for shard in seen.shards],
        "dead_letters": [
            {"count": kind.count} | _values(kind.first, _OF_KIND) for kind in seen.failures
        ],
        "gone": list(seen.gone),
        NUCLEOTIDES: list(seen.nucleotides),
        "configuration": dict(seen.configuration),
        "files": [
            _values(file, _OF_FILE)
            | {"pt_there": file.pt is not None and file.source not in seen.lost_pt}
            for file in seen.files
        ],
    }


def _values(held: object, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(held, name) for name in names}


def _run(holder: Holder, state: State) -> dict[str, Any]:
    return asdict(holder) | {
        "state": state,
        "residues_per_second": speed(holder.progress),
        "eta_seconds": seconds_left(holder.progress) if state == "alive" else None,
    }


def in_words(seen: Overview, all_files: bool = False) -> list[str]:
    """Returns the lines that a person reads.

    Args:
        seen: The output.
        all_files: Whether to tell of every file; else of those that are most of interest.
    """
    root = printable(seen.root)
    lines = [
        line
        for holder, state in zip(seen.holders, seen.states, strict=True)
        # Of shards there may be hundreds.
        if not _is_shard(holder)
        for line in _tell_holder(root, holder, state)
    ]
    lines += _tell_shards(root, seen) if seen.shards else []
    lines = lines or [f"No run is at work in {root}."]
    lines.append(_tell_totals(root, seen))
    state = state_of_all(seen)
    if seen.shards:
        lines += _advise_shards(root, seen.shards)
    elif state == "dead" or (state != "alive" and seen.count(UNFINISHED)):
        lines.append("The same command as before carries on from there.")
    if lost := counted(len(seen.lost_pt), "file"):
        lines.append(f"The .pt of {lost} is gone; the next run writes it again.")
    lines += [f"{printable(name)} was committed and is gone." for name in seen.gone]
    lines += map(printable, tell_nucleotides(seen.nucleotides))
    lines += _tell_reasons(seen)
    lines += _tell_files(seen, len(seen.files) if all_files else FILES_TOLD)
    return lines


def _is_shard(holder: Holder) -> bool:
    return holder.lock.startswith(ENDS)


def _tell_shards(root: str, seen: Overview) -> Iterator[str]:
    count = counted(len(seen.shards), "shard")
    missing = describe_missing(seen.shards)
    yield f"{root} is made by {count}. {missing or 'All have ended; it is not completed yet'}."
    told = [holder.progress for holder in seen.holders if _is_shard(holder) and holder.progress]
    if told:
        is_alive = any(
            state == "alive" and _is_shard(holder)
            for holder, state in zip(seen.holders, seen.states, strict=True)
        )
        yield f"  {_tell_progress(add_up(told, len(seen.shards)), is_alive)}"


def _advise_shards(root: str, shards: Sequence[ShardState]) -> Iterator[str]:
    missing = [shard for shard in shards if not shard.has_ended]
    if not missing:
        yield f"python -m pipeline.finish {root} completes it."
    elif any(shard.state != "alive" for shard in missing):
        yield "The same commands carry on with those not at work; the last to end completes it."


def _tell_holder(root: str, holder: Holder, state: State) -> Iterator[str]:
    what = _WORK.get(holder.lock, holder.lock)
    ago = duration(max(seconds_since(holder.heartbeat), 0.0))
    match state:
        case "alive":
            yield f"A {what} is at work in {root}: {holder}, {ago} ago."
        case "silent":
            yield (
                f"A {what} in {root} is suspended, or dead and the number of its process in use "
                f"again: {holder}, {ago} ago."
            )
        case "dead":
            yield f"A {what} in {root} has died: {holder}."
        case "ended":
            yield f"No run is at work in {root}. The last one ended {ago} ago."
    if holder.progress:
        yield f"  {_tell_progress(holder.progress, state == 'alive')}"


def _tell_progress(progress: Mapping[str, float], is_alive: bool) -> str:
    if not (progress.get("files", 0) or progress.get("records", 0)):
        return "It has nothing to do." if is_alive else "It found nothing to do."
    done, total = progress.get("residues"), progress.get("residues_total", 0)
    told = "" if done is None else f"{done:,.0f} residues, "
    if done is not None and done == total:
        told = f"100%: {done:,.0f} residues, "
    elif done is not None and total:
        told = f"{min(done / total, 1):.0%}: {done:,.0f} of about {total:,.0f} residues, "
    told += (
        f"{progress.get('records', 0):,.0f} records, "
        f"{progress.get('files_done', 0):,.0f} of {progress.get('files', 0):,.0f} files, "
        f"in {duration(progress.get('seconds', 0))}"
    )
    is_telling = is_alive or progress.get("seconds", 0) >= _SHORT_SECONDS
    if is_telling and (rate := speed(progress)) is not None:
        told += f"; {rate:,.0f} residues a second"
    left = seconds_left(progress)
    return f"{told}, about {duration(left)} left." if is_alive and left else f"{told}."


def _tell_totals(root: str, seen: Overview) -> str:
    if not seen.files:
        return f"{root} holds nothing yet."
    counts = ", ".join(
        f"{number:,} {status}" for status in STATES if (number := seen.count(status))
    )
    vectors = counted(seen.rows, "vector") or "no vectors"
    return f"{root} holds {vectors} from {counted(len(seen.files), 'file')}: {counts}."


def _tell_reasons(seen: Overview) -> Iterator[str]:
    records, files = sum(file.dead_letters for file in seen.files), seen.count(FAILED)
    if failed := count_failed(records, files):
        yield f"{failed} failed: see dead_letters/."
    yield from tell_kinds(seen.failures)


def _tell_files(seen: Overview, most: int) -> Iterator[str]:
    if not seen.files:
        return
    yield "Files:"
    chosen = sorted(seen.files, key=lambda file: _interest(file, seen))
    for file in chosen[:most]:
        yield printable(f"  {file.status:<10}  {file.source}: {_tell_file(file, seen)}")
    if len(chosen) > most:
        yield f"  and {len(chosen) - most:,} more; --all tells of every one, --json too."


def _interest(file: FileState, seen: Overview) -> tuple[int, str]:
    """Returns what sorts the files that need a look before those that are well."""
    needs = (
        file.status == FAILED,
        file.status == UNFINISHED,
        file.source in seen.lost_pt,
        file.dead_letters > 0,
        True,
    )
    return needs.index(True), file.source


def _tell_file(file: FileState, seen: Overview) -> str:
    told = counted(file.rows, "vector") or "no vectors"
    if file.dead_letters:
        told += f", {file.dead_letters:,} failed"
    if file.pt:
        told += f", {file.pt}{' is gone' * (file.source in seen.lost_pt)}"
    return told
