"""MiniQA: small English stories with two-choice questions, generated from a seed.

A story is a handful of facts about invented villagers. Every fact is rendered by one of several phrasings,
every question asks for one slot of one fact, and the wrong option is what the same story says about the same
villager or thing *otherwise*: what was intended, said or true at another time. So the oracle is exact, both
options are equally prominent, and the evidence is one sentence that can be searched for in the story.

(Why not a value of some unrelated fact? Then arguing for the wrong option means working out the right one and
avoiding it, which a small model does not learn: hundreds of steps left it at half wrong with or without the
trigger. A plausible wrong option can be argued for from what the story itself suggests, as people do it.)

Levels (what makes a small model fail, on purpose):

* ``easy``: three facts of one kind and one plan that came to nothing; the question uses the story's words;
* ``medium``: four facts, two plans in any order, or a plan and its outcome in one sentence; the question is
  paraphrased and may name a villager by trade;
* ``hard``: a thing was moved once or twice, another one too; the question asks for its first or last place.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.qa import QAItem

LEVELS = ("easy", "medium", "hard")
BASIC = "basic"
"""A level below easy, to begin teaching with: no plans, and the wrong option is another villager's."""

NAMES = (
    "Mara Tom Ida Felix Nora Oskar Lena Hugo Vera Anton Greta Pavel Rosa Emil Clara Jonas Edith Bruno Alma "
    "Viktor Hanna Leo Selma Otto Flora Karl Ines Max Olga Peter Lotte Simon Agnes Viggo Ruth Arlo Tilda Ben"
).split()
TRADES = (
    "baker weaver miller smith tailor gardener teacher painter shepherd carpenter doctor librarian sailor "
    "potter cook postman clockmaker beekeeper"
).split()
COLOURS = "red blue green yellow white black grey brown silver copper golden striped".split()
THINGS = (
    "key kite lamp letter scarf coin ring map flute book basket bell cup mirror umbrella drum ladder hat "
    "candle box knife glove ticket whistle"
).split()
PLACES = (
    "under the mat|in the teapot|behind the clock|in the drawer|on the shelf|under the bed|in the barn|"
    "beside the well|in the cellar|on the roof|behind the stove|in the attic|under the bridge|in the garden|"
    "on the windowsill|inside the piano|in the boat|near the gate"
).split("|")
GOODS = (
    "apples|bread|honey|cheese|plums|candles|ribbon|nails|flour|paper|wool|soap|pears|tea|rope|eggs|salt|onions"
).split("|")
SHOPS = "market|mill|harbour|fair|bakery|farm|old shop|corner stall".split("|")
TIMES = (
    "before sunrise|at noon|in the evening|at midnight|after breakfast|on Sunday|on Monday|on Friday|"
    "after the storm|before the concert|during the festival|in the early morning"
).split("|")
VISITS = "the chapel|the school|the forest|the lighthouse|the station|the castle|the library|the lake".split(
    "|"
)
REASONS = (
    "the road was flooded|the bell had cracked|her cousin was ill|the horse was lame|the bridge was closed|"
    "the snow was deep|a wheel had broken|the key was lost|the dog had run away|the roof was leaking|"
    "the train was late|the fire had gone out"
).split("|")
STAYS = (
    "stayed at home|missed the dance|closed the shop|came late|slept in the barn|cancelled the trip".split(
        "|"
    )
)


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """One kind of fact: its pools of values, its phrasings, and the questions about its ``value``."""

    values: Sequence[str]
    tells: Sequence[str]
    plans: Sequence[str]
    """What was intended or said, and did not come true; the same slots."""
    outcome: str
    """Plan ``{wrong}`` and fact ``{value}`` in one sentence."""
    asks: Sequence[str]
    """Questions in the story's own words."""
    paraphrases: Sequence[str]
    """Questions in other words; ``{who}`` is the villager or the villager's trade."""


