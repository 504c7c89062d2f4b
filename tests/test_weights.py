from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import EsmModel

from tests.model_helpers import copy_checkpoint, embed_alone, hidden_states, load_reference
from transforms.errors import ConfigurationError, DeviceError
from transforms.esm.checkpoints import find_checkpoint
from transforms.esm.weights import load_encoder

SEQUENCE = "MKTAYIAKQRQISFVKSHFSRQ"


def load(model: str | Path, dtype: str = "float32") -> torch.nn.Module:
    return load_encoder(find_checkpoint(str(model)), dtype, "cpu")


@pytest.fixture(scope="module")
def reference(tiny_checkpoint: Path) -> EsmModel:
    return load_reference(tiny_checkpoint)


def replace_weights(checkpoint: Path, weights: dict[str, torch.Tensor]) -> None:
    for file in checkpoint.glob("*.safetensors"):
        file.unlink()
    torch.save(weights, checkpoint / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), "transforms.esm.weights._read"),
        (torch.OutOfMemoryError("CUDA out of memory."), "torch.nn.Module.to"),
        (torch.AcceleratorError("CUDA error: all CUDA-capable devices are busy or unavailable"),
         "torch.nn.Module.to"),
    ],
)  # fmt: skip
def test_no_room_for_the_weights_is_told_in_a_sentence(
    error: Exception, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(where, refuse)
    with pytest.raises(DeviceError, match="cannot be brought into (memory|--device cpu)") as caught:
        load("demo")
    assert str(error) in str(caught.value)


class TestFormats:
    def test_masked_lm(self, tiny_checkpoint: Path, reference: EsmModel) -> None:
        torch.testing.assert_close(
            hidden_states(load(tiny_checkpoint), SEQUENCE),
            hidden_states(reference, SEQUENCE),
            atol=1e-5,
            rtol=0,
        )

    @pytest.mark.parametrize("shard_size", ["1GB", "20KB"])
    def test_bare_encoder_in_one_file_and_in_shards(
        self, tiny_checkpoint: Path, reference: EsmModel, tmp_path: Path, shard_size: str
    ) -> None:
        reference.save_pretrained(tmp_path / "bare", max_shard_size=shard_size)
        assert torch.equal(
            hidden_states(load(tmp_path / "bare"), SEQUENCE),
            hidden_states(load(tiny_checkpoint), SEQUENCE),
        )

    def test_pickle(self, tiny_checkpoint: Path, reference: EsmModel, tmp_path: Path) -> None:
        target = copy_checkpoint(tiny_checkpoint, tmp_path / "bin")
        replace_weights(target, reference.state_dict())
        assert torch.equal(
            hidden_states(load(target), SEQUENCE), hidden_states(load(tiny_checkpoint), SEQUENCE)
        )

    def test_fast_esm_is_loaded_and_its_code_never_executed(
        self, tiny_checkpoint: Path, reference: EsmModel, tmp_path: Path
    ) -> None:
        """As Synthyra/FastESM2_650: remote code, a frequency key for each layer, a head."""
        target = copy_checkpoint(
            tiny_checkpoint,
            tmp_path / "fast",
            model_type="fast_esm",
            architectures=["FastEsmForMaskedLM"],
            auto_map={
                "AutoConfig": "modeling_fastesm.FastEsmConfig",
                "AutoModel": "modeling_fastesm.FastEsmModel",
            },
        )
        marker = tmp_path / "executed"
        (target / "modeling_fastesm.py").write_text(
            f"open({str(marker)!r}, 'w').close()\nraise SystemExit('executed')\n"
        )
        # Facebook's frequencies are rounded to half precision, and so differ from computed ones.
        frequencies = reference.rotary_embeddings.inv_freq.half().float()
        weights = {
            f"esm.{name}": tensor.clone()
            for name, tensor in reference.state_dict().items()
            if "inv_freq" not in name
        }
        for layer in range(2):
            prefix = f"esm.encoder.layer.{layer}.attention.self"
            weights[f"{prefix}.rotary_embeddings.inv_freq"] = frequencies.clone()
        weights["lm_head.dense.weight"] = torch.ones(32, 32)
        save_file(weights, target / "model.safetensors", {"format": "pt"})

        expected = load_reference(tiny_checkpoint)
        long = SEQUENCE * 10
        computed = hidden_states(expected, long)
        expected.rotary_embeddings.inv_freq.copy_(frequencies)
        loaded = hidden_states(load(target), long)
        torch.testing.assert_close(loaded, hidden_states(expected, long), atol=1e-5, rtol=0)
        assert (loaded - computed).abs().max() > 1e-4, "the checkpoint's frequencies are not used"
        assert not marker.exists()

    def test_what_a_fast_esm_config_leaves_out(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        target = copy_checkpoint(
            tiny_checkpoint,
            tmp_path / "fast",
            model_type="fast_esm",
            token_dropout=None,
            position_embedding_type=None,
        )
        assert torch.equal(
            hidden_states(load(target), SEQUENCE), hidden_states(load(tiny_checkpoint), SEQUENCE)
        )


class TestPrecision:
    @pytest.mark.parametrize("model", ["demo", "directory"])
    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_halves_keep_the_rotary_frequencies(
        self, tiny_checkpoint: Path, model: str, dtype: str
    ) -> None:
        name = model.replace("directory", str(tiny_checkpoint))
        full, half = load(name), load(name, dtype)
        assert {parameter.dtype for parameter in half.parameters()} == {getattr(torch, dtype)}
        frequencies = half.get_buffer("rotary_embeddings.inv_freq")
        assert frequencies.dtype == torch.float32
        assert torch.equal(frequencies, full.get_buffer("rotary_embeddings.inv_freq"))
        similarity = torch.cosine_similarity(
            hidden_states(half, SEQUENCE).float(), hidden_states(full, SEQUENCE), dim=1
        )
        assert similarity.min() > 0.999

    def test_ready_for_inference(self, tiny_checkpoint: Path) -> None:
        encoder = load(tiny_checkpoint)
        assert not any(module.training for module in encoder.modules())
        assert not any(parameter.requires_grad for parameter in encoder.parameters())


class TestFaults:
    def test_a_missing_parameter_is_named(
        self, tiny_checkpoint: Path, reference: EsmModel, tmp_path: Path
    ) -> None:
        weights = reference.state_dict()
        del weights["encoder.layer.1.output.dense.bias"]
        target = copy_checkpoint(tiny_checkpoint, tmp_path / "incomplete")
        replace_weights(target, weights)
        with pytest.raises(
            ConfigurationError, match=r"1 .* missing \(encoder.layer.1.output.dense.bias\)"
        ):
            load(target)

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"num_hidden_layers": 3}, "are missing"),
            ({"num_hidden_layers": 1}, "are left over"),
            ({"intermediate_size": 128}, "have another shape"),
            ({"num_attention_heads": 8}, "have another shape"),
            ({"num_attention_heads": 5}, "cannot be loaded"),
        ],
    )
    def test_a_config_that_does_not_fit(
        self, tiny_checkpoint: Path, tmp_path: Path, changes: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=said):
            load(copy_checkpoint(tiny_checkpoint, tmp_path / "other", **changes))

    def test_a_torn_file(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        target = copy_checkpoint(tiny_checkpoint, tmp_path / "torn")
        data = (target / "model.safetensors").read_bytes()
        (target / "model.safetensors").write_bytes(data[: len(data) // 2])
        with pytest.raises(ConfigurationError, match="cannot be loaded"):
            load(target)


class TestDemo:
    def test_is_the_same_everywhere(self) -> None:
        # Frozen with the fingerprint "demo-1": other numbers need another one.
        encoder = load("demo")
        query = encoder.get_parameter("encoder.layer.1.attention.self.query.weight")
        np.testing.assert_allclose(query[0, :3], [0.010113009, 0.17045705, 0.0619733], rtol=1e-6)
        np.testing.assert_allclose(
            embed_alone(encoder, SEQUENCE)[:3], [0.19309855, 0.05209942, 0.24110867], atol=1e-5
        )

    def test_leaves_the_random_state_of_torch_alone(self) -> None:
        before = torch.get_rng_state()
        load("demo")
        assert torch.equal(torch.get_rng_state(), before)

    def test_is_not_degenerate(self) -> None:
        encoder = load("demo")
        for name, parameter in encoder.named_parameters():
            if not name.startswith("contact_head"):
                assert parameter.std() > 0.01, name
        vector, of_another_order = (embed_alone(encoder, s) for s in ("MKTAYI", "IYATKM"))
        assert np.abs(vector - of_another_order).mean() > 0.1
        assert 0.5 < hidden_states(encoder, SEQUENCE).std() < 2
