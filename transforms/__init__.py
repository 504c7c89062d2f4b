"""What each step does: the PTransforms of the line, for this pipeline and for others.

>>> from transforms import EmbedConfig, EmbedProteins, FindFasta, ModelConfig, ReadFasta
"""

from transforms.batching import BatchByTokens
from transforms.commits import Output
from transforms.completion import CompleteFiles
from transforms.embed import Embed, EmbedConfig, Embedding, EmbedProteins
from transforms.esm_pt import WriteEsmPt
from transforms.finding import FindFasta
from transforms.items import DeadLetter, EmbeddingBlock, Item, Protein
from transforms.model import EsmModelHandler, ModelConfig
from transforms.parts import WriteParts
from transforms.reading import ReadFasta
from transforms.residues import CheckResidues, ResiduePolicy
from transforms.skipping import SkipCommitted
from transforms.validation import ValidateEmbeddings

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
    "ReadFasta",
    "ResiduePolicy",
    "SkipCommitted",
    "ValidateEmbeddings",
    "WriteEsmPt",
    "WriteParts",
]
