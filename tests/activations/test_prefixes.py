"""Sharing a prefix saves tokens and changes nothing: suffixes see the prefix and themselves only."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from activations import extract
from activations.compute import compute_shard
from activations.extract import make_reader
from activations.job import plan_job
from activations.prefixes import ROUND, PrefixGroup, plan_prefixes, plan_trees, profitable
from activations.testing import tiny_model

STORY = "There was a fox who read the news every day. "
OPTIONS = {
    "sites": "resid_post",
    "layers": "all",
    "tokens": "response_mean",
    "backend": "hf",
    "token_budget": None,
    "store_dtype": None,
    "strict": False,
}


@pytest.fixture
def family():
    """Two stories with several questions each, an odd row, and the same row twice under two ids."""
    rows = [
        {"id": f"a{i}", "prompt": STORY * 3 + f"Question {i}" * i, "response": f"Answer {i * 7}!"}
        for i in range(4)
    ]
    rows += [{"id": f"b{i}", "prompt": STORY[::-1] + "?" * i, "response": "Yes." * (i + 1)} for i in range(3)]
    rows += [{"id": "odd", "prompt": "Alone", "response": "Here."}]
    return [*rows, {**rows[1], "id": "copy"}]


def job_for(model, rows, **changes):
    return plan_job(model, rows, **{**OPTIONS, "share_prefixes": True, **changes})


SHARING = [
    "llama",
    "gpt2",
    "qwen2",
    "qwen3",
    "gemma",
    "gpt_neox",
    "mixtral",
    "qwen3_moe",
    "phi",
    "phi3",
    "olmo2",
]


@pytest.mark.parametrize(
    ("name", "tokens"), [("llama", "response_mean"), *((name, "response_all") for name in SHARING)]
)
def test_shared_prefix_equals_full_forward(models, family, name, tokens):
    model = models(name)
    shared = extract(model, family, tokens=tokens, share_prefixes=True, progress=False)
    full = extract(model, family, tokens=tokens, share_prefixes=False, progress=False)
    assert shared.manifest["spec"]["share_prefixes"]
    assert shared.key != full.key
    assert shared.row_ids == full.row_ids
    for layer in full.layers:
        if tokens == "response_all":
            (got, bounds), (expected, others) = shared.ragged_array(layer), full.ragged_array(layer)
            np.testing.assert_array_equal(bounds, others)
        else:
            got, expected = shared.array(layer), full.array(layer)
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


def test_eager_attention_shares_too(family):
    model = tiny_model()
    model.model.set_attn_implementation("eager")
    shared = extract(model, family, share_prefixes=True, progress=False)
    full = extract(model, family, share_prefixes=False, progress=False)
    assert shared.manifest["spec"]["attention"] == "eager"
    torch.testing.assert_close(shared.tensor(), full.tensor(), rtol=1e-3, atol=1e-4)


def test_suffixes_do_not_see_each_other(models, family):
    model = models("llama")
    before = extract(model, family, share_prefixes=True, progress=False)
    changed = [{**row, "response": "Something else!"} if row["id"] == "a2" else row for row in family]
    after = extract(model, changed, share_prefixes=True, progress=False)
    same = [i for i, row in enumerate(family) if row["id"] != "a2"]
    torch.testing.assert_close(after.tensor()[:, same], before.tensor()[:, same], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(after.tensor()[:, 2], before.tensor()[:, 2])


def test_several_rounds_on_one_cache_equal_one(models, family, monkeypatch):
    model = models("llama")
    once = extract(model, family, share_prefixes=True, progress=False)
    monkeypatch.setattr("activations.prefixes.ROUND", 20)
    rounds = extract(model, family, share_prefixes=True, progress=False)
    torch.testing.assert_close(rounds.tensor(), once.tensor(), rtol=1e-4, atol=1e-5)


def test_tokens_saved_are_really_not_computed(models, family):
    model = models("llama")
    job = job_for(model, family, token_budget=1)  # every group alone: no padding
    compute_shard(job, make_reader(model, job), range(len(family)))
    real = sum(len(row) for row in job.rows)
    saved = sum(group.saved for group in job.groups(range(len(family))))
    assert saved > 0.4 * real
    assert job.usage.real == real
    assert job.usage.computed == real - saved == real - job.saved_tokens()


def test_what_sharing_saved_is_recorded_and_shown(models, family, tmp_path):
    from activations.housekeeping import describe_store

    acts = extract(models("llama"), family, store=tmp_path, progress=False)
    saved, total = acts.manifest["tokens_saved"], sum(acts.manifest["rows"]["tokens"])
    assert f"shared prefixes save {saved / total:.0%} of the tokens" in describe_store(acts.path)
    full = extract(models("llama"), family, share_prefixes=False, store=tmp_path, progress=False)
    assert full.manifest["tokens_saved"] == 0
    assert "no prefixes shared" in describe_store(full.path)


def test_a_prefix_that_costs_more_attention_than_it_saves_is_not_shared(models):
    rows = [{"id": str(i), "prompt": STORY[:20] + f"{i}" * 60, "response": "Yes."} for i in range(8)]
    job = job_for(models("llama"), rows)
    assert [group.length for group in job.groups(range(8))] == [0] * 8
    assert not extract(models("llama"), rows, progress=False).manifest["spec"]["share_prefixes"]
    together = [PrefixGroup(length=20, rows=tuple(range(8)))]
    assert profitable(together, [85] * 8, d_model=4096) == together  # attention is cheap in a wide model


def test_kept_positions_are_never_shared(models, family, monkeypatch):
    monkeypatch.setattr("activations.job.profitable", lambda groups, *_: groups)
    model, options = models("llama"), {"tokens": lambda row: [20], "progress": False}
    for group in job_for(model, family[:4], tokens=options["tokens"]).groups(range(4)):
        assert 0 < group.length <= 20
    shared = extract(model, family[:4], share_prefixes=True, **options)
    full = extract(model, family[:4], share_prefixes=False, **options)
    torch.testing.assert_close(shared.tensor(), full.tensor(), rtol=1e-3, atol=1e-4)


def test_sharing_is_refused_where_windows_are_shorter_than_rows(models, family):
    with pytest.raises(ValueError, match="cannot share prefixes"):
        extract(models("mistral"), family, share_prefixes=True, progress=False)
    assert not extract(models("mistral"), family, progress=False).manifest["spec"]["share_prefixes"]


def test_auto_shares_only_where_it_saves(models, family, rows):
    assert extract(models("llama"), family, progress=False).manifest["spec"]["share_prefixes"]
    assert not extract(models("llama"), rows, progress=False).manifest["spec"]["share_prefixes"]


def test_a_model_that_fails_the_check_is_not_shared(models, family, monkeypatch):
    import activations.integrity as integrity
    from activations import ParityError

    monkeypatch.setattr(integrity, "read_tree", lambda reader, tree: read(reader, tree) + 1)
    from activations.prefixes import read_tree as read

    model = tiny_model()
    acts = extract(model, family, progress=False)
    assert not acts.manifest["spec"]["share_prefixes"]
    with pytest.raises(ParityError, match="share_prefixes=False"):
        extract(model, family, share_prefixes=True, progress=False)


def test_auto_that_failed_its_check_remembers_it(family, monkeypatch, tmp_path):
    import activations.integrity as integrity
    from activations.integrity import Gate
    from activations.prefixes import read_tree as read

    monkeypatch.setattr(integrity, "read_tree", lambda reader, forest: read(reader, forest) + 1)
    model, asked, check = tiny_model(), [], Gate.check_sharing
    monkeypatch.setattr(Gate, "check_sharing", lambda *a: asked.append(1) or check(*a))
    first = extract(model, family, store=tmp_path, progress=False)
    monkeypatch.setattr(
        Gate, "check", lambda *_: pytest.fail("the store is found by its key, without the gate")
    )
    assert extract(model, family, store=tmp_path, progress=False).path == first.path
    assert len(asked) == 1


def test_memory_trouble_falls_back_to_rows_without_a_cache(models, family, monkeypatch):
    import activations.compute as compute

    full = extract(models("llama"), family, share_prefixes=False, progress=False)

    def no_room(reader, tree):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(compute, "read_tree", no_room)
    shared = extract(models("llama"), family, share_prefixes=True, progress=False)
    torch.testing.assert_close(shared.tensor(), full.tensor(), rtol=1e-4, atol=1e-5)


sequences = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), min_size=1, max_size=12)


@given(sequences)
@settings(max_examples=150, deadline=None)
def test_groups_partition_rows_and_really_share(rows):
    ids = [np.array(row) for row in rows]
    groups = plan_prefixes(ids, [len(row) for row in ids], min_prefix=2)
    assert sorted(row for group in groups for row in group.rows) == list(range(len(rows)))
    for group in groups:
        heads = {tuple(ids[row][: group.length].tolist()) for row in group.rows}
        assert len(heads) == 1
        assert all(len(ids[row]) > group.length for row in group.rows)
        assert group.length == 0 or (len(group.rows) > 1 and group.length >= 2)


@given(sequences)
@settings(max_examples=60, deadline=None)
def test_grouping_saves_as_much_as_any_cut_of_the_sorted_rows(rows):
    ids = sorted((np.array(row) for row in rows), key=lambda a: a.tolist())
    saved = sum(group.saved for group in plan_prefixes(ids, [99] * len(ids), min_prefix=2))

    def best(start):  # every way to cut what is left into runs
        if start == len(ids):
            return 0
        options = []
        for stop in range(start + 1, len(ids) + 1):
            run = ids[start:stop]
            cap = min(len(row) - 1 for row in run)
            common = next((i for i in range(cap) if len({int(row[i]) for row in run}) > 1), cap)
            gain = common * (len(run) - 1) if common >= 2 else 0
            options.append(gain + best(stop))
        return max(options)

    if len(ids) <= 8:
        assert saved == best(0)


@given(sequences, st.integers(1, 60))
@settings(max_examples=80, deadline=None)
def test_prefix_trees_hold_every_group_once_and_keep_to_the_budget(rows, budget):
    ids = [np.array(row) for row in rows]
    groups = [g for g in plan_prefixes(ids, [99] * len(ids), min_prefix=2) if g.length]
    batches = list(plan_trees(groups, [len(row) for row in ids], budget))
    assert sorted(g.rows for batch in batches for g in batch) == sorted(g.rows for g in groups)
    for batch in batches:
        widths = [sum(len(ids[row]) - g.length for row in g.rows) for g in batch]
        padded = len(batch) * (max(g.length for g in batch) + max(widths))
        assert len(batch) == 1 or (padded <= budget and max(widths) <= ROUND)
