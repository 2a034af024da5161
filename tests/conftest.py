"""Settings every test shares: one thread (two cores are shared), no network, no GPU, shapes checked."""

import gc
import os

import pytest
import typecheck
from hypothesis import HealthCheck, settings
from threadpoolctl import threadpool_limits

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

threadpool_limits(int(os.environ["OMP_NUM_THREADS"]))  # pytest's plugins have loaded NumPy's library by now
typecheck.check_shapes()
# how fast inputs are made says something of the machine and its other work, nothing of the code
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    """Hide GPUs from a run that leaves out the tests made for them: the others compare with the CPU."""
    if "not gpu" in config.option.markexpr:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


LONG = (
    "test_notebooks", "test_matrix", "test_real_text_presets", "test_recipes", "test_training_programs",
    "evaluation/test_transfer", "experiments/test_transfer", "test_bootstrap", "test_wheel", "test_adopt",
)  # fmt: skip
"""Files of half a minute and more. Were one of them the last, its worker would end alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first, each file in its own order."""
    items.sort(key=lambda item: not any(f"{name}.py" in item.nodeid for name in LONG))


def pytest_collection_finish() -> None:
    """Leave what was imported out of every later garbage collection: walking it takes .3 s each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Stand a folder in for the Hugging Face hub."""
    from local_hub import local_hub

    return local_hub(tmp_path / "hub", monkeypatch)
