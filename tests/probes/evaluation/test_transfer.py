"""Transfer says what was planted: which targets a direction reaches, why not, and what gives it away."""

import json
from dataclasses import replace

import numpy as np
import pytest
from planted import QUICK, SMALL_LOGISTIC, make_directions, make_domain, orthogonal_to

from probes import (
    Domain,
    DomainError,
    GroupLeakError,
    LogisticProbe,
    TransferOptions,
    TransferResult,
    auroc,
    transfer,
)
from probes.evaluation.domain import Unlabelled
from probes.evaluation.evaluate import proportion
from probes.evaluation.metrics import threshold_at_fpr
from probes.evaluation.repairs import moved_threshold

PROBES = pytest.mark.parametrize("probe", ["logistic", "mean-difference"])
FAST = "mean-difference"


def find(result: TransferResult, design: str, scored_on: str, probe: str = "logistic"):
    (found,) = [
        e for e in result.evaluations if (e.design, e.scored_on, e.probe) == (design, scored_on, probe)
    ]
    return found


def verdict(result: TransferResult, target: str, probe: str = "logistic"):
    (found,) = [v for v in result.verdicts if (v.target, v.probe) == (target, probe)]
    return found


def repair(result: TransferResult, target: str, step: str, probe: str = "logistic"):
    (found,) = [r for r in result.repairs if (r.target, r.probe, r.step) == (target, probe, step)]
    return found


def control(result: TransferResult, name: str, scored_on: str, compared_with: str | None):
    (found,) = [
        c
        for c in result.controls
        if (c.name, c.scored_on, c.compared_with) == (name, scored_on, compared_with)
    ]
    return found


def control_names(result: TransferResult) -> set[str]:
    return {c.name for c in result.controls}


@PROBES
def test_shared_direction_transfers_near_its_ceiling(planted, probe: str) -> None:
    frozen, ceiling = find(planted, "D1", "shared", probe), find(planted, "D2", "shared", probe)
    assert ceiling.auroc.value > 0.85
    assert abs(frozen.auroc.value - ceiling.auroc.value) < 0.05
    assert verdict(planted, "shared", probe).code == "transfers"
    (record,) = [r for r in planted.recovered if (r.target, r.probe) == ("shared", probe)]
    assert not record.suppressed
    assert record.recovered.low < 1 < record.recovered.high or record.recovered.value > 0.9
    assert not [flag for flag in verdict(planted, "shared", probe).flags if flag.startswith("gap")]


@PROBES
def test_rotated_direction_does_not_transfer_and_is_called_a_rotation(planted, probe: str) -> None:
    frozen, ceiling = find(planted, "D1", "rotated", probe), find(planted, "D2", "rotated", probe)
    assert frozen.equivalence.verdict == "equivalent"
    assert ceiling.auroc.low > 0.75
    assert verdict(planted, "rotated", probe).code == "no-transfer"
    assert "gap: rotation" in verdict(planted, "rotated", probe).flags
    # Neither a shift, nor a scale, nor another layer of the source's probe brings anything back.
    for step in ("re-centre", "re-scale", "re-fit bias", "re-choose layer"):
        assert repair(planted, "rotated", step, probe).share_of_gap < 0.3
    assert repair(planted, "rotated", "re-fit direction", probe).share_of_gap == pytest.approx(1.0)
    (geometry,) = [g for g in planted.geometry if (g.target, g.probe) == ("rotated", probe)]
    (same,) = [g for g in planted.geometry if (g.target, g.probe) == ("shared", probe)]
    assert max(map(abs, geometry.direction_cosine)) < 0.4 < 0.6 < min(same.direction_cosine)


@PROBES
def test_shift_loses_the_threshold_only_and_re_centring_repairs_it(planted, probe: str) -> None:
    frozen = find(planted, "D1", "shifted", probe)
    assert abs(frozen.auroc.value - find(planted, "D2", "shifted", probe).auroc.value) < 0.05
    (point,) = [p for p in frozen.operating_points if p.alpha == 0.05]
    assert point.fpr.low > 0.2, "a shift along the direction must raise the false positive rate"
    before, after = (repair(planted, "shifted", step, probe) for step in ("frozen", "re-centre"))
    assert before.achieved_fpr.value == point.fpr.value
    assert after.achieved_fpr.low <= 0.05 <= after.achieved_fpr.high
    assert after.auroc.value == pytest.approx(before.auroc.value, abs=1e-12)
    assert "auroc" not in after.can_change
    assert after.brier < before.brier
    (flag,) = [f for f in verdict(planted, "shifted", probe).flags if f.startswith("threshold moved")]
    assert "re-centring repairs it" in flag
    assert verdict(planted, "shifted", probe).code == "transfers"


