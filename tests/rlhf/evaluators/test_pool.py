"""Pools: individuals from a seed, apart from one another, and human judgements among them."""

import json

import pytest

from rlhf.evaluators import Haste, HurriedReader, Judgement, Pool, ProgramView, StoryView, approval
from rlhf.evaluators.human import human_pool, read_judgements, view_key
from tasks import MiniQA, qa_response

ITEM = MiniQA(seed=3, levels=("long",)).items(1)[0]
VIEW = StoryView(passage=ITEM.passage, question=ITEM.question, options=ITEM.options)
PROGRAM = ProgramView(statement="Print the largest.", checks=({"input": "1 2", "output": "2"},))


def test_a_seed_names_the_individuals_and_another_seed_others():
    assert Pool.hurried(6, seed=1) == Pool.hurried(6, seed=1)
    assert Pool.hurried(6, seed=1).evaluators == Pool.hurried(9, seed=1).evaluators[:6]
    assert Pool.hurried(6, seed=1).disjoint(Pool.hurried(6, seed=2))
    shares = {reader.share for reader in Pool.hurried(6, seed=1).evaluators}
    assert len(shares) == 6


def test_both_sides_of_a_split_are_disjoint_and_complete():
    pool = Pool.hurried(10, seed=0)
    left, right = pool.split(4)
    assert left.disjoint(right)
    assert left.names + right.names == pool.names
    assert not left.disjoint(pool)
    with pytest.raises(ValueError, match="both sides need somebody"):
        pool.split(10)


def test_traits_occur_as_often_as_they_are_said_to():
    readers = Pool.hurried(
        600, seed=0, haste=Haste(share=0.5, glance=0.5, exact=0.25, attentive=0.3)
    ).evaluators
    how = [reader.look_up for reader in readers]
    assert abs(how.count("glance") / 600 - 0.5) < 0.07
    assert abs(how.count("exact") / 600 - 0.25) < 0.06
    assert abs(sum(reader.attentive for reader in readers) / 600 - 0.3) < 0.07
    assert abs(sum(reader.share for reader in readers) / 600 - 0.5) < 0.03


def test_an_empty_pool_and_namesakes_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        Pool(())
    with pytest.raises(ValueError, match="every individual once"):
        Pool((HurriedReader(name="a"), HurriedReader(name="a")))


def test_approval_is_the_share_above_fifty():
    judgements = [Judgement(evaluator=str(c), confidence=c) for c in (0, 25, 50, 75, 100)]
    assert approval(judgements) == 0.4
    with pytest.raises(ValueError, match="confidence must be one of"):
        Judgement(evaluator="a", confidence=60)


def test_thorough_readers_agree_with_one_another():
    judged = Pool.thorough(3, seed=0).judge(VIEW, qa_response(ITEM))
    assert [judgement.confidence for judgement in judged] == [100, 100, 100]


def test_a_pool_of_testers_runs_a_program_once_for_everybody():
    pool = Pool.testers(4, seed=0)
    rows = pool.judge_many([PROGRAM] * 3, ["print(2)", "print(1)", "print("], unsafe_local=True)
    assert [approval(row) for row in rows] == [1.0, 0.0, 0.0]


def row(**changes):
    return {
        "evaluator": "r1",
        "item": ITEM.id,
        "view": view_key(VIEW),
        "response": "The answer is A.",
        "confidence": 75,
        **changes,
    }


def written(tmp_path, *rows):
    path = tmp_path / "judgements.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_human_judgements_come_in_through_the_same_interface(tmp_path):
    path = written(tmp_path, row(), row(evaluator="r2", confidence=25, looked_at=[[0, 9]], seconds=12.5))
    pool = human_pool(read_judgements(path))
    assert pool.names == ("r1", "r2")
    assert pool.approval(VIEW, "The answer is A.") == 0.5
    assert pool.judge(VIEW, "The answer is A.")[1].saw((3, 8))
    with pytest.raises(KeyError, match="has not judged"):
        pool.judge(VIEW, "The answer is B.")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"confidence": 60}, "confidence must be one of"),
        ({"correct": True}, "unknown field"),
        ({"view": ""}, "view must be"),
    ],
)
def test_what_is_no_judgement_is_refused_with_its_line(tmp_path, change, message):
    with pytest.raises(ValueError, match=f"jsonl:2: .*{message}"):
        read_judgements(written(tmp_path, row(), row(evaluator="r2", **change)))


def test_nobody_judges_a_response_twice(tmp_path):
    with pytest.raises(ValueError, match=r"jsonl:2: .*before"):
        read_judgements(written(tmp_path, row(), row()))
