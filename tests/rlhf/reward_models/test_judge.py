"""The judge learns P(agree) from single judgements: the same as one row per judgement, and no average."""

import dataclasses

import pytest
import torch
from reward_items import BASE, SPEC, opened, stories, view
from torch.nn.functional import binary_cross_entropy_with_logits

from rlhf.evaluators import Judgement, Pool
from rlhf.evaluators.human import HumanJudgement, view_key
from rlhf.reward_models import JudgedItem, judged_by_people, judged_items, train_judge
from rlhf.reward_models.judge import JudgeObjective, agreement_loss


def said(*confidences):
    return tuple(Judgement(evaluator=f"e{n}", confidence=c) for n, c in enumerate(confidences))


def item(*rows, name="a"):
    responses = tuple(f"response {n}" for n in range(len(rows)))
    return JudgedItem(item=name, view=view(0), responses=responses, judgements=rows)


def test_loss_equals_cross_entropy_over_one_row_per_judgement():
    torch.manual_seed(0)
    logits = torch.randn(3, requires_grad=True)
    one = item(said(0, 25, 50, 75, 100), said(75), said(50, 100))
    objective = JudgeObjective([one])
    loss, logged = objective.loss([logits[:, None]], [0])
    votes = [[0, 0, 0, 1, 1], [1], [0, 1]]  # approve above 50 only
    rows = torch.cat([logits[i].expand(len(row)) for i, row in enumerate(votes)])
    labels = torch.tensor([float(v) for row in votes for v in row])
    expected = binary_cross_entropy_with_logits(rows, labels)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
    assert logged["accuracy"] == pytest.approx(float(((rows > 0) == (labels > 0)).float().mean()))
    (ours,) = torch.autograd.grad(loss, logits, retain_graph=True)
    (theirs,) = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(ours, theirs)


def test_judgements_are_kept_apart_a_response_that_more_people_saw_weighs_more():
    averaged = agreement_loss(torch.tensor([1.0, -1.0]), torch.tensor([0.75, 1.0]), torch.ones(2))
    apart = agreement_loss(torch.tensor([1.0, -1.0]), torch.tensor([3.0, 1.0]), torch.tensor([4.0, 1.0]))
    by_hand = (3 * 0.313262 + 1 * 1.313262 + 1.313262) / 5  # softplus(-1) and softplus(1)
    assert apart.item() == pytest.approx(by_hand, abs=1e-5)
    assert averaged.item() != pytest.approx(apart.item(), abs=1e-2)


def test_a_planted_rule_is_learned_and_p_agree_approaches_the_share(tmp_path):
    """Half of the people approve a right answer, nobody the others."""
    rows = [
        dataclasses.replace(one, judgements=(said(75, 100, 0, 25), said(0, 0, 25, 50), said(0, 0, 0, 0)))
        for one in stories(6)
    ]
    spec = dataclasses.replace(SPEC, epochs=20, learning_rate=5e-3, head_learning_rate=1e-2)
    judge = train_judge(opened(), rows, spec, base=BASE, work_dir=tmp_path, progress=False)
    scores = [judge.score([one.view] * 3, one.responses) for one in rows]
    right, wrong = [s[0] for s in scores], [x for s in scores for x in s[1:]]
    assert sum(right) / len(right) == pytest.approx(0.5, abs=0.12)
    assert sum(wrong) / len(wrong) < 0.12
    training = judge.record.training
    assert (training["judgements"], training["approved"]) == (72, round(12 / 72, 4))
    assert training["evaluators"] == ["e0", "e1", "e2", "e3"]


def test_full_weights_and_an_adapter_train_what_they_should(tmp_path):
    for full in (False, True):
        start = opened(full=full)
        before = {n: p.detach().clone() for n, p in start.model.named_parameters()}
        spec = dataclasses.replace(SPEC, rank=0 if full else 2)
        train_judge(start, stories(), spec, base=BASE, work_dir=tmp_path / str(full), progress=False)
        moved = {n for n, p in start.model.named_parameters() if not torch.equal(p, before[n])}
        assert moved
        assert all("lora_" in name for name in moved) != full


def test_votes_that_all_agree_and_items_without_votes_are_refused(tmp_path):
    for rows in ([item(said(0, 25))], [item(said(75, 100))]):
        with pytest.raises(ValueError, match="of 2 judgements approve: there is nothing to tell apart"):
            train_judge(opened(), rows, SPEC, base=BASE, work_dir=tmp_path, progress=False)
    with pytest.raises(ValueError, match="nobody judged"):
        item(said(0), ())
    with pytest.raises(ValueError, match="2 responses, judgements of 1"):
        JudgedItem(item="a", view=view(0), responses=("x", "y"), judgements=(said(0),))
    with pytest.raises(ValueError, match="item 'a' has no response"):
        judged_items(["a"], [view(0)], [[]], Pool.thorough(1, seed=0))
    with pytest.raises(ValueError, match="0 of 0 judgements"):
        train_judge(opened(), [], SPEC, base=BASE, work_dir=tmp_path, progress=False)


def test_what_people_said_becomes_items():
    row = HumanJudgement(item="a", view=view_key(view(0)), response="x", judgement=said(75)[0])
    other = dataclasses.replace(row, judgement=Judgement(evaluator="z", confidence=0))
    (one,) = judged_by_people([row, other], [view(0), view(1)])
    assert (one.view, one.responses, one.approvals) == (view(0), ("x",), (0.5,))
    with pytest.raises(ValueError, match="views that are not given"):
        judged_by_people([row], [view(1)])
