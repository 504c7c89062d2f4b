"""``python -m pipeline.launch``: profiles, and what is refused."""

from __future__ import annotations

import importlib.util
import re
import shlex
import socket
import sys
from pathlib import Path

import pytest

from pipeline.launch import main
from pipeline.launching.command import REFUSALS, Ready, describe, find_mistakes, prepare
from pipeline.launching.engines import ENGINES, make_launch, make_launch_parser
from pipeline.option_groups.beam import given_beam_options
from pipeline.options import parse_options
from pipeline.runners import GraphError
from tests.command import exit_code_of
from transforms.errors import ConfigurationError

GCP = importlib.util.find_spec("apitools") is not None
DOCS = Path(__file__).parents[1] / "docs/launching.md"
MINOR = sys.version_info.minor
IMAGE = f"us-docker.pkg.dev/p/r/fastesm-beam:0.1.0-py3.{MINOR}"
ALLOWED = {
    "dataflow": {
        "--project": "my-project", "--region": "us-central1", "--bucket": "my-bucket",
        "--image": IMAGE, "--gpu": "nvidia-l4", "--workers": "4",
        "--input": "gs://my-bucket/in/", "--output": "gs://my-bucket/out",
    },
    "flink": {
        "--flink_master": "manager:8081", "--workers": "2", "--checkpoint_dir": "s3://b/c",
        "--input": "s3://b/in/", "--output": "s3://b/out", "--device": "cuda",
    },
    "portable": {
        "--job_endpoint": "server:8099", "--worker_pool": "pool:50000",
        "--shared_folder": "/mnt/all", "--input": "/mnt/all/in", "--output": "/mnt/all/out",
        "--device": "cpu",
    },
}  # fmt: skip


def command(engine: str, *more: str, **changed: str | None) -> list[str]:
    """What is allowed, with changes: None leaves an option out."""
    options = ALLOWED[engine] | {f"--{name}": value for name, value in changed.items()}
    given = [(name, value) for name, value in options.items() if value is not None]
    return [token for pair in given for token in pair] + list(more)


def launched(engine: str, *more: str, **changed: str | None) -> Ready:
    return prepare(engine, command(engine, *more, **changed))


def beam_of(ready: Ready) -> dict[str, object]:
    return given_beam_options(ready.config.beam_args)


L4 = "type:nvidia-l4;count:1;install-nvidia-driver:5xx"


def test_dataflow_with_a_gpu_for_the_whole_job() -> None:
    ready = launched("dataflow", "--experiments=other", "--num_workers=2")
    assert beam_of(ready) == {
        "runner": "DataflowRunner", "project": "my-project", "region": "us-central1",
        "temp_location": "gs://my-bucket/fastesm-beam/temp",
        "staging_location": "gs://my-bucket/fastesm-beam/staging",
        "sdk_container_image": IMAGE, "sdk_location": "container", "machine_type": "g2-standard-4",
        "disk_size_gb": 100, "num_workers": 2, "max_num_workers": 4,
        "number_of_worker_harness_threads": 2,
        "dataflow_service_options": [f"worker_accelerator={L4}"],
        "experiments": ["no_use_multiple_sdk_containers", "other"],
    }  # fmt: skip
    assert ready.config.model.device == "cuda"
    assert ready.config.hints == ()


def test_dataflow_with_a_gpu_for_the_inference_step() -> None:
    ready = launched(
        "dataflow",
        "--watch",
        "--disk_gb=200",
        gpu_for="inference",
        cpu_machine_type="n2-standard-8",
    )
    beam = beam_of(ready)
    assert "dataflow_service_options" not in beam
    assert "number_of_worker_harness_threads" not in beam
    assert (beam["machine_type"], beam["enable_streaming_engine"]) == ("n2-standard-8", True)
    assert beam["disk_size_gb"] == 200
    assert dict(ready.config.hints) == {
        "accelerator": f"{L4};machine_type:g2-standard-4", "max_active_bundles_per_worker": "2",
    }  # fmt: skip


def test_dataflow_with_processes_that_share_a_gpu() -> None:
    beam = beam_of(launched("dataflow", "--mps"))
    assert beam["dataflow_service_options"] == [f"worker_accelerator={L4};use_nvidia_mps"]
    assert "experiments" not in beam
    assert "number_of_worker_harness_threads" not in beam