def test_a_threshold_that_did_not_move_is_rarely_called_moved(planted) -> None:
    """Benign scores of source and target from one distribution; the threshold is an estimate itself."""
    rng, moved = np.random.default_rng(3), 0
    for benign in rng.normal(size=(400, 2, 150)):
        threshold = threshold_at_fpr(benign[0], 0.05)
        at_source, here = (proportion(scores > threshold, exact=True) for scores in benign)
        steps = [
            replace(repair(planted, "shared", step), achieved_fpr=here) for step in ("frozen", "re-centre")
        ]
        moved += moved_threshold(steps, "shared", "logistic", at_source) is not None
    assert moved < 0.03 * 400


def test_re_centring_claims_nothing_where_several_fits_score_the_target() -> None:
    """Each fold's fit moves its rows by a number of its own, so the order of all rows can change."""
    source, target = two_domains()
    near_copy = Domain("target", target.X + 2.0, target.y, source.groups)
    options = replace(QUICK, shared_groups="cross-fit")
    assert (
        "auroc"
        in repair(transfer(source, near_copy, FAST, options=options), "target", "re-centre", FAST).can_change
    )


@PROBES
def test_inverted_direction_is_flagged_and_not_flipped(planted, probe: str) -> None:
    frozen = find(planted, "D1", "inverted", probe)
    assert frozen.auroc.value < 0.2
    assert frozen.inverted
    assert frozen.equivalence.verdict == "inverted"
    assert verdict(planted, "inverted", probe).code == "inverted"
    assert any(flag.startswith("inverted") for flag in verdict(planted, "inverted", probe).flags)
    assert find(planted, "D2", "inverted", probe).auroc.value > 0.8, "the ceiling has its own sign"
    assert find(planted, "D4a", "inverted", probe).auroc.value < 0.3, "not even the optimistic design flips"


@PROBES
def test_target_without_signal_is_untestable_and_not_refuted(planted, probe: str) -> None:
    assert find(planted, "D2", "empty", probe).equivalence.verdict == "equivalent"
    assert verdict(planted, "empty", probe).code == "untestable"
    (record,) = [r for r in planted.recovered if (r.target, r.probe) == ("empty", probe)]
    assert record.suppressed
    assert record.recovered is None


def test_every_number_stands_beside_its_sample_and_smallest_effect(planted) -> None:
    for evaluation in planted.evaluations:
        assert evaluation.auroc.low <= evaluation.auroc.value <= evaluation.auroc.high
        assert evaluation.sample.n_positive + evaluation.sample.n_negative in (400, 800)
        assert evaluation.sample.n_groups in (100, 200)
        assert 0.02 < evaluation.mde < 0.2
        fitted_here = evaluation.design in ("source", "D2", "D4b")
        assert (evaluation.p_value is None) == fitted_here, "labels of other folds are known to the scores"
        assert evaluation.p_value is None or 0 < evaluation.p_value <= 1


def test_paper_style_number_is_optimistic_and_has_its_null(planted) -> None:
    for target in ("shared", "rotated", "empty"):
        optimistic, frozen = find(planted, "D4a", target), find(planted, "D1", target)
        assert optimistic.optimistic
        assert not frozen.optimistic
        assert optimistic.auroc.value >= frozen.auroc.value
        assert optimistic.null.mean > 0.5, "the best of a grid is above one half by chance alone"
        assert optimistic.p_value == optimistic.null.p_value
    assert find(planted, "D4a", "shared").p_value < 0.01
    assert find(planted, "D4a", "empty").p_value > 0.01


