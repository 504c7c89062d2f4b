"""ESM-2's encoder on packed sequences: nothing is computed for padding.

The arithmetic is that of transformers' ``EsmModel``, whose parameters it takes over: the embedding
with its token-dropout scale, layer norms before attention and feed-forward, rotary positions from
0 at ``<cls>``, exact GELU. Query, key and value are one matrix product.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from transforms.attention import Attend, choose_attention
from transforms.encoding import EOS, VOCAB
from transforms.packing import Pack

# oneDNN keeps what it makes for a shape, and each pass has a number of tokens of its own: the 1,024
# that it would keep take 300 MB and save no time. It looks when it is first used.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8")


class PackedEncoder(nn.Module):
    """An ESM-2 encoder that takes packs.

    Args:
        encoder: transformers' ``EsmModel`` with rotary positions, on its device.
        attention: Name of the back end.
        attend: The back end.

    Attributes:
        attention: Name of the back end.
        layers: The layers.
        run_layers: What computes them: themselves, or what they were compiled to.
    """

    def __init__(self, encoder: Any, attention: str, attend: Attend) -> None:
        super().__init__()
        self.attention = attention
        self._embeddings = nn.Buffer(_embed_each_token(encoder))
        heads = encoder.config.num_attention_heads
        self.layers = nn.ModuleList(_Layer(layer, heads, attend) for layer in encoder.encoder.layer)
        self.run_layers: list[Callable[..., Tensor]] = list(self.layers)
        self._norm: nn.Module = encoder.encoder.emb_layer_norm_after
        frequencies = encoder.rotary_embeddings.inv_freq
        self._frequencies = nn.Buffer(frequencies.to(self._embeddings.device).float())
        self._angles = self._embeddings.new_zeros((2, 0, 0), dtype=torch.float32)

    def forward(self, packed: Pack) -> Tensor:
        """Returns the last hidden states of all tokens, (T, D), in the dtype of the parameters."""
        cos, sin = self._rotation(packed.positions, packed.longest)
        hidden = functional.embedding(packed.token_ids, self._embeddings)
        for run in self.run_layers:
            hidden = run(hidden, cos, sin, packed.boundaries, packed.longest)
        normed: Tensor = self._norm(hidden)
        return normed

    def _rotation(self, positions: Tensor, longest: int) -> tuple[Tensor, Tensor]:
        """Returns cosine and sine for each token, float32 of shape (T, 1, d)."""
        known = self._angles  # another thread may replace them
        if known.shape[1] < longest:
            places = torch.arange(longest, device=positions.device).float()
            angles = torch.outer(places, self._frequencies).repeat(1, 2)
            self._angles = known = torch.stack((angles.cos(), angles.sin()))
        cos, sin = known.index_select(1, positions)[:, :, None]
        return cos, sin


class _Layer(nn.Module):
    def __init__(self, layer: Any, heads: int, attend: Attend) -> None:
        super().__init__()
        attention = layer.attention
        projections = [getattr(attention.self, name) for name in ("query", "key", "value")]
        self._heads = heads
        self._attend = attend
        self._attention_norm: nn.Module = attention.LayerNorm
        self._qkv_weight = nn.Buffer(torch.cat([p.weight for p in projections]))
        self._qkv_bias = nn.Buffer(torch.cat([p.bias for p in projections]))
        self._attention_output: nn.Module = attention.output.dense
        self._feed_forward_norm: nn.Module = layer.LayerNorm
        self._intermediate: nn.Module = layer.intermediate.dense
        self._output: nn.Module = layer.output.dense

    def forward(
        self, hidden: Tensor, cos: Tensor, sin: Tensor, boundaries: Tensor, longest: int
    ) -> Tensor:
        normed = self._attention_norm(hidden)
        qkv = functional.linear(normed, self._qkv_weight, self._qkv_bias)
        qkv = qkv.view(len(qkv), 3 * self._heads, -1)
        rotated = rotate(qkv[:, : 2 * self._heads], cos, sin)
        query, key = rotated.chunk(2, dim=1)
        attended = self._attend(query, key, qkv[:, 2 * self._heads :], boundaries, longest)
        hidden = hidden + self._attention_output(attended.flatten(1))
        intermediate = functional.gelu(self._intermediate(self._feed_forward_norm(hidden)))
        output: Tensor = self._output(intermediate)
        return hidden + output


def rotate(projected: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Applies rotary positions, in float32; in place where that is the dtype.

    Args:
        projected: Queries and keys, (T, heads, d).
        cos: float32 of shape (T, 1, d).
        sin: The same.
    """
    exact = projected.to(cos.dtype)
    half = exact.shape[-1] // 2
    turned = torch.cat((-exact[..., half:], exact[..., :half]), dim=-1)
    return exact.mul_(cos).addcmul_(turned, sin).to(projected.dtype)


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
    chosen = choose_attention(parameter.device, parameter.dtype, heads, width // heads)
    return PackedEncoder(encoder, *chosen).eval() if chosen else encoder