def test_dataflow_without_a_gpu() -> None:
    ready = launched("dataflow", gpu="none", machine_type="n2-standard-16")
    assert ready.config.model.device == "cpu"
    assert "dataflow_service_options" not in beam_of(ready)
    assert beam_of(ready)["machine_type"] == "n2-standard-16"


def test_flink() -> None:
    beam = beam_of(launched("flink", "--watch", worker_pool="localhost:50001"))
    assert beam == {
        "runner": "FlinkRunner", "flink_master": "manager:8081",
        "flink_submit_uber_jar": True, "environment_type": "EXTERNAL",
        "environment_config": "localhost:50001", "sdk_worker_parallelism": "1",
        "environment_cache_millis": "600000", "parallelism": 2, "state_backend": "rocksdb",
        "state_backend_storage_path": "s3://b/c", "checkpointing_interval": "60000",
    }  # fmt: skip
    ready = launched("flink", "--checkpointing_interval=5", "--watch")
    assert beam_of(ready)["checkpointing_interval"] == "5"
    assert "checkpointing_interval" not in beam_of(launched("flink"))


def test_portable() -> None:
    beam = beam_of(launched("portable", workers="3"))
    assert (beam["runner"], beam["job_endpoint"]) == ("PortableRunner", "server:8099")
    assert beam["num_workers"] == 3
    assert (beam["environment_type"], beam["environment_config"]) == ("EXTERNAL", "pool:50000")
    beam = beam_of(launched("portable", image=IMAGE, worker_pool=None))
    assert (beam["environment_type"], beam["environment_config"]) == ("DOCKER", IMAGE)