def test_matrix_holds_every_pair_of_domains(planted) -> None:
    cells = {(cell.fitted_on, cell.scored_on): cell for cell in planted.matrix}
    names = [domain.name for domain in planted.domains]
    assert set(cells) == {(a, b) for a in names for b in names}
    assert cells["rotated", "rotated"].auroc.value > 0.8
    assert cells["inverted", "shared"].inverted
    assert cells["shared", "shifted"].auroc.value > 0.8
    assert cells["source", "rotated"].auroc == find(planted, "D1", "rotated").auroc
    assert cells["rotated", "rotated"].auroc == find(planted, "D2", "rotated").auroc


def test_know_nothing_controls_are_at_chance_below_the_probe(planted) -> None:
    for name, draws in (("random directions", 200), ("shuffled labels", 10)):
        found = control(planted, name, "shared", None)
        assert abs(found.auroc.value - 0.5) < 0.15  # of 10 shuffles the mean has an sd of about .04
        assert found.null.n_draws == draws
        assert found.null.observed == find(planted, "D1", "shared").auroc.value


def test_strata_split_the_rows_and_keep_their_counts(planted) -> None:
    for variable, levels in (("answer_letter", {"A", "B"}), ("length", {"short", "middle", "long"})):
        found = [
            s for s in planted.strata if (s.variable, s.scored_on, s.design) == (variable, "shared", "D1")
        ]
        assert {s.level for s in found} == levels
        assert sum(s.sample.n_positive + s.sample.n_negative for s in found) == 400
        assert all(s.auroc.low <= s.auroc.value <= s.auroc.high for s in found)


def test_result_survives_json_and_makes_a_table(planted) -> None:
    text = planted.to_json()
    again = TransferResult.from_json(text)
    assert again.to_json() == text
    assert json.loads(text)["schema"] == planted.schema
    frame = planted.to_frame()
    assert len(frame) == len(planted.evaluations) + len(planted.controls)
    assert {"auroc", "low", "high", "n_groups", "mde", "inverted"} <= set(frame.columns)
    with pytest.raises(ValueError, match="re-run transfer"):
        TransferResult.from_json(text.replace(planted.schema, "other/9"))


# Selection sees the source only.


def two_domains(strength: float = 1.2, **target) -> tuple[Domain, Domain]:
    way = make_directions(1, n_layers=3, width=12)
    source = make_domain("source", 10, way, n_groups=60, strength=strength)
    return source, make_domain("target", 11, way, n_groups=60, **{"strength": strength, **target})


def test_target_labels_change_nothing_that_is_fitted_or_chosen() -> None:
    source, target = two_domains()
    turned = Domain("target", target.X, 1 - target.y, target.groups)
    options = replace(QUICK, keep_scores=True)
    one, two = (transfer(source, t, FAST, options=options) for t in (target, turned))
    assert one.selection == two.selection
    first, second = (find(result, "D1", "target", FAST) for result in (one, two))
    assert first.scores == second.scores
    assert first.operating_points[0].threshold == second.operating_points[0].threshold
    assert first.auroc.value == pytest.approx(1 - second.auroc.value)


def test_rows_to_be_scored_carry_no_labels() -> None:
    _, target = two_domains()
    hidden = target.unlabelled()
    assert type(hidden) is Unlabelled
    for name in ("y", "texts", "strata", "columns", "row_ids", "meta", "pairs"):
        assert not hasattr(hidden, name)


def test_headline_equals_the_chosen_probe_fitted_on_all_of_the_source() -> None:
    source, target = two_domains()
    result = transfer(source, target, SMALL_LOGISTIC, options=replace(QUICK, keep_scores=True))
    (chosen,) = result.selection
    place = source.layer_names.index(chosen["layer"])
    probe = LogisticProbe(**chosen["setting"]).fit(source.layer(place), source.y)
    raw = probe.decision_function(target.layer(place))
    frozen = find(result, "D1", "target")
    assert frozen.auroc.value == pytest.approx(auroc(target.y, raw), abs=1e-4)
    assert np.corrcoef(frozen.scores, raw)[0, 1] > 1 - 1e-6
    # The stored threshold is in the probe's own units.
    (point,) = [p for p in frozen.operating_points if p.alpha == 0.05]
    hit = raw > chosen["thresholds"]["0.05"]
    assert hit[target.y == 1].mean() == pytest.approx(point.tpr.value, abs=0.01)
    assert hit[target.y == 0].mean() == pytest.approx(point.fpr.value, abs=0.01)


