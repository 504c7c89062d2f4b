"""What each step does: the PTransforms of the line, for this pipeline and for others.

>>> from transforms import EmbedConfig, EmbedProteins, FindFasta, ModelConfig, ReadFasta
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transforms.batching import BatchByTokens as BatchByTokens
    from transforms.completion import CompleteFiles as CompleteFiles
    from transforms.embed import Embed as Embed
    from transforms.embed import EmbedConfig as EmbedConfig
    from transforms.embed import Embedding as Embedding
    from transforms.embed import EmbedProteins as EmbedProteins
    from transforms.esm.model import EsmModelHandler as EsmModelHandler
    from transforms.esm.model import ModelConfig as ModelConfig
    from transforms.esm_pt import WriteEsmPt as WriteEsmPt
    from transforms.filling import WriteParts as WriteParts
    from transforms.inputs.finding import FindFasta as FindFasta
    from transforms.inputs.reading import ReadFasta as ReadFasta
    from transforms.inputs.spreading import ReadRanges as ReadRanges
    from transforms.inputs.watching import Watched as Watched
    from transforms.inputs.watching import WatchFasta as WatchFasta
    from transforms.items import DeadLetter as DeadLetter
    from transforms.items import EmbeddingBlock as EmbeddingBlock
    from transforms.items import Item as Item
    from transforms.items import Protein as Protein
    from transforms.output.commits import Output as Output
    from transforms.pubsub import PullFromPubSub as PullFromPubSub
    from transforms.pulls import ReadMessages as ReadMessages
    from transforms.residues import CheckResidues as CheckResidues
    from transforms.residues import ResiduePolicy as ResiduePolicy
    from transforms.skipping import SkipCommitted as SkipCommitted
    from transforms.validation import ValidateEmbeddings as ValidateEmbeddings

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

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    """Imports what is asked for, so that a verb that only reads does not wait for torch."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
