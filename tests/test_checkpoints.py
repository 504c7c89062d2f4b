from __future__ import annotations

import fnmatch
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import RepositoryNotFoundError
from transformers import EsmModel

from tests.model_helpers import copy_checkpoint
from transforms.errors import ConfigurationError
from transforms.esm import hub as real_hub
from transforms.esm.architecture import read_config
from transforms.esm.checkpoints import Checkpoint, find_checkpoint
from transforms.esm.weights import load_encoder

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class TestDirectory:
    def test_is_described(self, tiny_checkpoint: Path) -> None:
        checkpoint = find_checkpoint(str(tiny_checkpoint))
        assert checkpoint == Checkpoint(
            model=str(tiny_checkpoint),
            revision=None,
            directory=str(tiny_checkpoint),
            hidden_size=32,
            layers=2,
            fingerprint=checkpoint.fingerprint,
        )

    def test_a_relative_path_becomes_absolute(
        self, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tiny_checkpoint.parent)
        assert find_checkpoint(tiny_checkpoint.name) == find_checkpoint(str(tiny_checkpoint))

    def test_a_copy_has_the_same_fingerprint(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        copy = copy_checkpoint(tiny_checkpoint, tmp_path / "copy", architectures=["Other"])
        fingerprints = {find_checkpoint(str(d)).fingerprint for d in (copy, tiny_checkpoint)}
        assert len(fingerprints) == 1

    def test_changed_weights_and_changed_architecture_have_other_fingerprints(
        self, tiny_checkpoint: Path, tmp_path: Path
    ) -> None:
        weights = copy_checkpoint(tiny_checkpoint, tmp_path / "weights")
        data = bytearray((weights / "model.safetensors").read_bytes())
        data[-1] ^= 1
        (weights / "model.safetensors").write_bytes(data)
        architecture = copy_checkpoint(
            tiny_checkpoint, tmp_path / "architecture", layer_norm_eps=1e-6
        )
        directories = (tiny_checkpoint, weights, architecture)
        assert len({find_checkpoint(str(d)).fingerprint for d in directories}) == 3

    def test_only_plain_fields_of_its_config_are_read(
        self, tiny_checkpoint: Path, tmp_path: Path
    ) -> None:
        other = copy_checkpoint(tiny_checkpoint, tmp_path / "m", auto_map={"AutoModel": "x.Y"})
        assert read_config(other) == read_config(tiny_checkpoint)

    @pytest.mark.parametrize("model", ["./nothing", "/no/such/dir", "~/nothing/here", "a/b/c"])
    def test_that_is_not_there_is_not_taken_for_a_hub_id(self, model: str) -> None:
        with pytest.raises(ConfigurationError, match=f"There is no directory {model}"):
            find_checkpoint(model)

    def test_a_file_is_no_model(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "model.safetensors").touch()
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ConfigurationError, match="There is no directory model.safetensors"):
            find_checkpoint("model.safetensors")

    @pytest.mark.parametrize("model", ["demo", "directory"])
    def test_a_revision_goes_with_a_hub_id_only(self, model: str, tiny_checkpoint: Path) -> None:
        with pytest.raises(ConfigurationError, match="Leave out --revision"):
            find_checkpoint(model.replace("directory", str(tiny_checkpoint)), "main")

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"model_type": "bert"}, "is a model of type 'bert'"),
            ({"model_type": None}, "is a model of type None"),
            ({"vocab_size": 64}, "has a vocabulary of 64 tokens, not 33"),
            ({"hidden_size": None}, "without hidden_size"),
            ({"hidden_size": "32"}, "has a hidden_size of '32'"),
            ({"token_dropout": None}, "without token_dropout"),
            ({"position_embedding_type": "absolute"}, "an ESM-1"),
        ],
    )
    def test_what_is_no_esm2_is_named(
        self, tiny_checkpoint: Path, tmp_path: Path, changes: dict[str, Any], said: str
    ) -> None:
        other = copy_checkpoint(tiny_checkpoint, tmp_path / "other", **changes)
        with pytest.raises(ConfigurationError, match=said) as caught:
            find_checkpoint(str(other))
        assert str(other) in str(caught.value)

    @pytest.mark.parametrize(("content", "said"), [(None, "has no config"), ("{", "not JSON")])
    def test_without_a_readable_config(
        self, tmp_path: Path, content: str | None, said: str
    ) -> None:
        if content is not None:
            (tmp_path / "config.json").write_text(content)
        with pytest.raises(ConfigurationError, match=said):
            find_checkpoint(str(tmp_path))

    def test_without_weights(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        other = copy_checkpoint(tiny_checkpoint, tmp_path / "other")
        (other / "model.safetensors").unlink()
        with pytest.raises(ConfigurationError, match="has no complete weights"):
            find_checkpoint(str(other))

    def test_without_one_of_its_shards(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        EsmModel.from_pretrained(tiny_checkpoint).save_pretrained(
            tmp_path / "sharded", max_shard_size="20KB"
        )
        find_checkpoint(str(tmp_path / "sharded"))
        sorted((tmp_path / "sharded").glob("*.safetensors"))[-1].unlink()
        with pytest.raises(ConfigurationError, match="has no complete weights"):
            find_checkpoint(str(tmp_path / "sharded"))


def test_the_demo_model_is_built_in() -> None:
    assert find_checkpoint("demo") == Checkpoint("demo", None, None, 128, 2, "demo-1")


class FakeHub:
    """A hub that holds one model; ``is_up`` False is a machine without a network."""

    def __init__(self, checkpoint: Path, cache: Path) -> None:
        self.files = {path.name: path for path in checkpoint.iterdir()}
        self.cache = cache
        self.is_up = True
        self.requests = 0

    def model_info(self, model: str, revision: str | None, timeout: float) -> Any:
        self.requests += 1
        if not self.is_up:
            raise ConnectionError("Name or service not known")
        return SimpleNamespace(
            sha=COMMIT, siblings=[SimpleNamespace(rfilename=name) for name in self.files]
        )

    def download(self, model: str, revision: str | None, allow_patterns: Sequence[str]) -> str:
        repository = self.cache / f"models--{model.replace('/', '--')}"
        snapshot = repository / "snapshots" / COMMIT
        snapshot.mkdir(parents=True)
        for name, path in self.files.items():
            if any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                shutil.copy(path, snapshot / name)
        (repository / "refs").mkdir()
        (repository / "refs" / (revision or "main")).write_text(COMMIT)
        return str(snapshot)


class TestHub:
    @pytest.fixture
    def hub(
        self, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> FakeHub:
        original = copy_checkpoint(tiny_checkpoint, tmp_path / "original")
        (original / "modeling.py").write_text("raise SystemExit")
        (original / "tf_model.h5").touch()
        fake = FakeHub(original, tmp_path / "cache")
        download = huggingface_hub.snapshot_download

        def snapshot_download(model: str, **options: Any) -> str:
            if options.get("local_files_only"):
                return download(model, cache_dir=fake.cache, **options)
            return fake.download(model, **options)

        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: fake)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
        real_hub.fetch.cache_clear()
        return fake

    def forget(self) -> None:
        """Does as a new process does."""
        real_hub.fetch.cache_clear()

    def test_a_model_is_fetched_and_its_commit_recorded(
        self, hub: FakeHub, tiny_checkpoint: Path
    ) -> None:
        checkpoint = find_checkpoint("some/esm")
        assert (checkpoint.model, checkpoint.revision) == ("some/esm", COMMIT)
        assert checkpoint.fingerprint == find_checkpoint(str(tiny_checkpoint)).fingerprint
        load_encoder(checkpoint, "float32", "cpu")

    def test_code_and_other_formats_are_not_fetched(self, hub: FakeHub) -> None:
        directory = find_checkpoint("some/esm").directory
        assert {path.name for path in Path(directory).iterdir()} == {
            "config.json",
            "model.safetensors",
        }

    def test_the_pickle_is_fetched_where_there_is_nothing_else(self, hub: FakeHub) -> None:
        hub.files["pytorch_model.bin"] = hub.files.pop("model.safetensors")
        hub.files["adapter_model.safetensors"] = hub.files["config.json"]  # of something else
        directory = find_checkpoint("some/esm").directory
        assert (Path(directory) / "pytorch_model.bin").exists()

    def test_shards_are_fetched_with_their_index(self, hub: FakeHub, tmp_path: Path) -> None:
        EsmModel.from_pretrained(tmp_path / "original").save_pretrained(
            tmp_path / "sharded", max_shard_size="20KB"
        )
        hub.files = {path.name: path for path in (tmp_path / "sharded").iterdir()}
        load_encoder(find_checkpoint("some/esm"), "float32", "cpu")

    def test_a_model_is_looked_up_once_in_a_process(self, hub: FakeHub) -> None:
        assert find_checkpoint("some/esm") == find_checkpoint("some/esm")
        assert hub.requests == 1

    @pytest.mark.parametrize("revision", [None, "main", COMMIT])
    def test_what_was_fetched_is_found_without_a_network(
        self, hub: FakeHub, revision: str | None
    ) -> None:
        fetched = find_checkpoint("some/esm")
        self.forget()
        hub.is_up = False
        assert find_checkpoint("some/esm", revision) == fetched

    def test_a_commit_that_was_fetched_needs_no_request(self, hub: FakeHub) -> None:
        find_checkpoint("some/esm")
        self.forget()
        find_checkpoint("some/esm", COMMIT)
        assert hub.requests == 1

    @pytest.mark.parametrize("revision", [None, COMMIT])
    def test_without_a_network_the_message_says_what_to_do(
        self, hub: FakeHub, revision: str | None
    ) -> None:
        hub.is_up = False
        with pytest.raises(ConfigurationError) as caught:
            find_checkpoint("some/esm", revision)
        message = str(caught.value)
        for words in ("cannot be fetched", "`hf download some/esm", "directory", "--model demo"):
            assert words in message
        assert "Name or service not known" in message
        assert (f"--revision {COMMIT}" in message) == (revision is not None)

    @pytest.mark.parametrize(
        ("given", "meant"),
        [
            ("dmeo", "demo"),
            ("facebook/esm2_t33_650M_UR50", "facebook/esm2_t33_650M_UR50D"),
            ("synthyra/fastesm2-650", "Synthyra/FastESM2_650"),
            ("facebook/esm2_t6_8M_UR50D", None),
            ("some/other", None),
        ],
    )
    def test_what_may_have_been_meant_is_said(
        self, hub: FakeHub, given: str, meant: str | None
    ) -> None:
        hub.is_up = False
        with pytest.raises(ConfigurationError) as caught:
            find_checkpoint(given)
        assert ("Did you mean" in str(caught.value)) == (meant is not None)
        assert meant is None or str(caught.value).endswith(f"Did you mean {meant}?")

    def test_half_a_download_is_not_taken_for_a_model(self, hub: FakeHub) -> None:
        find_checkpoint("some/esm")
        self.forget()
        hub.is_up = False
        for weights in hub.cache.rglob("model.safetensors"):
            weights.unlink()
        with pytest.raises(ConfigurationError, match="cannot be fetched"):
            find_checkpoint("some/esm")

    def test_a_model_that_the_hub_does_not_have(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*args: Any, **options: Any) -> Any:
            response = SimpleNamespace(headers={}, request=None)
            raise RepositoryNotFoundError("404", response=response)

        monkeypatch.setattr(hub, "model_info", refuse)
        with pytest.raises(ConfigurationError, match="hub has no model some/esm"):
            find_checkpoint("some/esm")