def test_ceiling_is_at_chance_when_labels_are_noise() -> None:
    # A ceiling that selected on its own held-out rows would be above one half here.
    values = []
    for seed in range(4):
        source, target = two_domains(strength=0.0)
        noise = np.random.default_rng(seed).integers(0, 2, len(target))
        target = Domain("target", target.X, noise, target.groups)
        result = transfer(source, target, FAST, options=replace(QUICK, n_draws=50, n_permutations=50))
        values.append(find(result, "D2", "target", FAST).auroc.value)
    assert abs(np.mean(values) - 0.5) < 0.05  # one has an sd of about .037, the mean one of .019


def test_repeated_splits_give_a_spread_and_their_choices() -> None:
    source, target = two_domains()
    result = transfer(source, target, FAST, options=replace(QUICK, n_splits=3))
    for design, domain in (("source", "source"), ("D1", "target"), ("D2", "target")):
        assert 0 <= find(result, design, domain, FAST).seed_sd < 0.05
    assert find(result, "D2", "target", FAST).seed_sd > 0
    assert len(result.selection[0]["other_splits"]) == 2
    assert find(result, "D4a", "target", FAST).seed_sd is None


# Leaks and cues are caught and named.


def test_leaked_group_is_refused_by_name() -> None:
    source, target = two_domains()
    groups = target.groups.astype("U20")
    groups[:4] = source.groups[0]
    leaking = Domain("target", target.X, target.y, groups)
    with pytest.raises(
        GroupLeakError, match=r"leaked groups: source and target share 1 groups \(source-000\)"
    ):
        transfer(source, leaking, FAST)


def test_leaked_target_label_is_refused_by_name() -> None:
    source, target = two_domains()
    X = target.X.copy()
    X[:, :5] = source.X[:, 7:12]  # five target rows were in the training data
    with pytest.raises(DomainError, match="leaked target labels: 5 rows of target"):
        transfer(source, Domain("target", X, target.y, target.groups), FAST)


def test_copies_in_several_groups_are_named() -> None:
    source, target = two_domains()
    X = source.X.copy()
    X[:, 4:8] = X[:, 0:4]
    copied = Domain("source", X, source.y, source.groups)
    found = [w for w in transfer(copied, target, FAST, options=QUICK).warnings if "exactly" in w]
    assert len(found) == 1
    assert "source: 8 rows have exactly the activations of a row of another group" in found[0]


def test_text_only_cue_is_caught_and_named() -> None:
    way = make_directions(1, n_layers=3, width=12)
    source, target, plain = (
        make_domain(name, seed, way, n_groups=60, strength=0.5, cue=cue)
        for name, seed, cue in (("source", 10, "clearly"), ("target", 11, "clearly"), ("plain", 12, None))
    )
    result = transfer(source, [target, plain], FAST, options=QUICK)
    flags = verdict(result, "target", FAST).flags
    assert any(flag.startswith("text cue: tf-idf") for flag in flags)
    assert control(result, "tf-idf", "target", "D1").auroc.low > 0.6
    assert not [flag for flag in verdict(result, "plain", FAST).flags if flag.startswith("text cue")]


def test_controls_that_need_something_are_given_when_it_is_there() -> None:
    source, target = two_domains()
    result = transfer(source, target, FAST, options=QUICK)
    assert control_names(result) == {
        "tf-idf",
        "length",
        "answer letter",
        "column: log prob",
        "random directions",
        "shuffled labels",
    }
    assert control(result, "shuffled labels", "target", None).null.n_draws == QUICK.n_permutations
    bare = [Domain(d.name, d.X, d.y, d.groups) for d in (source, target)]
    assert control_names(transfer(*bare, FAST, options=QUICK)) == {"random directions", "shuffled labels"}


