from __future__ import annotations

import pytest
import torch

from transforms.errors import ConfigurationError
from transforms.esm.devices import resolve_device, resolve_dtype


def set_cuda(monkeypatch: pytest.MonkeyPatch, devices: int) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: devices > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)


@pytest.mark.parametrize(
    ("name", "devices", "expected"),
    [
        ("auto", 0, "cpu"),
        ("auto", 1, "cuda"),
        ("cpu", 1, "cpu"),
        ("cuda", 1, "cuda"),
        ("cuda:0", 1, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_a_device_that_is_there(
    monkeypatch: pytest.MonkeyPatch, name: str, devices: int, expected: str
) -> None:
    set_cuda(monkeypatch, devices)
    assert resolve_device(name) == expected


@pytest.mark.parametrize(
    ("name", "devices", "said"),
    [
        ("cuda", 0, "finds no CUDA device"),
        ("cuda:0", 0, "finds no CUDA device"),
        ("cuda:1", 1, "has only cuda:0"),
        ("cuda:2", 2, "has cuda:0 to cuda:1"),
    ],
)
def test_a_cuda_device_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, name: str, devices: int, said: str
) -> None:
    set_cuda(monkeypatch, devices)
    with pytest.raises(ConfigurationError, match=said) as caught:
        resolve_device(name)
    assert f"--device {name}" in str(caught.value)


def test_a_device_of_other_machines_is_taken_at_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    set_cuda(monkeypatch, 0)
    assert resolve_device("cuda:3", is_here=False) == "cuda:3"
    assert resolve_device("auto", is_here=False) == "cpu"
    with pytest.raises(ConfigurationError, match="--device is auto"):
        resolve_device("gpu", is_here=False)


def test_a_cpu_build_of_torch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    with pytest.raises(ConfigurationError, match="built for the CPU"):
        resolve_device("cuda")


@pytest.mark.parametrize("is_available", [True, False])
def test_mps_only_by_name(monkeypatch: pytest.MonkeyPatch, is_available: bool) -> None:
    set_cuda(monkeypatch, 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: is_available)
    assert resolve_device("auto") == "cpu"
    if is_available:
        assert resolve_device("mps") == "mps"
    else:
        with pytest.raises(ConfigurationError, match="--device mps"):
            resolve_device("mps")


@pytest.mark.parametrize(
    "name", ["", "gpu", "CUDA", "cuda:", "cuda:x", "cuda:-1", "cuda:01", "cpu:0", "tpu"]
)
def test_an_unknown_device(name: str) -> None:
    with pytest.raises(ConfigurationError, match="--device is auto, cpu"):
        resolve_device(name)


@pytest.mark.parametrize(
    ("name", "device", "expected"),
    [
        ("auto", "cuda", "float16"),
        ("auto", "cuda:3", "float16"),
        ("auto", "cpu", "float32"),
        ("auto", "mps", "float32"),
        ("float32", "cuda", "float32"),
        ("float16", "cpu", "float16"),
        ("bfloat16", "cpu", "bfloat16"),
    ],
)
def test_dtypes(name: str, device: str, expected: str) -> None:
    assert resolve_dtype(name, device) == expected


@pytest.mark.parametrize("name", ["", "half", "float64", "int8"])
def test_an_unknown_dtype(name: str) -> None:
    with pytest.raises(ConfigurationError, match="--dtype is auto, float16"):
        resolve_dtype(name, "cpu")
