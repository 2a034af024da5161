"""Other libraries' bars and deprecations stay off a person's terminal; what concerns the weights does not."""

import sys
import warnings

import pytest
from transformers.utils import logging as transformers_logging

from activations import load_model
from activations.testing import tiny_model
from organisms.finetune import FineTuneSpec
from organisms.weights import open_trainable
from sophistry.quiet import quiet_libraries


def test_loading_and_adapting_show_no_foreign_bar_or_notice(tmp_path, capfd):
    tiny = tiny_model()
    tiny.model.save_pretrained(tmp_path)
    tiny.tokenizer.save_pretrained(tmp_path)
    capfd.readouterr()
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        assert load_model(tmp_path, dtype="float32").model is not None
        open_trainable(str(tmp_path), None, FineTuneSpec(rank=2))
    foreign = [w for w in shown if issubclass(w.category, FutureWarning)]
    assert not foreign
    assert capfd.readouterr().err == ""


def test_bars_are_as_before_afterwards():
    before = transformers_logging.is_progress_bar_enabled()
    transformers_logging.enable_progress_bar()
    try:
        with quiet_libraries():
            assert not transformers_logging.is_progress_bar_enabled()
        assert transformers_logging.is_progress_bar_enabled()
    finally:
        if not before:
            transformers_logging.disable_progress_bar()


def test_other_warnings_are_still_shown():
    with pytest.warns(UserWarning, match="weights are odd"), quiet_libraries():
        warnings.warn("weights are odd", UserWarning, stacklevel=1)


def test_a_library_that_the_block_is_the_first_to_import_is_silent_too(tmp_path, monkeypatch):
    (tmp_path / "datasets.py").write_text(
        "off = False\n"
        "def are_progress_bars_disabled(): return off\n"
        "def disable_progress_bars(): global off; off = True\n"
        "def enable_progress_bars(): global off; off = False\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "datasets", None)
    del sys.modules["datasets"]  # as in a new process; what was there comes back after the test
    with quiet_libraries("datasets"):
        import datasets

        assert datasets.are_progress_bars_disabled()
    assert not datasets.are_progress_bars_disabled()
