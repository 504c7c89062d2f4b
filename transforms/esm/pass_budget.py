"""How many tokens a forward pass may have: what fills the device, and fits into its memory."""

from __future__ import annotations

import torch
from torch import nn

from transforms.esm.bisection import is_out_of_memory
from transforms.esm.forward import embed_rows
from transforms.esm.packing import Row
from transforms.esm.slicing import CPU_TOKENS, CUDA_TOKENS, PassBudget, usual_tokens

_TRIAL_TOKENS, _TRIAL_SEQUENCES = 4096, 8
_MEMORY_SHARE = 0.8


def full_pass(device: str) -> int:
    """Returns the tokens that fill a device, e.g. ``auto``, ``cpu`` or ``cuda:0``."""
    is_auto_cuda = device == "auto" and torch.cuda.is_available()
    return usual_tokens("cuda" if is_auto_cuda else device)


def find_budget(model: nn.Module) -> PassBudget:
    """Returns the tokens that fill the device of a model, or as many as its memory can take.

    On CUDA a small pass is run to see what a token takes.
    """
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
    row = Row("A" * (_TRIAL_TOKENS // _TRIAL_SEQUENCES - 2), 0, 1)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    embed_rows(model, [row] * _TRIAL_SEQUENCES)
    per_token = (torch.cuda.max_memory_allocated(device) - before) / _TRIAL_TOKENS
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    free = torch.cuda.mem_get_info(device)[0] + unused
    return int(_MEMORY_SHARE * free / per_token)
