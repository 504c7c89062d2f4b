"""What each step does: the PTransforms of the line, for this pipeline and for others.

>>> from transforms import EmbedConfig, EmbedProteins, FindFasta, ModelConfig, ReadFasta
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transforms.batching import BatchByTokens
    from transforms.completion import CompleteFiles
    from transforms.embed import Embed, EmbedConfig, Embedding, EmbedProteins
    from transforms.esm.model import EsmModelHandler, ModelConfig
    from transforms.esm_pt import WriteEsmPt
    from transforms.filling import WriteParts
    from transforms.inputs.finding import FindFasta
    from transforms.inputs.reading import ReadFasta
    from transforms.inputs.spreading import ReadRanges
    from transforms.inputs.watching import Watched, WatchFasta
    from transforms.items import DeadLetter, EmbeddingBlock, Item, Protein
    from transforms.output.commits import Output
    from transforms.pubsub import PullFromPubSub
    from transforms.pulls import ReadMessages
    from transforms.residues import CheckResidues, ResiduePolicy
    from transforms.skipping import SkipCommitted
    from transforms.validation import ValidateEmbeddings

_MODULES = {
    "BatchByTokens": "batching",
    "CheckResidues": "residues",
    "CompleteFiles": "completion",
    "DeadLetter": "items",
    "Embed": "embed",
    "EmbedConfig": "embed",
    "EmbedProteins": "embed",
    "Embedding": "embed",
    "EmbeddingBlock": "items",
    "EsmModelHandler": "esm.model",
    "FindFasta": "inputs.finding",
    "Item": "items",
    "ModelConfig": "esm.model",
    "Output": "output.commits",
    "Protein": "items",
    "PullFromPubSub": "pubsub",
    "ReadFasta": "inputs.reading",
    "ReadMessages": "pulls",
    "ReadRanges": "inputs.spreading",
    "ResiduePolicy": "residues",
    "SkipCommitted": "skipping",
    "ValidateEmbeddings": "validation",
    "WatchFasta": "inputs.watching",
    "Watched": "inputs.watching",
    "WriteEsmPt": "esm_pt",
    "WriteParts": "filling",
}

__all__ = [
    "BatchByTokens",
    "CheckResidues",
    "CompleteFiles",
    "DeadLetter",
    "Embed",
    "EmbedConfig",
    "EmbedProteins",
    "Embedding",
    "EmbeddingBlock",
    "EsmModelHandler",
    "FindFasta",
    "Item",
    "ModelConfig",
    "Output",
    "Protein",
    "PullFromPubSub",
    "ReadFasta",
    "ReadMessages",
    "ReadRanges",
    "ResiduePolicy",
    "SkipCommitted",
    "ValidateEmbeddings",
    "WatchFasta",
    "Watched",
    "WriteEsmPt",
    "WriteParts",
]


def __getattr__(name: str) -> Any:
    """Imports what is asked for, so that a verb that only reads does not wait for torch."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
