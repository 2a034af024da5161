"""A sweep gives the cells of the plain loop, chooses where the signal is, and documents its probe."""

import json

import numpy as np
import pytest
from planted import SMALL_LOGISTIC, make_directions, make_domain
from sklearn.metrics import roc_auc_score

from probes import (
    Domain,
    Family,
    LogisticProbe,
    MeanDifferenceProbe,
    MLPProbe,
    Provenance,
    RidgeProbe,
    load_probe,
    save_probe,
    sweep,
)
from probes.evaluation.nulls import permuted_labels
from probes.evaluation.shuffled import linear_in_labels, shuffled_scores


@pytest.fixture(scope="module")
def domain() -> Domain:
    """Five layers of which only the third says anything about the class."""
    directions = make_directions(1, n_layers=5, width=10) * (np.arange(5) == 2)[:, None]
    return make_domain("qa", 4, directions, n_groups=40)


def test_the_only_layer_with_a_signal_is_chosen(domain) -> None:
    result = sweep(domain, SMALL_LOGISTIC, device="cpu")
    assert result.layer == 2
    assert result.auroc.shape == (5, 2)
    assert result.auroc[2].max() > 0.8 > 0.65 > result.auroc[[0, 1, 3, 4]].max()
    frame = result.to_frame()
    assert len(frame) == 10
    assert frame["chosen"].sum() == 1
    assert (frame["standard_error"] > 0).all()
    assert result.auroc[2].max() == pytest.approx(roc_auc_score(domain.y, result.out_of_fold), abs=2e-3)


def test_probe_that_is_handed_over_is_the_one_fitted_on_all_rows(domain) -> None:
    result = sweep(domain, SMALL_LOGISTIC, device="cpu")
    alone = LogisticProbe(**result.setting).fit(domain.layer(2), domain.y)
    np.testing.assert_allclose(result.probe.direction_, alone.direction_)


def test_provenance_says_what_the_probe_reads_and_how_it_was_chosen(domain, tmp_path) -> None:
    meta = {"organism": "qa-backdoored", "fingerprint": "abc", "tokens": "response_mean"}
    given = Domain("qa", domain.X, domain.y, domain.groups, meta=meta)
    result = sweep(given, "mean-difference", seed=3)
    folder = result.probe.save(tmp_path / "probe")
    assert {path.name for path in folder.iterdir()} == {"probe.json", "probe.safetensors"}
    known = load_probe(folder).provenance_
    assert known == result.probe.provenance_
    assert (known.model, known.model_fingerprint, known.tokens) == ("qa-backdoored", "abc", "response_mean")
    assert (known.site, known.layer, known.seed) == ("resid_post", result.layer, 3)
    assert known.data_hash == given.data_hash
    assert sorted(g for fold in known.split_ids.values() for g in fold) == sorted(set(domain.groups))
    assert known.selection["auroc"] == pytest.approx(result.auroc.max(), abs=1e-3)
    record = json.loads((folder / "probe.json").read_text())
    assert {"python", "numpy", "scikit-learn", "torch"} <= set(record["versions"])


def test_model_fingerprint_is_taken_from_either_name(domain) -> None:
    for name in ("fingerprint", "model_fingerprint"):
        given = Domain("qa", domain.X, domain.y, domain.groups, meta={name: "abc"})
        assert sweep(given, "mean-difference").probe.provenance_.model_fingerprint == "abc"


def test_probe_folder_appears_whole_or_not_at_all(tmp_path, monkeypatch) -> None:
    probe = MeanDifferenceProbe().fit([[0.0], [1.0]], [0, 1])
    path = save_probe(probe, tmp_path / "deep" / "probe", Provenance(layer=3, threshold=0.5))
    with pytest.raises(FileExistsError, match="overwrite=True"):
        probe.save(path)
    other = MeanDifferenceProbe().fit([[0.0], [5.0]], [0, 1])
    with pytest.raises(TypeError, match="cannot be written to JSON"):
        save_probe(other, path, Provenance(extra={"bad": object()}), overwrite=True)
    kept = load_probe(path)
    assert kept.direction_[0] == 1.0, "a failed save must leave the old probe"
    assert kept.provenance_.layer == 3
    other.save(path, overwrite=True)
    assert load_probe(path).direction_[0] == 5.0
    assert [p.name for p in path.parent.iterdir()] == ["probe"], "no staging folders are left"


def test_foreign_or_damaged_probe_files_are_refused(tmp_path) -> None:
    path = MeanDifferenceProbe().fit([[0.0], [1.0]], [0, 1]).save(tmp_path / "probe")
    text = (path / "probe.json").read_text()
    (path / "probe.json").write_text(text.replace("probe/1", "probe/9"))
    with pytest.raises(ValueError, match="probe/9"):
        load_probe(path)
    (path / "probe.json").write_text(text.replace('"MeanDifferenceProbe"', '"Popen"'))
    with pytest.raises(ValueError, match="'Popen' is not known"):
        load_probe(path)
    (path / "probe.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"probe\.safetensors is missing"):
        load_probe(path)


# Permuted labels as one product.


@pytest.mark.parametrize("scale", ["none", "standard"])
@pytest.mark.parametrize("kind", [RidgeProbe, MeanDifferenceProbe])
@pytest.mark.parametrize(("n", "d"), [(60, 8), (20, 40)])
def test_all_permutations_at_once_equal_one_fit_each(kind, scale: str, n: int, d: int) -> None:
    rng = np.random.default_rng(0)
    X, other = rng.normal(size=(n, d)) * 3 + 2, rng.normal(size=(7, d))
    labels, _ = permuted_labels(np.tile([0, 1], n // 2), None, 9, unit="rows")
    probe = kind(scale=scale)
    assert linear_in_labels(probe)
    expected = np.stack([kind(scale=scale).fit(X, y).decision_function(other) for y in labels])
    np.testing.assert_allclose(shuffled_scores(probe, X, labels, other), expected, atol=1e-9)


def test_other_probes_are_fitted_once_per_permutation() -> None:
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(30, 4)), permuted_labels(np.tile([0, 1], 15), None, 3, unit="rows")[0]
    probe = LogisticProbe(C=0.1)
    assert not linear_in_labels(probe)
    found = shuffled_scores(probe, X, labels, X)
    np.testing.assert_allclose(found[2], LogisticProbe(C=0.1).fit(X, labels[2]).decision_function(X))


def test_mlp_families_sweep_like_any_other(domain) -> None:
    family = Family(
        name="tiny",
        probe=MLPProbe(hidden=4, max_epochs=10, learning_rate=0.02, n_seeds=1, device="cpu"),
        grid={"weight_decay": (0.1, 10.0)},
        max_layers=2,
    )
    result = sweep(domain, family, n_folds=3)
    assert result.auroc.shape == (2, 2)
    assert result.layers == (1, 3)  # spread evenly, so the good one is missed here
    assert isinstance(result.probe, MLPProbe)
