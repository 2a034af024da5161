"""A concept that both models surely have passes through the frozen route, or no null is concluded."""

import numpy as np
import pytest
from planted import QUICK, make_directions, make_domain, orthogonal_to

from probes import Domain, DomainError, transfer

FAST = "mean-difference"
WIDTH, LAYERS = 12, 3


def with_concept(domain: Domain, way: np.ndarray, seed: int, strength: float = 4.0) -> Domain:
    """Plant a concept, independent of the label, along `way` `[layer, d]`."""
    has = np.empty(len(domain), dtype=int)
    for label in (0, 1):  # balanced within each class, so that the class probe does not pick it up
        rows = np.random.default_rng([seed, label]).permutation(np.flatnonzero(domain.y == label))
        has[rows] = np.arange(len(rows)) % 2
    X = domain.X + strength * (2 * has - 1)[None, :, None] * way[:, None, :]
    return Domain(domain.name, X, domain.y, domain.groups, concepts={"answers A": has})


def study(*, concept_arrives: bool):
    """A class that does not transfer, and a concept that does or does not."""
    label_here = make_directions(1, n_layers=LAYERS, width=WIDTH)
    label_there = orthogonal_to(label_here, 3)
    concept = orthogonal_to(label_here, 7)
    concept -= np.sum(concept * label_there, 1, keepdims=True) * label_there
    concept /= np.linalg.norm(concept, axis=1, keepdims=True)
    elsewhere = orthogonal_to(label_here, 11)
    for other in (label_there, concept):
        elsewhere -= np.sum(elsewhere * other, 1, keepdims=True) * other
    source = make_domain("source", 10, label_here, n_groups=600, strength=1.2)
    target = make_domain("target", 11, label_there, n_groups=300, strength=1.2)
    source = with_concept(source, concept, 1)
    target = with_concept(target, concept if concept_arrives else elsewhere, 2)
    return transfer(source, target, FAST, options=QUICK)


def concept_on(result, name: str):
    (found,) = [c for c in result.controls if (c.kind, c.scored_on) == ("shared concept", name)]
    return found


def test_null_stands_when_the_shared_concept_arrives() -> None:
    result = study(concept_arrives=True)
    assert concept_on(result, "source").auroc.low > 0.95
    assert concept_on(result, "target").auroc.low > 0.95
    assert result.verdicts[0].code == "no-transfer"


def test_no_null_is_concluded_when_even_a_shared_concept_does_not_arrive() -> None:
    result = study(concept_arrives=False)
    assert concept_on(result, "source").auroc.low > 0.95
    assert concept_on(result, "target").auroc.high < 0.7
    verdict = result.verdicts[0]
    assert verdict.code == "route-failed"
    assert "answers A" in verdict.sentence
    assert any("route is in doubt" in flag for flag in verdict.flags)


def test_concept_with_one_value_is_left_out_and_named() -> None:
    way = make_directions(1, n_layers=LAYERS, width=WIDTH)
    source = with_concept(make_domain("source", 10, way, n_groups=60, strength=1.2), way[:, ::-1], 1)
    plain = make_domain("target", 11, way, n_groups=60, strength=1.2)
    target = Domain("target", plain.X, plain.y, plain.groups, concepts={"answers A": np.ones(len(plain))})
    result = transfer(source, target, FAST, options=QUICK)
    assert not [c for c in result.controls if c.kind == "shared concept"]
    assert any("'answers A'" in warning and "target" in warning for warning in result.warnings)


def test_concept_that_is_not_two_valued_is_refused_by_name() -> None:
    with pytest.raises(DomainError, match="'mood'"):
        Domain("d", np.eye(2), [0, 1], ["a", "b"], concepts={"mood": [0.5, 1]})
    with pytest.raises(DomainError, match=r"concepts\['mood'\] has 3"):
        Domain("d", np.eye(2), [0, 1], ["a", "b"], concepts={"mood": [0, 1, 1]})


def test_unknown_concept_is_refused_with_those_that_exist() -> None:
    with pytest.raises(DomainError, match="asks who"):
        Domain("d", np.eye(2), [0, 1], ["a", "b"], concepts={"asks who": [0, 1]}).about("mood")
