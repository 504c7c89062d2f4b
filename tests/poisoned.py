"""The command with a model that kills its process, or breaks its device, on certain sequences.

python -m tests.poisoned kill|break RESIDUES [options of the command]
"""

from __future__ import annotations

import os
import signal
import sys

import torch
from torch.utils.hooks import RemovableHandle

from pipeline.run import main
from transforms.esm.encoding import encode
from transforms.esm.model import EsmModelHandler, ModelConfig
from transforms.esm.packing import Pack


def poison(how: str, residues: str) -> RemovableHandle:
    """Makes the demo model of this process die of every sequence that holds these residues."""
    ids = torch.from_numpy(encode(residues))[1:-1]

    def look(module: torch.nn.Module, args: tuple[Pack]) -> None:
        given = args[0].token_ids
        if len(given) < len(ids) or not (given.unfold(0, len(ids), 1) == ids).all(-1).any():
            return
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError("CUDA error: device-side assert triggered")

    # The command finds this very model, for a process loads it once.
    model = EsmModelHandler(ModelConfig("demo", None, "float32", "cpu")).load_model()
    return model.register_forward_pre_hook(look)


if __name__ == "__main__":
    poison(sys.argv[1], sys.argv[2])
    main(sys.argv[3:])
