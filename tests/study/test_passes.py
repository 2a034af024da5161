"""The generating pass against the same text read again, measured."""

import numpy as np
import pytest

from activations import Capture, extract
from activations.testing import tiny_model, tiny_writer
from organisms.generate import SamplingSpec, answer
from study.passes import measure_passes, pass_difference

PROMPTS = [f"Is {n} even?" for n in range(24)]
SPEC = SamplingSpec(max_new_tokens=8, temperature=1.0, batch_size=5)


@pytest.fixture(scope="module")
def both():
    loaded = tiny_writer()
    capture = Capture(loaded, ids=[str(n) for n in range(len(PROMPTS))])
    said = answer(loaded.model, loaded.tokenizer, PROMPTS, SPEC, progress=False, capture=capture)
    kept = [n for n, given in enumerate(said) if given.text]
    rows = [{"id": str(n), "prompt": PROMPTS[n], "response": said[n].text} for n in kept]
    return capture.store, extract(loaded, rows, progress=False)


def test_in_float32_the_passes_agree_where_the_tokens_are_the_same(both):
    found = pass_difference(*both)
    assert 0 < found.same_tokens <= found.rows
    assert max(layer.max_relative for layer in found.layers) < 1e-4
    assert min(layer.min_cosine for layer in found.layers) > 1 - 1e-6
    assert [layer.layer for layer in found.layers] == [0, 1, 2]


def test_rows_that_are_cut_otherwise_when_read_again_are_counted_and_not_measured(both):
    generated, reread = both
    changed = [
        i
        for i in range(len(reread))
        if not np.array_equal(
            generated.tokens_of(generated.row_ids.index(reread.row_ids[i]))[0], reread.tokens_of(i)[0]
        )
    ]
    assert pass_difference(*both).same_tokens == len(reread) - len(changed)


def test_a_probe_is_compared_when_labels_are_given(both):
    labels = np.arange(len(both[1])) % 2
    found = pass_difference(*both, labels)
    for layer in found.layers:
        assert 0 <= layer.auroc_reread <= 1
        assert 0 <= layer.auroc_generated <= 1
    assert set(found.to_frame().columns) >= {"layer", "max_relative", "auroc_generated"}


def test_stores_that_cannot_be_compared_are_refused(both):
    other = extract(tiny_model(), [{"id": "0", "prompt": "A", "response": "other"}], progress=False)
    with pytest.raises(ValueError, match="none of 1 common rows has the same tokens"):
        pass_difference(both[0], other)
    few = extract(tiny_model(), [{"id": "0", "prompt": "A", "response": "b"}], layers=[0], progress=False)
    with pytest.raises(ValueError, match="stores of the same layers"):
        pass_difference(both[0], few)


def test_one_call_answers_reads_again_and_measures():
    said, found = measure_passes(tiny_writer(), PROMPTS[:4], SPEC, layers=[1])
    assert len(said) == 4
    assert [layer.layer for layer in found.layers] == [1]