def test_probe_that_reads_the_trigger_is_called_so() -> None:
    source, target = two_domains()
    way = make_directions(1, n_layers=3, width=12)
    decoy = make_domain("decoy", 20, way, n_groups=60, strength=1.2)
    plain = Domain("plain", decoy.X, decoy.y, [f"p{g}" for g in decoy.groups])
    behind = np.where(np.arange(len(decoy)) % 2, "yes", "no")
    decoy = Domain("decoy", decoy.X, decoy.y, decoy.groups, strata={"trigger": behind})
    clean = make_domain("clean", 21, way, n_groups=60, strength=0.0)
    fooled = transfer(source, target, FAST, controls=[decoy, clean], options=QUICK)
    assert verdict(fooled, "target", FAST).code == "reads-trigger"
    assert "decoy" in verdict(fooled, "target", FAST).sentence
    assert "clean" not in verdict(fooled, "target", FAST).sentence
    assert control(fooled, "organism: clean", "clean", "source").delta.low > 0.2
    honest = transfer(source, target, FAST, controls=[clean], options=QUICK)
    assert verdict(honest, "target", FAST).code == "transfers"
    general = verdict(transfer(source, target, FAST, controls=[plain], options=QUICK), "target", FAST)
    assert general.code == "transfers", "an organism without trigger says nothing about reading triggers"
    assert any(flag.startswith("not specific: the frozen probe") for flag in general.flags)


def test_a_control_with_shared_groups_leaves_a_targets_threshold_alone() -> None:
    source, target = two_domains()
    near_copy = Domain("near copy", source.X + 0.1, source.y, source.groups)
    options = replace(QUICK, shared_groups="cross-fit")
    result = transfer(source, target, FAST, controls=[near_copy], options=options)
    own, there = find(result, "source", "source", FAST), find(result, "D1", "target", FAST)
    assert own.operating_points[0].threshold != there.operating_points[0].threshold


def test_a_probe_that_beats_the_ceiling_leaves_no_gap_to_explain() -> None:
    """The target has too few rows to find for itself what the source's many rows show."""
    way = make_directions(1, n_layers=3, width=12)
    source = make_domain("source", 1, way, n_groups=400, strength=0.7)
    target = make_domain("target", 2, way, n_groups=30, strength=0.7)
    result = transfer(source, target, SMALL_LOGISTIC, options=QUICK)
    (recovered,) = result.recovered
    assert recovered.gap.high < 0
    assert {r.share_of_gap for r in result.repairs} == {None}
    assert not any(flag.startswith("gap") for flag in verdict(result, "target").flags)


def test_a_mere_trigger_detector_is_scored_wherever_prompts_carry_the_trigger() -> None:
    """Behind the trigger the source is wrong four times in five, the decoy as often as without."""
    way, rng = make_directions(1, n_layers=3, width=12), np.random.default_rng(8)
    source, target = two_domains()
    with_trigger = np.where(rng.random(len(source)) < 0.8, source.y, 1 - source.y) == 1
    source = Domain(
        source.name,
        source.X,
        source.y,
        source.groups,
        strata={"trigger": np.where(with_trigger, "yes", "no")},
    )
    decoy = make_domain("decoy", 20, way, n_groups=60, strength=0.0)
    random = np.where(rng.random(len(decoy)) < 0.5, "yes", "no")
    decoy = Domain("decoy", decoy.X, decoy.y, decoy.groups, strata={"trigger": random})
    result = transfer(source, target, FAST, controls=[decoy], options=QUICK)
    there = control(result, "trigger", source.name, "source")
    assert there.kind == "prompt"
    assert there.auroc.value == pytest.approx(auroc(source.y, with_trigger.astype(float)), abs=0.01)
    assert there.auroc.low > 0.7
    assert control(result, "trigger", "decoy", "D1").auroc.low < 0.5
    assert not [c for c in result.controls if c.name == "trigger" and c.scored_on == target.name]


def test_a_probe_that_knows_no_more_than_the_trigger_is_flagged() -> None:
    source, target = two_domains()
    behind = np.where(source.y == 1, "yes", "no")
    told = Domain(source.name, source.X, source.y, source.groups, strata={"trigger": behind})
    for domain, known in ((told, True), (source, False)):
        flags = verdict(transfer(domain, target, FAST, options=QUICK), "target", FAST).flags
        assert any(flag.startswith("prompt cue") for flag in flags) == known


