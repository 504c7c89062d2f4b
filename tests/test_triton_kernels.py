"""The kernels for CUDA, run by Triton's interpreter: slow, and on any machine.

What they do on a GPU, and in bfloat16, which the interpreter cannot multiply, is in test_cuda.py.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.processes import REPO

pytest.importorskip("triton", reason="Triton is not installed: pip install triton")


ATTENTION = """
import torch
from transforms.esm.kernels.attention import _draw, attend_each
from transforms.esm.kernels.triton_kernels import attend

for heads, width in ((3, 16), (2, 64)):
    lengths = (7, 1, 130, 64, 200)
    query, key, value, boundaries, longest = _draw(
        lengths, torch.device("cpu"), torch.float16, heads, width
    )
    expected = attend_each(query, key, value, boundaries, longest)
    torch.testing.assert_close(
        attend(query, key, value, boundaries, longest), expected, atol=2e-3, rtol=0
    )
    # As the encoder gives them: parts of one tensor.
    query, key, value = torch.cat((query, key, value), dim=1).chunk(3, dim=1)
    before = attend(query, key, value, boundaries, longest)
    torch.testing.assert_close(before, expected, atol=2e-3, rtol=0)
    for tensor in (query, key, value):
        tensor[8:138] += 1
    changed = (attend(query, key, value, boundaries, longest) != before).flatten(1).any(1)
    assert changed.nonzero().flatten().tolist() == list(range(8, 138)), "it leaks"
    # A longest that is none cuts longer sequences, and no others.
    cut = attend(query, key, value, boundaries, 64)
    assert torch.equal(cut[:8], before[:8]) and torch.equal(cut[138:202], before[138:202])
"""

ROTARY_AND_NORM = """
import torch
from transforms.esm.kernels.rotary_and_norm import _load_triton, _prepare_trial
from transforms.esm.kernels.trial import largest_difference

for heads, width in ((4, 8), (3, 24), (2, 64)):
    ways = _prepare_trial(_load_triton(), torch.device("cpu"), torch.float16, heads, width)
    assert largest_difference(*ways) < 1e-3
"""


@pytest.mark.parametrize("program", [ATTENTION, ROTARY_AND_NORM], ids=["attention", "rotary"])
def test_they_compute_what_torch_does(program: str) -> None:
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(REPO)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