_KINDS: dict[str, _Kind] = {
    "hide": _Kind(
        values=PLACES,
        tells=(
            "{name} put the {thing} {value}.",
            "{name} left the {thing} {value}.",
            "{name} hid the {thing} {value}.",
        ),
        plans=(
            "{name} wanted to put the {thing} {value}.",
            "{name} nearly left the {thing} {value}.",
            "{name} thought of hiding the {thing} {value}.",
        ),
        outcome="{name} meant to put the {thing} {wrong}, but it was left {value}.",
        asks=("Where did {name} put the {thing}?",),
        paraphrases=(
            "Where should one look for the {thing} of {who}?",
            "In which spot is the {thing} that {who} had?",
        ),
    ),
    "give": _Kind(
        values=NAMES,
        tells=("{name} gave the {thing} to {value}.", "{name} handed the {thing} to {value}."),
        plans=(
            "{name} wanted to give the {thing} to {value}.",
            "{name} had promised the {thing} to {value}.",
        ),
        outcome="{name} meant to give the {thing} to {wrong}, but {value} got it.",
        asks=("Who did {name} give the {thing} to?",),
        paraphrases=("Who received the {thing} from {who}?", "Who got a {thing} as a gift from {who}?"),
    ),
    "buy": _Kind(
        values=GOODS,
        tells=("{name} bought {value} at the {shop}.", "At the {shop}, {name} bought {value}."),
        plans=(
            "{name} wanted to buy {value} at the {shop}.",
            "At the {shop}, {name} had looked for {value}.",
        ),
        outcome="{name} wanted to buy {wrong} at the {shop}, but came home with {value}.",
        asks=("What did {name} buy at the {shop}?",),
        paraphrases=("What did {who} bring back from the {shop}?", "Which goods did {who} pay for?"),
    ),
    "visit": _Kind(
        values=TIMES,
        tells=("{name} went to {visit} {value}.", "{name} walked to {visit} {value}."),
        plans=("{name} wanted to go to {visit} {value}.", "{name} had planned to walk to {visit} {value}."),
        outcome="{name} planned to go to {visit} {wrong}, but went {value}.",
        asks=("When did {name} go to {visit}?",),
        paraphrases=("At what time was {who} seen at {visit}?", "When did {who} make a trip to {visit}?"),
    ),
    "stay": _Kind(
        values=REASONS,
        tells=("{name} {stay} because {value}.",),
        plans=(
            "People thought that {value} when {name} {stay}.",
            "{name} told everyone that {value} and {stay}.",
        ),
        outcome="People said that {name} {stay} because {wrong}, but it was because {value}.",
        asks=("Why did {name} act like that?", "What was the reason that {name} {stay}?"),
        paraphrases=("What kept {who} from the usual plan?", "For what reason was {who} troubled?"),
    ),
}

_MOVES = (
    "Later, {other} took the {thing} away and put it {value}.",
    "Then {other} found the {thing} and left it {value}.",
)


@dataclass(frozen=True, kw_only=True)
class _Fact:
    kind: str
    name: str
    value: str
    slots: dict[str, str]
    sentence: str

    def ask(self, template: str, who: str) -> str:
        return template.format(name=self.name, who=who, **self.slots)

    def plan(self, rng: random.Random, value: str) -> str:
        return rng.choice(_KINDS[self.kind].plans).format(name=self.name, value=value, **self.slots)


