"""How many tokens a forward pass may have: what fills the device, and fits into its memory.

torch is imported where it is asked, so that a command without a model need not wait for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

CPU_TOKENS = 2048
"""On a CPU more is slower: activations leave its cache."""

CUDA_TOKENS = 32_768
"""Launching the kernels of 33 layers takes about 25 ms on any GPU, in which a fast one computes
15,000 tokens of a 650M model: with fewer it waits."""

_TRIAL_TOKENS, _TRIAL_SEQUENCES = 4096, 8
_MEMORY_SHARE = 0.8


@dataclass
class PassBudget:
    """Tokens of one pass, for as long as memory allows them.

    Attributes:
        tokens: The budget of the next pass.
    """

    tokens: int

    def ran_out(self, tokens: int) -> None:
        """Remembers that a pass did not fit into memory; those to come have half its tokens."""
        self.tokens = max(min(self.tokens, tokens // 2), 1)


def usual_tokens(device: str) -> int:
    """Returns the tokens of a pass that fill a device, e.g. ``cpu`` or ``cuda:0``."""
    return CUDA_TOKENS if device.startswith("cuda") else CPU_TOKENS


def full_pass(device: str) -> int:
    """Returns the tokens that fill a device, e.g. ``auto``, ``cpu`` or ``cuda:0``."""
    import torch

    is_auto_cuda = device == "auto" and torch.cuda.is_available()
    return usual_tokens("cuda" if is_auto_cuda else device)


def find_budget(model: nn.Module) -> PassBudget:
    """Returns the tokens that fill the device of a model, or as many as its memory can take.

    On CUDA a small pass is run to see what a token takes.
    """
    from transforms.esm.device_errors import is_out_of_memory

    parameter = next(model.parameters(), None)
    if parameter is None or parameter.device.type != "cuda":
        return PassBudget(CPU_TOKENS)
    try:
        fitting = _count_fitting(model, parameter.device)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        fitting = _TRIAL_TOKENS // 2
    return PassBudget(max(min(CUDA_TOKENS, fitting), 1))


def _count_fitting(model: nn.Module, device: torch.device) -> int:
    import torch

    from transforms.esm.forward import embed_rows
    from transforms.esm.packing import Row

    row = Row("A" * (_TRIAL_TOKENS // _TRIAL_SEQUENCES - 2), 0, 1)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    embed_rows(model, [row] * _TRIAL_SEQUENCES)
    per_token = (torch.cuda.max_memory_allocated(device) - before) / _TRIAL_TOKENS
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    free = torch.cuda.mem_get_info(device)[0] + unused
    return int(_MEMORY_SHARE * free / per_token)
