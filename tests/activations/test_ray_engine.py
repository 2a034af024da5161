"""Ray writes the store that one process would have written; a worker that dies costs only its shard."""

import pytest

from activations import extract, load_model
from activations.testing import tiny_model

ray = pytest.importorskip("ray", reason="Ray is an optional extra")


@pytest.fixture(scope="module")
def cluster():
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield
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


@pytest.mark.slow
def test_ray_writes_the_same_bytes_as_the_local_engine(tmp_path, rows, saved_model, cluster, monkeypatch):
    monkeypatch.setattr("activations.writer.MAX_SHARD_ROWS", 2)
    monkeypatch.setenv("SOPHISTRY_RAY_CPUS", "1")
    local = extract(saved_model, rows, store=tmp_path / "local", progress=False)
    far = extract(saved_model, rows, store=tmp_path / "ray", engine="ray", progress=False)
    assert len(local.manifest["shards"]) == 3
    for file in local.path.iterdir():
        assert file.read_bytes() == (far.path / file.name).read_bytes()