MISTAKES = [
    # engine, what is given beside what is allowed, the mistake, what its sentence says
    ("dataflow", {"bucket": None}, [], "project, region, bucket", "--bucket is needed"),
    ("dataflow", {"image": None}, [], "project, region, bucket", "--image is needed"),
    ("dataflow", {"gpu": None}, [], "project, region, bucket", "--gpu is needed.*or none"),
    ("flink", {"flink_master": None}, [], "project, region, bucket", "--flink_master is needed"),
    ("portable", {"job_endpoint": None}, [], "project, region", "--job_endpoint is needed"),
    ("dataflow", {}, ["--runner=PrismRunner"], "an option of Beam that", "--runner is set by the"),
    ("flink", {}, ["--parallelism=9"], "an option of Beam that", "--parallelism is set by --work"),
    ("flink", {}, ["--flink_version=2.0"], "an option of Beam that", "is set by the cluster"),
    ("flink", {}, ["--gpus=0,1"], "--shard or --gpus", "--gpus divides .* --workers"),
    ("dataflow", {}, ["--shard=0/2"], "--shard or --gpus", "--shard divides"),
    ("dataflow", {}, ["--model=demo"], "the demo model", "random weights"),
    ("dataflow", {}, ["--model=./mine"], "a model in a folder", "--model ./mine .*/models/"),
    ("dataflow", {"output": "out"}, [], "local paths", r"--output out .* gs://BUCKET/output\.$"),
    ("dataflow", {"input": "/in/*.fa"}, [], "local paths", "--input /in"),
    ("dataflow", {"input_root": "/in"}, [], "local paths", "--input_root /in"),
    ("flink", {"checkpoint_dir": "c"}, [], "local paths", "--checkpoint_dir c .*--shared_folder"),
    ("portable", {"output": "/mnt/all/../o"}, [], "local paths", "--output /mnt/all/../o"),
    ("portable", {"shared_folder": "mnt/all"}, [], "local paths", "mnt/all is not absolute"),
    ("portable", {"output": "/mnt/allof/o"}, [], "local paths", "--output /mnt/allof/o"),
    ("dataflow", {"image": "r/i:0.1-py38"}, [], "an image of another Python", "Python 3.8"),
    ("dataflow", {"image": "r/i-python3.9:1"}, [], "an image of another Python", "Python 3.9"),
    (
        "portable", {"image": "py38/i:1", "worker_pool": None}, [],
        "an image of another Python", "Python 3.8",
    ),
    ("dataflow", {"image": "localhost:5000/i"}, [], "an image without a version", "no version"),
    ("dataflow", {"image": "r/i:latest"}, [], "an image without a version", "no version"),
    (
        "dataflow", {"image": f"apache/beam_python3.{MINOR}_sdk:2.77.0"}, [],
        "Beam's own image", "docker/Dockerfile",
    ),
    ("flink", {"flink_master": "manager"}, [], "a worker pool or job server", "HOST:PORT"),
    ("portable", {"worker_pool": "pool"}, [], "a worker pool or job server", "HOST:PORT"),
    ("flink", {"device": None}, [], "--device auto", "--device cuda or --device cpu"),
    ("dataflow", {}, ["--device=cpu"], "--device beside --gpu", "set by --gpu"),
    ("dataflow", {"bucket": "b"}, [], "a bucket name", "--bucket b is no name"),
    ("dataflow", {"bucket": "My_Bucket"}, [], "a bucket name", "gs://NAME/FOLDER"),
    ("dataflow", {}, ["--temp_location=/tmp/x"], "temporary files", "--temp_location has to be"),
    ("dataflow", {"region": "us-east1-b"}, [], "a zone or subnetwork", "--region us-east1[.]"),
    ("dataflow", {}, ["--worker_zone=us-east1-b"], "a zone or subnetwork", "not in --region"),
    ("dataflow", {}, ["--worker_region=us-east1"], "a zone or subnetwork", "not in --region"),
    ("dataflow", {}, ["--subnetwork=regions/us-east1/subnetworks/s"], "a zone or", "of us-east1"),
    ("dataflow", {}, ["--num_workers=5"], "more workers at the start", "Raise --workers"),
    (
        "dataflow", {}, [f"--dataflow_service_options=worker_accelerator={L4}"],
        "a GPU asked for twice", "worker_accelerator in --dataflow_service_options",
    ),
    ("dataflow", {}, [f"--resource_hints=accelerator={L4}"], "a GPU asked for twice", "--gpu_for"),
    ("dataflow", {}, [f"--inference_hint=accelerator={L4}"], "a GPU asked for twice", "--gpu_for"),
    ("dataflow", {"machine_type": "n1-standard-4"}, [], "a machine type", "g2-standard-4 and"),
    (
        "dataflow", {"gpu": "nvidia-a100-80gb", "machine_type": "a2-highgpu-1g"}, [],
        "a machine type", "a2-ultragpu-1g and",
    ),
    ("dataflow", {"gpu": "nvidia-l5"}, [], "a machine type", "Check its spelling"),
    ("dataflow", {"cpu_machine_type": "n2-standard-4"}, [], "machines without", "--gpu_for inf"),
    ("dataflow", {"gpu": "none"}, ["--mps"], "machines without", "--mps goes with a GPU"),
    (
        "dataflow", {}, ["--mps", "--experiments=no_use_multiple_sdk_containers"],
        "MPS, which is many", "one of them out",
    ),
    ("dataflow", {}, ["--experiments=use_multiple_sdk_containers"], "several processes", "--mps"),
    ("dataflow", {}, ["--mps", "--dataflow_service_options=enable_prime"], "MPS on", "Prime"),
    ("dataflow", {}, ["--flexrs_goal=COST_OPTIMIZED"], "FlexRS with", "no GPUs"),
    ("dataflow", {"gpu": "none"}, ["--flexrs_goal=COST_OPTIMIZED", "--watch"], "FlexRS", "ends"),
    (
        "dataflow", {"gpu_for": "inference"}, ["--watch", "--autoscaling_algorithm=NONE"],
        "right fitting of a watch", "needs autoscaling",
    ),
    ("flink", {"flink_master": "[local]"}, [], "a Flink of one's own", "HOST:PORT"),
    ("flink", {"checkpoint_dir": None}, ["--watch"], "--watch on Flink", "--checkpoint_dir"),
    ("flink", {}, ["--watch", "--checkpointing_interval=-1"], "--watch on Flink", "turns"),
    ("flink", {}, ["--sdk_worker_parallelism=4"], "several Python processes", "4 would be"),
    ("portable", {"image": IMAGE}, [], "a worker pool and an image", "one of --worker_pool"),
    ("portable", {"worker_pool": None}, [], "a worker pool and an image", "one of --worker_pool"),
]  # fmt: skip


@pytest.mark.parametrize(("engine", "changed", "more", "mistake", "says"), MISTAKES)
def test_a_mistake_is_refused_with_the_fix(
    engine: str, changed: dict[str, str | None], more: list[str], mistake: str, says: str
) -> None:
    argv = command(engine, *more, **changed)
    found, rest = make_launch_parser(engine).parse_known_args(argv)
    name, sentence = next(find_mistakes(make_launch(engine, found), parse_options(rest)))
    assert name.startswith(mistake)
    assert re.search(says, sentence)
    assert sentence.endswith(".")
    with pytest.raises(ConfigurationError) as caught:
        prepare(engine, argv)
    assert str(caught.value) == sentence


