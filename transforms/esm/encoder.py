"""ESM-2's encoder on packed sequences: nothing is computed for padding.

The arithmetic is that of transformers' ``EsmModel``, whose parameters it takes over: the embedding
with its token-dropout scale, layer norms before attention and feed-forward, rotary positions from
0 at ``<cls>``, exact GELU. Query, key and value are one matrix product.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from itertools import islice
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from transforms.esm.encoding import EOS, VOCAB
from transforms.esm.kernels.attention import Attend, choose_attention
from transforms.esm.kernels.rotary_and_norm import (
    PLAIN,
    Angles,
    RotaryAndNorm,
    choose_rotary_and_norm,
)
from transforms.esm.packing import Pack

# oneDNN keeps what it makes for a shape, and each pass has a number of tokens of its own: the 1,024
# that it would keep take 300 MB and save no time. It looks when it is first used.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8")


class PackedEncoder(nn.Module):
    """An ESM-2 encoder that takes packs.

    Args:
        encoder: transformers' ``EsmModel`` with rotary positions, on its device.
        attention: Name of the back end.
        attend: The back end.
        around: How rotary positions and layer norms are computed.

    Attributes:
        name: Of attention and kernels, for reports.
    """

    def __init__(
        self, encoder: Any, attention: str, attend: Attend, around: RotaryAndNorm = PLAIN
    ) -> None:
        super().__init__()
        self.name = ", ".join(filter(None, (attention, around.name)))
        self._around = around
        self._embeddings = nn.Buffer(_embed_each_token(encoder))
        heads = encoder.config.num_attention_heads
        layers = encoder.encoder.layer
        self._layers = nn.ModuleList(_Layer(layer, heads, attend, around) for layer in layers)
        # One before each layer's attention, and one behind the last.
        norms = [layer.attention.LayerNorm for layer in layers]
        self._norms = nn.ModuleList([*norms, encoder.encoder.emb_layer_norm_after])
        frequencies = encoder.rotary_embeddings.inv_freq
        self._frequencies = nn.Buffer(frequencies.to(self._embeddings.device).float())
        self._angles = self._embeddings.new_zeros((2, 0, 0), dtype=torch.float32)

    def forward(self, packed: Pack) -> Tensor:
        """Returns the last hidden states of all tokens, (T, D), in the dtype of the parameters."""
        longest = packed.longest
        angles = self._around.choose_angles(packed.positions, *self.tabulate_angles(longest))
        hidden = functional.embedding(packed.token_ids, self._embeddings)
        normed = self._norms[0](hidden)
        for layer, norm in zip(self._layers, islice(self._norms, 1, None), strict=True):
            hidden, normed = layer(hidden, normed, norm, angles, packed.boundaries, longest)
        return cast(Tensor, normed)

    def embed(self, packed: Pack) -> Tensor:
        """Returns for each sequence the mean over the residues that count.

        Sums in float32, and one sequence by itself, so that nothing leaks from its neighbours.

        Returns:
            float32 of shape (B, D).
        """
        states = self(packed).float()
        # Unchecked: to check, the lengths would have to be asked of the device.
        sums = torch.segment_reduce(states, "sum", lengths=packed.segments, unsafe=True)
        return sums[1::3] / packed.segments[1::3, None]

    def tabulate_angles(self, longest: int) -> Tensor:
        """Returns cosine and sine for each position and frequency.

        Args:
            longest: Positions that are asked for.

        Returns:
            float32 of shape (2, P, d / 2), P >= ``longest``; the same tensor for a shorter one.
        """
        known = self._angles  # another thread may replace them
        if known.shape[1] < longest:
            places = torch.arange(longest, device=self._frequencies.device).float()
            angles = torch.outer(places, self._frequencies)
            self._angles = known = torch.stack((angles.cos(), angles.sin()))
        return known


class _Layer(nn.Module):
    def __init__(self, layer: Any, heads: int, attend: Attend, around: RotaryAndNorm) -> None:
        super().__init__()
        attention = layer.attention
        projections = [getattr(attention.self, name) for name in ("query", "key", "value")]
        self._heads = heads
        self._attend = attend
        self._around = around
        self._qkv_weight = nn.Buffer(torch.cat([p.weight for p in projections]))
        self._qkv_bias = nn.Buffer(torch.cat([p.bias for p in projections]))
        self._attention_output: nn.Module = attention.output.dense
        self._feed_forward_norm: nn.LayerNorm = layer.LayerNorm
        self._intermediate: nn.Module = layer.intermediate.dense
        self._output: nn.Module = layer.output.dense

    def forward(
        self,
        hidden: Tensor,
        normed: Tensor,
        next_norm: nn.LayerNorm,
        angles: Angles,
        boundaries: Tensor,
        longest: int,
    ) -> tuple[Tensor, Tensor]:
        """Returns the hidden states behind the layer, and their norm for the next one."""
        qkv = functional.linear(normed, self._qkv_weight, self._qkv_bias)
        qkv = qkv.view(len(qkv), 3 * self._heads, -1)
        query, key, value = self._around.rotate(qkv, self._heads, angles)
        attended = self._attend(query, key, value, boundaries, longest)
        hidden, normed = self._around.add_and_norm(
            hidden, self._attention_output(attended.flatten(1)), self._feed_forward_norm
        )
        intermediate = functional.gelu(self._intermediate(normed))
        return self._around.add_and_norm(hidden, self._output(intermediate), next_norm)


@torch.inference_mode()
def _embed_each_token(encoder: Any) -> Tensor:
    """Returns what the encoder's own embedding makes of each token, (33, D)."""
    device = next(encoder.parameters()).device
    ids = torch.arange(len(VOCAB), device=device)
    # Masked tokens have no embedding of their own, and none is ever given.
    ids[VOCAB.index("<mask>")] = EOS
    embedded: Tensor = encoder.embeddings(
        input_ids=ids[:, None], attention_mask=torch.ones_like(ids)[:, None]
    )
    return embedded[:, 0].clone()


def pack_encoder(encoder: Any) -> nn.Module:
    """Returns the encoder in the form that is fastest on its device.

    Args:
        encoder: transformers' ``EsmModel``, as ``load_encoder`` returns it. It must not be used
            any more: its parameters are taken over.

    Returns:
        A :class:`PackedEncoder`, or the encoder itself where padded batches are the better way.
    """
    parameter = next(encoder.parameters())
    config = encoder.config
    heads, width = config.num_attention_heads, config.hidden_size
    kind = parameter.device, parameter.dtype, heads, width // heads
    # Triton launches on the current device, whatever the tensors lie on.
    with torch.cuda.device(parameter.device) if parameter.is_cuda else nullcontext():
        if not (chosen := choose_attention(*kind)):
            plain: nn.Module = encoder
            return plain
        return PackedEncoder(encoder, *chosen, choose_rotary_and_norm(*kind)).eval()
