"""Tests of what a terminal, a pipe and a file get to see of a run."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from pipeline.terminal import complain
from tests.processes import REPO

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def command(output: Path) -> list[str]:
    example = str(REPO / "examples/well_known.fasta")
    run = [sys.executable, "-m", "pipeline", "--model", "demo"]
    return [*run, "--input", example, "--output", str(output)]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPO), **more}


def test_a_pipe_gets_plain_lines(tmp_path: Path) -> None:
    # Some tools take these variables for a wish to have colours in a pipe.
    forced = environment(FORCE_COLOR="1", CLICOLOR_FORCE="1")
    done = subprocess.run(
        command(tmp_path / "out"), env=forced, capture_output=True, text=True, check=True
    )
    for text in (done.stdout, done.stderr):
        assert "\x1b" not in text
        assert "\r" not in text
    assert "7 proteins embedded" in done.stdout


def test_a_terminal_gets_a_bar_and_with_no_color_no_colours(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (40, 100))
    process = subprocess.Popen(
        command(tmp_path / "out"),
        env=environment(NO_COLOR="1", TERM="xterm-256color"), stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 1 << 16):
            seen += chunk
    except OSError:  # how Linux says that the other side is closed
        assert process.wait(60) == 0
    os.close(ours)
    text = seen.decode()
    assert process.wait(60) == 0
    assert not COLOUR.search(text)
    assert re.search(r"\r[^\n]*%\|[^\n]*residues/s", text)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("it is no FASTA.", "error: it is no FASTA.\n"),
        ("a\x1b[31mred\nname", "error: a\\x1b[31mred\\nname\n"),
        (
            f"out/a: {OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))}.",
            f"error: out/a: {OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))}. "
            "Free some space, and give the same command again.\n",
        ),
    ],
)
def test_an_error_is_one_line_and_of_a_full_disk_says_the_fix(
    text: str, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    complain(text)
    assert capsys.readouterr().err == printed


def test_that_nobody_reads_stderr_any_more_is_no_error() -> None:
    program = """if True:
        import sys
        from pipeline.terminal import complain, say_aside
        print("ready", flush=True)
        sys.stdin.readline()
        say_aside("to nobody")
        complain("of this too")
        sys.exit(130)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPO,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stderr.close()
        process.stdin.write("go on\n")
        process.stdin.flush()
        assert process.wait(60) == 130