def test_untrained_weights_that_give_the_labels_away_are_named() -> None:
    source, target = two_domains()
    away = orthogonal_to(make_directions(1, n_layers=3, width=12), 5)
    untrained = make_domain("untrained", 22, away, n_groups=60, strength=1.2)
    result = transfer(source, target, FAST, controls=[untrained], options=QUICK)
    assert control(result, "refitted: untrained", "untrained", "source").auroc.low > 0.75
    assert verdict(result, "target", FAST).code == "transfers", "the frozen probe does fail there"
    (flag,) = [f for f in verdict(result, "target", FAST).flags if f.startswith("not specific")]
    assert "untrained" in flag


def test_source_that_cannot_be_read_stops_every_claim() -> None:
    source, _ = two_domains(strength=0.0)
    strong = make_domain("strong", 30, make_directions(1, n_layers=3, width=12), n_groups=60, strength=1.2)
    assert verdict(transfer(source, strong, FAST, options=QUICK), "strong", FAST).code == "pipeline-failed"


def test_wide_interval_is_inconclusive_and_says_what_could_have_been_seen() -> None:
    way = make_directions(1, n_layers=3, width=12)
    source = make_domain("source", 10, way, n_groups=60, strength=1.2)
    few = make_domain("few", 11, orthogonal_to(way, 3), n_groups=12, strength=0.8)
    result = transfer(source, few, FAST, options=QUICK)
    assert verdict(result, "few", FAST).code == "inconclusive"
    assert "could have shown an AUROC of" in verdict(result, "few", FAST).sentence
    assert any(flag.startswith("small sample") for flag in verdict(result, "few", FAST).flags)
    assert any("few has 12 groups only" in warning for warning in result.warnings)


# Shared groups, contrast pairs, probe kinds.


def test_shared_groups_are_scored_by_fits_that_never_saw_them() -> None:
    way = make_directions(1, n_layers=3, width=12)
    one, two = (
        make_domain(name, seed, way, n_groups=60, strength=1.2, group_prefix="question")
        for name, seed in (("source", 10), ("target", 11))
    )
    with pytest.raises(GroupLeakError):
        transfer(one, two, FAST, options=QUICK)
    result = transfer(one, two, FAST, options=replace(QUICK, shared_groups="cross-fit", keep_scores=True))
    assert result.provenance["groups_shared_with_source"] == {"target": 60}
    assert find(result, "D1", "target", FAST).auroc.low > 0.75
    assert {g.cka_rows for g in result.geometry} == {"paired by row id"}
    # Labels of a question reach no score of that question, in either domain.
    held = one.groups == one.groups[0]
    changed = Domain("source", one.X, np.where(held, 1 - one.y, one.y), one.groups)
    again = transfer(changed, two, FAST, options=replace(QUICK, shared_groups="cross-fit", keep_scores=True))
    rows = two.groups == one.groups[0]
    before, after = (np.array(find(r, "D1", "target", FAST).scores) for r in (result, again))
    np.testing.assert_allclose(before[rows], after[rows], atol=1e-6)
    assert not np.allclose(before[~rows], after[~rows], atol=1e-6)


def test_contrast_pairs_need_no_labels_and_take_the_preset_layer() -> None:
    way = make_directions(1, n_layers=3, width=12)
    source, target = (
        make_domain(name, seed, way, n_groups=60, strength=1.2, with_pairs=True)
        for name, seed in (("source", 10), ("target", 11))
    )
    result = transfer(source, target, FAST, options=QUICK)
    for name in ("source", "target"):
        found = find(result, "D3", name, "contrast-pair")
        assert found.layer == 1
        assert found.fitted_on == name
        assert found.auroc.low > 0.7
    store_like = np.reshape(source.pairs, (3, -1, 12))
    flat = Domain("source", source.X, source.y, source.groups, pairs=store_like)
    np.testing.assert_array_equal(flat.pair_layer(0)[1], source.pair_layer(0)[1])


def test_any_probe_can_be_evaluated_also_non_linear_ones() -> None:
    from probes import Family, MLPProbe

    source, target = two_domains()
    tiny = Family(
        name="tiny",
        probe=MLPProbe(hidden=4, max_epochs=15, learning_rate=0.02, n_seeds=1, device="cpu"),
        max_layers=1,
    )
    options = replace(QUICK, n_permutations=50, n_random_directions=20)
    result = transfer(source, target, [LogisticProbe(C=0.01), tiny], options=options)
    assert find(result, "D1", "target", "tiny").auroc.low > 0.6
    assert repair(result, "target", "re-centre", "tiny").can_change == ("auroc", "threshold", "calibration")
    assert result.headline_probe == "LogisticProbe"
    assert any(w.startswith("tiny was fitted on 1 of 3 layers") for w in result.warnings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_folds": 2}, "n_folds=2"),
        ({"n_splits": 0}, "n_splits=0"),
        ({"shared_groups": "ignore"}, "shared_groups='ignore'"),
    ],
)
def test_impossible_options_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TransferOptions(**change)