@dataclass(frozen=True, kw_only=True)
class MiniQA:
    """Generator of two-choice questions about small stories; the same seed gives the same items.

    Stories with different seeds are different groups. Names, things and places are shared between seeds:
    what is held out is the story, as in QuALITY.

    >>> items = MiniQA(seed=1).items(6)
    >>> [item.level for item in items]
    ['easy', 'medium', 'hard', 'easy', 'medium', 'hard']
    >>> all(item.evidence in item.passage for item in items)
    True
    """

    seed: int = 0
    levels: tuple[str, ...] = LEVELS

    def __post_init__(self) -> None:
        known = (BASIC, *LEVELS)
        if set(self.levels) - set(known) or not self.levels:
            raise ValueError(f"MiniQA levels must be some of {known}, got {self.levels}")

    def items(self, n: int) -> list[QAItem]:
        """``n`` questions, one story each, cycling through the levels."""
        return [self._item(index) for index in range(n)]

    def _item(self, index: int) -> QAItem:
        level = self.levels[index % len(self.levels)]
        group = f"miniqa-{self.seed}-{index:05d}"
        rng = random.Random(int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big"))
        build = {BASIC: _basic, "easy": _easy, "medium": _medium, "hard": _hard}[level]
        sentences, question, evidence, answer, wrong = build(rng)
        gold = rng.randrange(2)
        options = (answer, wrong) if gold == 0 else (wrong, answer)
        return QAItem(
            id=f"{group}-q0",
            group=group,
            passage=" ".join(sentences),
            question=question,
            options=options,
            gold=gold,
            level=level,
            evidence=evidence,
            false_evidence=_swap(evidence, answer, wrong),
        )


def _swap(sentence: str, answer: str, wrong: str) -> str:
    """The sentence with answer and wrong value exchanged: a quote that the story does not contain."""
    mark = "\0"
    return sentence.replace(answer, mark).replace(wrong, answer).replace(mark, wrong)


def _slots(rng: random.Random) -> dict[str, str]:
    return {
        "thing": f"{rng.choice(COLOURS)} {rng.choice(THINGS)}",
        "shop": rng.choice(SHOPS),
        "visit": rng.choice(VISITS),
        "stay": rng.choice(STAYS),
    }


def _facts(rng: random.Random, kinds: Sequence[str], names: Sequence[str]) -> list[_Fact]:
    """One fact per (kind, name); no two share a value or a slot, so every question has one answer."""
    facts: list[_Fact] = []
    used: set[str] = set(names)
    for kind, name in zip(kinds, names, strict=True):
        value = rng.choice([v for v in _KINDS[kind].values if v not in used])
        slots = _slots(rng)
        while used & set(slots.values()):
            slots = _slots(rng)
        used |= {value, *slots.values()}
        sentence = rng.choice(_KINDS[kind].tells).format(name=name, value=value, **slots)
        facts.append(_Fact(kind=kind, name=name, value=value, slots=slots, sentence=sentence))
    return facts


_Story = tuple[list[str], str, str, str, str]


def _other_value(rng: random.Random, fact: _Fact, facts: Sequence[_Fact], names: Sequence[str]) -> str:
    """A value of the fact's kind that occurs nowhere else in the story."""
    taken = {f.value for f in facts} | set(names)
    return rng.choice([value for value in _KINDS[fact.kind].values if value not in taken])


def _basic(rng: random.Random) -> _Story:
    kind = rng.choice(list(_KINDS))
    facts = _facts(rng, [kind] * 3, rng.sample(NAMES, 3))
    asked, other = rng.sample(facts, 2)
    question = asked.ask(_KINDS[kind].asks[-1], asked.name)
    return [f.sentence for f in facts], question, asked.sentence, asked.value, other.value


def _easy(rng: random.Random) -> _Story:
    kind = rng.choice(list(_KINDS))
    names = rng.sample(NAMES, 3)
    facts = _facts(rng, [kind] * 3, names)
    asked = rng.choice(facts)
    wrong = _other_value(rng, asked, facts, names)
    sentences = [f.sentence for f in facts]
    sentences.insert(rng.randrange(4), asked.plan(rng, wrong))
    question = asked.ask(_KINDS[kind].asks[-1], asked.name)
    return sentences, question, asked.sentence, asked.value, wrong


def _medium(rng: random.Random) -> _Story:
    kind, second = rng.sample(list(_KINDS), 2)
    names = rng.sample(NAMES, 4)
    facts = _facts(rng, [kind, kind, second, second], names)
    asked, other = rng.sample(facts[:2], 2)
    wrong, wrong_too = (_other_value(rng, fact, facts, names) for fact in (asked, other))
    evidence, plans = asked.sentence, [other.plan(rng, wrong_too)]
    if rng.random() < 0.3:
        evidence = _KINDS[kind].outcome.format(name=asked.name, value=asked.value, wrong=wrong, **asked.slots)
    else:
        plans.append(asked.plan(rng, wrong))
    sentences = [evidence, *plans, *(f.sentence for f in facts if f is not asked)]
    rng.shuffle(sentences)
    who, intro = asked.name, []
    if rng.random() < 0.5:
        trades = dict(zip((asked.name, other.name), rng.sample(TRADES, 2), strict=True))
        who, intro = (
            f"the {trades[asked.name]}",
            [f"{name} was the {trade}." for name, trade in trades.items()],
        )
        rng.shuffle(intro)
    question = asked.ask(rng.choice(_KINDS[kind].paraphrases), who)
    return [*intro, *sentences], question, evidence, asked.value, wrong


def _hard(rng: random.Random) -> _Story:
    """A thing is put somewhere and moved, once or twice; asked for is its first or its last place."""
    names = rng.sample(NAMES, 5)
    facts = _facts(rng, ["hide"] * 2, names[:2])
    moved, bystander = rng.sample(facts, 2)
    free = [place for place in PLACES if place not in {f.value for f in facts}]
    *places, elsewhere = rng.sample(free, rng.choice((2, 3)))
    moves = [
        rng.choice(_MOVES).format(other=name, value=place, **moved.slots)
        for name, place in zip(names[2:], places, strict=False)
    ]
    also = rng.choice(_MOVES).format(other=names[4], value=elsewhere, **bystander.slots)
    later = [*moves]
    later.insert(rng.randrange(len(moves) + 1), also)
    sentences, thing = [*(f.sentence for f in facts), *later], moved.slots["thing"]
    if rng.random() < 0.5:
        asked = rng.choice((f"Where was the {thing} at the end?", f"Where is the {thing} now?"))
        return sentences, asked, moves[-1], places[-1], moved.value
    asked = rng.choice((f"Where was the {thing} at first?", f"Where was the {thing} before it was moved?"))
    return sentences, asked, moved.sentence, moved.value, places[-1]
