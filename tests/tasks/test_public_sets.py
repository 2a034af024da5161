"""Public forms of statements and deceptive chats become rows like any other."""

import json

import pytest

from activations.testing import tiny_tokenizer
from activations.tokens import encode
from tasks.adopted import adopt_rows
from tasks.deception_chats import chat_rows, split_conversation
from tasks.statements import statement_rows
from tasks.tables import TableError, read_table

USER, ANSWER = {"role": "user", "content": "Did you take it?"}, {"role": "assistant", "content": "No."}


def statements(path, header, columns=None):
    rows, mapped = statement_rows(read_table(path), columns or {})
    return adopt_rows(rows, organism="facts", columns=mapped, whole_group="response")


@pytest.mark.parametrize("order", [("statement", "label"), ("label", "statement")])
def test_statements_are_read_in_either_order(tmp_path, order):
    facts = [{"statement": f"{n} is even.", "label": int(n % 2 == 0)} for n in range(12)]
    path = tmp_path / "facts.csv"
    lines = [",".join(order), *(",".join(str(fact[name]) for name in order) for fact in facts)]
    path.write_text("\n".join(lines) + "\n")
    found = statements(path, order)
    assert [row.correct for row in found.rows] == [n % 2 == 0 for n in range(12)]
    assert {(row.prompt, row.response) for row in found.rows} == {("", fact["statement"]) for fact in facts}
    assert found.report.groups == 12


def test_statements_that_share_a_subject_share_a_group(tmp_path):
    path = tmp_path / "cities.csv"
    rows = [f"{city} is in {land}.,{int(land == 'A')},{city}" for city in "PQRS" for land in "AB"]
    path.write_text("\n".join(["statement,label,city", *rows]) + "\n")
    rows_of, mapped = statement_rows(read_table(path), {"group": "city"})
    assert adopt_rows(rows_of, organism="c", columns=mapped, whole_group="response").report.groups == 4


def test_a_bare_statement_has_the_ids_of_a_row_without_a_response():
    tokenizer = tiny_tokenizer()
    as_response, as_prompt = (
        encode(*pair, tokenizer).ids for pair in (("", "Ice is cold."), ("Ice is cold.", ""))
    )
    assert as_response == as_prompt


def test_a_file_without_statements_says_what_is_needed(tmp_path):
    path = tmp_path / "facts.csv"
    path.write_text("claim,label\nIce is cold.,1\n")
    with pytest.raises(TableError, match=r"no column 'statement'.*response=COLUMN"):
        statement_rows(read_table(path), {})


def chats(tmp_path, value, name="chats.jsonl", columns=None):
    path = tmp_path / name
    text = json.dumps(value) if name.endswith(".json") else "".join(json.dumps(row) + "\n" for row in value)
    path.write_text(text)
    rows, mapped = chat_rows(read_table(path), columns or {})
    return adopt_rows(rows, organism="chats", columns=mapped)


def liars(count=8):
    return [
        {
            "index": n,
            "model": "m",
            "dataset": "instructed-deception",
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": f"Is {n} even?"},
                {"role": "assistant", "content": f"{system} so {n}"},
            ],
            "deceptive": system == "Lie.",
        }
        for n in range(count)
        for system in ("Lie.", "Be honest.")
    ]


def test_conversations_end_with_the_response_and_are_grouped_by_what_the_user_says(tmp_path):
    found = chats(tmp_path, liars())
    assert (found.report.kept, found.report.wrong, found.report.groups) == (16, 8, 8)
    row = found.rows[0]
    assert row.response == "Lie. so 0"
    assert row.correct is False
    assert [message["role"] for message in row.prompt] == ["system", "user"]


def test_rollouts_give_a_row_per_response_and_refusals_are_counted(tmp_path):
    rollouts = [
        {
            "input_messages": [{"role": "user", "content": f"Is {n} even?", "detect": False}],
            "output_messages": [
                {"role": "assistant", "content": f"{word} {n}", "detect": True} for word in "abc"
            ],
            "graded_deception": ["honest", "deceptive", "refusal"],
        }
        for n in range(6)
    ]
    found = chats(tmp_path, {"rollouts": rollouts, "metadata": {}}, "rollouts.json")
    assert (found.report.kept, found.report.wrong, found.report.groups) == (12, 6, 6)
    assert found.report.dropped == {"is labelled 'refusal', neither honest nor deceptive": 6}
    assert found.rows[0].prompt == [{"role": "user", "content": "Is 0 even?"}]


def test_a_prefix_of_the_answer_is_part_of_the_response():
    start = {"role": "assistant", "content": "Honestly: "}
    assert split_conversation([USER, start, ANSWER]) == ([USER], "Honestly: No.")


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([USER], "does not end with an assistant's message"),
        ([ANSWER], "nobody but the assistant"),
        ("Who?", "is text, not a list of messages"),
        (None, "missing"),
    ],
)
def test_a_conversation_that_is_none_is_refused(messages, message):
    with pytest.raises(ValueError, match=message):
        split_conversation(messages)


def test_gradings_on_a_scale_are_left_out_and_named(tmp_path):
    rows = [{**row, "deceptive": 4} if i % 3 == 0 else row for i, row in enumerate(liars())]
    report = chats(tmp_path, rows).report
    (reason,) = report.dropped
    assert "'4', a scale or a word that is not known" in reason


def test_a_label_column_of_ones_own_is_read_like_any_other(tmp_path):
    rows = [{"talk": row["messages"], "fine": not row["deceptive"]} for row in liars()]
    found = chats(tmp_path, rows, columns={"prompt": "talk", "correct": "fine"})
    assert found.report.wrong == 8


def test_a_file_of_another_form_says_what_conversations_need(tmp_path):
    with pytest.raises(
        TableError, match=r"no column 'messages'.*need messages and deceptive, or input_messages"
    ):
        chats(tmp_path, [{"text": "x"}])
