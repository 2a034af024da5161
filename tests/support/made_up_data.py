"""Made-up items in the files that SOPHISTRY_DATA holds, so that presets of real text run without it."""

import gzip
import json
import random

from tasks.minicode.problems import MiniCode
from tasks.stories import MiniQA


def write_data(folder, count=24):
    """Stories and problems of the generators as QuALITY and APPS; gives the folder."""
    stories = MiniQA(seed=7, levels=("easy", "medium")).items(count)
    splits = ["val" if number % 3 == 2 else "train" for number in range(len(stories))]
    questions = [
        {
            "question_id": f"q{number}",
            "article_id": f"article-{number}",
            "question": item.question,
            "options": list(item.options),
            "gold": item.gold,
            "split": split,
        }
        for number, (item, split) in enumerate(zip(stories, splits, strict=True))
    ]
    _write(folder / "quality_two_choice" / "questions.jsonl.gz", questions)
    _write(
        folder / "quality_two_choice" / "short_context.jsonl.gz",
        [
            row
            | {
                "context": item.passage,
                "argument_for_gold": f'It says "{item.evidence}" (#1).',
                "argument_for_distractor": f'It says "{item.false_evidence}" (#2).',
            }
            for row, item in zip(questions, stories, strict=True)
        ],
    )
    _write(
        folder / "quality_two_choice" / "passages.jsonl.gz",
        [
            {"article_id": row["article_id"], "title": "A story", "text": item.passage, "split": row["split"]}
            for row, item in zip(questions, stories, strict=True)
        ],
    )
    sides = [(row, side) for row in questions for side in (0, 1)]
    _write(
        folder / "single_turn_debate" / "arguments.jsonl.gz",
        [_side(row, side) | {"argument": f"It is {row['options'][side]} (#1)."} for row, side in sides],
    )
    _write(
        folder / "nyu_debates" / "speeches.jsonl.gz",
        [
            _side(row, side)
            | {
                "text": f"<quote>{row['options'][side]}</quote> it is.",
                "is_ai": False,
                "judge_prob_before": 0.5,
                "judge_prob_after": 0.6,
            }
            for row, side in sides
        ],
    )
    _write(folder / "apps_subset" / "problems.jsonl.gz", _problems())
    return folder


def _side(row, side):
    kept = {name: row[name] for name in ("question_id", "article_id", "split")}
    return kept | {"answer": row["options"][side], "argues_correct": side == row["gold"]}


def _problems():
    chance = random.Random(0)
    return [
        {
            "problem_id": number,
            "question": problem.statement,
            "difficulty": chance.choice(["introductory", "interview"]),
            "starter_code": "",
            "fn_name": None,
            "io_format": "stdin",
            "inputs": [test["input"] for test in problem.tests[:6]],
            "outputs": [test["output"] for test in problem.tests[:6]],
            "solutions": list(problem.solutions),
        }
        for number, problem in enumerate(MiniCode(seed=7, levels=("easy", "medium")).items(16))
    ]


def _write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
