"""Probes on ragged tokens: pooling is what its name says, and rows never see each other or any padding."""

import numpy as np
import pytest

from probes import AttentionProbe, LogisticProbe, Ragged, TokenProbe, auroc
from probes.attention import POOLS, pool_scores
from probes.ragged import as_ragged


def make_rows(n: int = 40, width: int = 5, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """One token of each positive row is special; lengths differ."""
    rng = np.random.default_rng(seed)
    y = np.tile([0, 1], n // 2)
    rows = [rng.normal(size=(rng.integers(2, 9), width)) for _ in y]
    for row, label in zip(rows, y, strict=True):
        row[rng.integers(len(row)), 0] += 5 * label
    return rows, y


def test_pools_are_their_definitions() -> None:
    scores, offsets = np.array([3.0, 1.0, 2.0, -4.0, 5.0]), np.array([0, 3, 5])
    expected = {
        "mean": [2.0, 0.5],
        "last": [2.0, 5.0],
        "max": [3.0, 5.0],
        "top-k": [2.5, 0.5],
        "logsumexp": [np.log(np.mean(np.exp([3, 1, 2]))), np.log(np.mean(np.exp([-4, 5])))],
        # The highest running average: 3; then -4, .5 * -4 + .5 * 5 = .5.
        "ema": [3.0, 0.5],
    }
    assert set(expected) == set(POOLS)
    for pool, values in expected.items():
        np.testing.assert_allclose(pool_scores(scores, offsets, pool, k=2, decay=0.5), values)
    with pytest.raises(ValueError, match="pool='median' is not known"):
        pool_scores(scores, offsets, "median")


def test_mean_pooled_token_scores_are_the_score_of_the_mean_activation() -> None:
    rows, y = make_rows()
    probe = TokenProbe(pool="mean").fit(rows, y)
    means = np.stack([row.mean(0) for row in rows])
    direct = LogisticProbe().fit(means, y).decision_function(means)
    np.testing.assert_allclose(probe.decision_function(rows) + probe.shift_, direct, atol=1e-8)


def test_token_training_gives_every_row_the_same_weight() -> None:
    rows, y = make_rows()
    longer = [np.repeat(row, 3, axis=0) if i == 1 else row for i, row in enumerate(rows)]
    one, two = (TokenProbe(pool="max", train_on="tokens").fit(x, y) for x in (rows, longer))
    # The token scaler is weighted too, so a row that repeats itself changes nothing.
    np.testing.assert_allclose(one.probe_.direction_, two.probe_.direction_, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("pool", ["max", "top-k", "ema", "logsumexp"])
def test_a_single_special_token_is_found_by_pools_that_look_for_one(pool: str) -> None:
    (rows, y), (held, labels) = make_rows(seed=0), make_rows(seed=1)
    probe = TokenProbe(pool=pool, train_on="tokens", k=1, decay=0.2).fit(rows, y)
    assert auroc(labels, probe.decision_function(held)) > 0.9
    assert (probe.predict(held) == labels).mean() > 0.75


def token_probes() -> list:
    return [
        TokenProbe(pool="max", train_on="tokens"),
        TokenProbe(pool="top-k"),
        TokenProbe(pool="ema"),
        AttentionProbe(max_epochs=20, n_heads=2, device="cpu"),
    ]


@pytest.mark.parametrize(
    "probe", token_probes(), ids=lambda p: f"{type(p).__name__}-{getattr(p, 'pool', '')}"
)
def test_a_row_is_scored_the_same_alone_and_in_any_company(probe) -> None:
    rows, y = make_rows()
    probe.fit(rows, y)
    together = probe.decision_function(rows)
    alone = np.array([probe.decision_function([row])[0] for row in rows[:5]])
    np.testing.assert_allclose(alone, together[:5], atol=1e-10)
    order = np.random.default_rng(0).permutation(len(rows))
    np.testing.assert_allclose(probe.decision_function([rows[i] for i in order]), together[order], atol=1e-10)
    flat = (np.concatenate(rows), np.r_[0, np.cumsum([len(row) for row in rows])])
    np.testing.assert_allclose(probe.decision_function(flat), together)


def test_token_order_matters_only_where_it_should() -> None:
    rows, y = make_rows()
    backwards = [row[::-1] for row in rows]
    for probe, same in (
        (TokenProbe(pool="max"), True),
        (TokenProbe(pool="top-k"), True),
        (TokenProbe(pool="logsumexp"), True),
        (TokenProbe(pool="last"), False),
        (TokenProbe(pool="ema"), False),
    ):
        scores = probe.fit(rows, y).decision_function(rows)
        turned = probe.decision_function(backwards)
        assert np.allclose(scores, turned) == same, probe.pool


def test_untrained_attention_is_mean_pooling() -> None:
    rows, y = make_rows()
    probe = AttentionProbe(max_epochs=1, learning_rate=1e-30, device="cpu").fit(rows, y)
    weights, ragged = probe.attention(rows)
    np.testing.assert_allclose(weights[:, 0], 1 / ragged.counts[ragged.row_of], rtol=1e-6)


def test_attention_sums_to_one_and_finds_the_special_token() -> None:
    rows, y = make_rows(n=80)
    probe = AttentionProbe(max_epochs=200, learning_rate=0.03, device="cpu").fit(rows, y)
    weights, ragged = probe.attention(rows)
    np.testing.assert_allclose(np.add.reduceat(weights, ragged.offsets[:-1]), 1.0)
    positive = np.flatnonzero(y == 1)
    found = [
        weights[ragged.offsets[i] : ragged.offsets[i + 1], 0].argmax() == rows[i][:, 0].argmax()
        for i in positive
    ]
    assert np.mean(found) > 0.8
    held, labels = make_rows(seed=1)
    assert auroc(labels, probe.decision_function(held)) > 0.9


def test_attention_training_equals_its_scoring_and_uses_its_seed() -> None:
    rows, y = make_rows()
    first, again, other = (
        AttentionProbe(max_epochs=5, random_state=seed, device="cpu").fit(rows, y).decision_function(rows)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_rows_that_cannot_be_read_are_refused() -> None:
    rows, y = make_rows()
    with pytest.raises(ValueError, match="row 1 holds no tokens"):
        as_ragged([np.ones((2, 3)), np.ones((0, 3))])
    with pytest.raises(ValueError, match="NaN or infinite"):
        as_ragged([np.full((2, 3), np.nan)])
    with pytest.raises(ValueError, match="one width"):
        as_ragged([np.ones((2, 3)), np.ones((2, 4))])
    with pytest.raises(ValueError, match="list of"):
        as_ragged(np.ones((2, 3)))
    with pytest.raises(ValueError, match="offsets must run from 0 to 2"):
        Ragged(np.ones((2, 3)), np.array([0, 1]))
    with pytest.raises(ValueError, match="train_on='rows' is not known"):
        TokenProbe(train_on="rows").fit(rows, y)
    with pytest.raises(ValueError, match="width 4, but AttentionProbe was fitted on width 5"):
        AttentionProbe(max_epochs=1, device="cpu").fit(rows, y).decision_function([np.ones((2, 4))])
    assert len(as_ragged(rows).take(y == 1)) == 20
