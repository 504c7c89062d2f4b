"""The list of what is measured: names, what they stand for, and the budgets that they try."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from benchmarks.peer import Peer, Setting

# On a CPU small passes are fast, because they stay in its caches; on a GPU large ones.
_BUDGETS = {"cpu": (1024, 2048, 4096, 8192), "cuda": (2048, 4096, 8192, 16384, 32768, 65536)}


@dataclass(frozen=True)
class Entry:
    """A program and how it is run.

    Attributes:
        label: What tables call it.
        module: In ``benchmarks.peers``.
        function: Loads it.
        packages: Distributions whose versions belong to the result.
        is_tuned: Whether it is given the best of several budgets, or its own default.
    """

    label: str
    module: str
    function: str = "load"
    packages: tuple[str, ...] = ()
    is_tuned: bool = False

    def load(self, setting: Setting) -> Peer:
        """Loads the program with its weights."""
        module = import_module(f"benchmarks.peers.{self.module}")
        peer: Peer = getattr(module, self.function)(setting)
        return peer

    def budgets(self, device: str) -> tuple[int, ...]:
        """Returns the budgets to choose from, in tokens; empty for the program's default."""
        return _BUDGETS[device] if self.is_tuned else ()


OURS = "ours"
REFERENCE = "reference"

ENTRIES = {
    REFERENCE: Entry("the reference: float32, eager, one by one", "hugging_face", "load_reference"),
    OURS: Entry("ours, end to end through Beam", "ours"),
    "ours-handler": Entry("ours, model handler alone", "ours_handler"),
    "script": Entry("the script's loop", "script"),
    "transformers-single": Entry("transformers, one by one", "hugging_face", "load_single"),
    "transformers-padded": Entry(
        "transformers, sorted and padded", "hugging_face", "load_padded", is_tuned=True
    ),
    "fair-esm": Entry("fair-esm", "fair_esm", packages=("fair-esm",), is_tuned=True),
    "fastplms-default": Entry("FastPLMs, defaults", "fastplms", "load_default"),
    "fastplms-tuned": Entry("FastPLMs, tuned", "fastplms", "load_tuned", is_tuned=True),
    "onnxruntime": Entry(
        "onnxruntime, sorted and padded",
        "onnx_runtime",
        packages=("onnxruntime", "onnx", "onnxscript"),
        is_tuned=True,
    ),
    "esm-cpp": Entry("esm.cpp, one by one", "esm_cpp", packages=("esm-cpp",)),
    "esm-efficient": Entry(
        "esm-efficient, packed",
        "esm_efficient",
        packages=("esm-efficient", "flash-attn"),
        is_tuned=True,
    ),
}

MEASURED = tuple(name for name in ENTRIES if name != REFERENCE)
"""In the order of tables."""