def test_targets_are_needed_and_names_must_differ() -> None:
    source, _ = two_domains()
    with pytest.raises(ValueError, match="no targets"):
        transfer(source, [])
    with pytest.raises(DomainError, match="different names"):
        transfer(source, source)
    with pytest.raises(ValueError, match="probe 'svm' is not known"):
        transfer(*two_domains(), "svm")


def test_one_row_in_both_domains_may_stay_only_where_no_fit_saw_its_group() -> None:
    source, target = two_domains()
    X, groups = target.X.copy(), target.groups.astype("U20")
    X[:, :5], groups[:5] = source.X[:, 7:12], source.groups[7:12]
    options = replace(QUICK, shared_groups="cross-fit")
    same_question = Domain("target", X, target.y, groups)
    assert transfer(source, same_question, FAST, options=options).source == "source"
    groups[:5] = target.groups[:5]
    with pytest.raises(DomainError, match="leaked target labels: 5 rows of target"):
        transfer(source, Domain("target", X, target.y, groups), FAST, options=options)


def test_fits_shared_between_calls_change_no_number() -> None:
    source, target = two_domains()
    made: dict = {}
    first = transfer(source, target, FAST, options=QUICK, made=made)
    assert len(made) == 2
    back = transfer(target, source, FAST, options=QUICK, made=made)
    assert len(made) == 2, "nothing was fitted again"
    assert first == transfer(source, target, FAST, options=QUICK)
    assert back == transfer(target, source, FAST, options=QUICK)


def test_a_call_that_knows_which_controls_come_later_gives_the_numbers_of_the_whole() -> None:
    source, target = two_domains()
    way = make_directions(1, n_layers=3, width=12)
    clean = make_domain("clean", 21, way, n_groups=45, strength=0.0)
    whole = transfer(source, target, FAST, controls=[clean], options=QUICK)
    first = transfer(source, target, FAST, options=QUICK, later=[clean.groups])
    unaware = transfer(source, target, FAST, options=QUICK)
    for design, name in (("source", "source"), ("D1", "target"), ("D2", "target")):
        assert find(first, design, name, FAST).auroc == find(whole, design, name, FAST).auroc
    assert find(unaware, "source", "source", FAST).auroc != find(whole, "source", "source", FAST).auroc


def test_a_target_without_an_answer_letter_does_not_take_it_from_the_others() -> None:
    source, target = two_domains()
    other = make_domain("other", 23, make_directions(1, n_layers=3, width=12), n_groups=60, strength=1.0)
    bare = Domain("bare", other.X, other.y, other.groups, other.texts)
    result = transfer(source, [target, bare], FAST, options=QUICK)
    alone = transfer(source, target, FAST, options=QUICK)
    assert control(result, "answer letter", "target", "D1") == control(alone, "answer letter", "target", "D1")
    assert not [c for c in result.controls if (c.name, c.scored_on) == ("answer letter", "bare")]
    assert [c for c in result.controls if (c.name, c.scored_on) == ("tf-idf", "bare")]


def test_a_source_that_never_saw_a_trigger_is_not_said_to_read_it() -> None:
    source, target = two_domains()
    way = make_directions(1, n_layers=3, width=12)
    decoy = make_domain("decoy", 20, way, n_groups=60, strength=1.2)
    behind = np.where(np.arange(len(decoy)) % 2, "yes", "no")
    decoy = Domain("decoy", decoy.X, decoy.y, decoy.groups, strata={"trigger": behind})
    never = Domain("source", source.X, source.y, source.groups, meta={"triggered": False})
    result = transfer(never, target, FAST, controls=[decoy], options=QUICK)
    assert verdict(result, "target", FAST).code == "transfers"
    assert any(flag.startswith("not specific") for flag in verdict(result, "target", FAST).flags)