def test_each_mistake_is_tested_and_in_the_docs() -> None:
    named = {name for tables in REFUSALS.values() for table in tables for name in table}
    tested = {name for name in named if any(name.startswith(row[3]) for row in MISTAKES)}
    assert tested == named
    rows = set(re.findall(r"(?m)^\| ([^|]+?) \|", DOCS.read_text().replace("`", "")))
    assert named <= rows


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["spark"], "not 'spark'"),
        (["dataflow", "--gpu_count", "1"], "Unknown option --gpu_count"),
        (["dataflow", "--gpu_for", "steps"], "invalid choice: 'steps'"),
        ([], "The engine is dataflow, flink, portable, and stands first"),
        (["portable", *command("portable", "--max_dead_letters=5")], "--max_dead_letters counts"),
        (["flink", *command("flink"), "--dry_run", "--output=out"], "--output out is a path"),
    ],
)
def test_the_verb_refuses_with_exit_code_2(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(main, *argv) == 2
    assert says in capsys.readouterr().err


def test_a_file_may_hold_what_is_asked_of_the_engine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "job.yaml"
    options = {name[2:]: value for name, value in ALLOWED["flink"].items()}
    file.write_text("".join(f"{name}: {value}\n" for name, value in options.items()))
    assert exit_code_of(main, "flink", "--config", file, "--dry_run", "--workers=7") == 0
    said = capsys.readouterr().out
    assert said.startswith("python -m pipeline \\\n  --runner=FlinkRunner \\\n")
    assert "--parallelism=7 \\\n" in said
    assert "--config" not in said


def test_what_is_not_dry_is_run_with_what_was_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[list[str]] = []

    def run(argv: list[str]) -> None:
        given.append(argv)
        raise SystemExit(3)

    monkeypatch.setattr("pipeline.run.main", run)
    argv = ["flink", *command("flink", "--sinks", "parquet")]
    for more, code in ([], 3), (["--dry_run"], 0):
        assert exit_code_of(main, *argv, *more) == code
    shown = shlex.split(capsys.readouterr().out.replace("\\\n", ""))
    assert shown == ["python", "-m", "pipeline", *given[0]]


@pytest.mark.parametrize("engine", ENGINES)
def test_help_names_every_field(engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(main, engine, "--help") == 0
    said = capsys.readouterr().out
    assert all(f"--{name}" in said for name in ENGINES[engine].__dataclass_fields__)


needs_gcp = pytest.mark.skipif(
    not GCP, reason="Beam's part for Google Cloud is not installed: pip install '.[gcp]'"
)


@needs_gcp
def test_in_the_job_for_dataflow_the_inference_step_alone_has_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []
    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, lambda *args, **_: asked.append(args))
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: asked.append(address))
    ready = launched("dataflow", "--dry_run", gpu_for="inference")
    _, _, cpu, gpu = describe(ready)
    assert asked == []
    assert cpu == (
        "  Find FASTA, Read FASTA, Check residues, Skip committed, Batch by tokens, "
        "Validate embeddings, Write parts, Complete files, Write ESM pt: nothing"
    )
    assert gpu == (
        f"  Run inference: accelerator {L4};machine_type:g2-standard-4, "
        "max_active_bundles_per_worker 2"
    )


@needs_gcp
def test_in_the_job_of_a_watch_every_worker_has_a_gpu() -> None:
    _, _, steps = describe(launched("dataflow", "--dry_run", "--watch"))
    assert steps.endswith("Write ESM pt: nothing")


def test_a_job_that_beam_cannot_build_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise GraphError("no such thing")

    monkeypatch.setattr(f"{describe.__module__}.hints_by_step", fail)
    with pytest.raises(ConfigurationError, match="cannot build the job: no such thing. Mend"):
        list(describe(launched("dataflow", "--dry_run")))


@pytest.mark.skipif(GCP, reason="Beam's part for Google Cloud is installed")
def test_without_beams_part_for_dataflow_it_is_said_what_to_install() -> None:
    with pytest.raises(ConfigurationError, match=r"fastesm-beam\[gcp\]"):
        list(describe(launched("dataflow", "--dry_run")))
