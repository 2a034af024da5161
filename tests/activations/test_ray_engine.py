"""Ray writes the store that one process would have written; a worker that dies costs only its shard."""

from pathlib import Path

import pytest

from activations import extract, load_model, ray_engine
from activations.ray_engine import ShardActor
from activations.testing import tiny_model

ray = pytest.importorskip("ray", reason="Ray is an optional extra")
ray_workers = pytest.importorskip("ray_workers")  # tests/support


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Ray on this machine; gives the file that a worker makes before it dies on purpose."""
    marker = tmp_path_factory.mktemp("ray") / "died"
    seen = {ray_workers.MARKER: str(marker), "PYTHONPATH": str(Path(ray_workers.__file__).parent)}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": seen})
    yield marker
    ray.shutdown()


@pytest.fixture
def saved_model(tmp_path):
    model = tiny_model()
    model.model.save_pretrained(tmp_path / "model")
    model.tokenizer.save_pretrained(tmp_path / "model")
    return load_model(tmp_path / "model", dtype="float32")


def test_a_model_in_memory_cannot_travel(tmp_path, rows):
    with pytest.raises(ValueError, match="exists only in memory"):
        extract(tiny_model(), rows, store=tmp_path, engine="ray", progress=False)


@pytest.fixture
def small_work(monkeypatch):
    """Three shards of two rows, and two workers of one CPU each."""
    monkeypatch.setattr("activations.writer.MAX_SHARD_ROWS", 2)
    monkeypatch.setenv("SOPHISTRY_RAY_CPUS", "1")


def test_the_cluster_holds_as_many_workers_as_it_has_gpus_or_cpus(monkeypatch):
    assert ray_engine._workers({"GPU": 2.0, "CPU": 16.0}, 9) == ({"num_gpus": 1}, 2)
    monkeypatch.setenv("SOPHISTRY_RAY_CPUS", "1")
    assert ray_engine._workers({"CPU": 2.0}, 3) == ({"num_cpus": 1.0}, 2)
    assert ray_engine._workers({"CPU": 2.0}, 1) == ({"num_cpus": 1.0}, 1)


@pytest.mark.slow
def test_ray_writes_the_same_bytes_as_the_local_engine(tmp_path, rows, saved_model, cluster, small_work):
    local = extract(saved_model, rows, store=tmp_path / "local", progress=False)
    far = extract(saved_model, rows, store=tmp_path / "ray", engine="ray", progress=False)
    assert len(local.manifest["shards"]) == 3
    for file in local.path.iterdir():
        assert file.read_bytes() == (far.path / file.name).read_bytes()


@pytest.mark.slow
def test_shards_of_a_lost_worker_are_computed_again(
    tmp_path, rows, saved_model, cluster, small_work, monkeypatch
):
    local = extract(saved_model, rows, store=tmp_path / "local", progress=False)
    monkeypatch.setattr(ray_engine, "ShardActor", ray_workers.MortalActor)
    far = extract(saved_model, rows, store=tmp_path / "ray", engine="ray", progress=False)
    assert cluster.exists()  # one worker did die
    for file in local.path.iterdir():
        assert file.read_bytes() == (far.path / file.name).read_bytes()


@pytest.mark.slow
def test_a_worker_that_always_fails_is_reported_and_what_was_written_is_kept(
    tmp_path, rows, saved_model, cluster, small_work, monkeypatch
):
    local = extract(saved_model, rows, store=tmp_path / "local", progress=False)
    monkeypatch.setattr(ray_engine, "ShardActor", ray_workers.BrokenActor)
    with pytest.raises(ray_engine.RayWorkerError, match="does not fit"):
        extract(saved_model, rows, store=tmp_path / "ray", engine="ray", progress=False)
    kept = {path.name for path in (tmp_path / "ray").glob("*.part/shard-*")}
    assert kept <= {
        "shard-00000.safetensors"
    }  # whether it was written before the other failed is Ray's choice

    monkeypatch.setattr(ray_engine, "ShardActor", ray_workers.LateActor if kept else ShardActor)
    far = extract(saved_model, rows, store=tmp_path / "ray", engine="ray", progress=False)
    for file in local.path.iterdir():
        assert file.read_bytes() == (far.path / file.name).read_bytes()
