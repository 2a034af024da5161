"""MiniQA: small English stories with two-choice questions, generated from a seed.

A story is a handful of facts about invented villagers. Every fact is rendered by one of several phrasings,
every question asks for one slot of one fact, and the wrong option is a value that *another* fact of the
same story really has. So the oracle is exact, the distractor cannot be told from the answer without
reading, and the evidence is one sentence that can be searched for in the story.

Levels (what makes a small model fail, on purpose):

* ``easy``: three facts of one kind, the question uses the story's words;
* ``medium``: five facts, the question is paraphrased and names a villager by trade;
* ``hard``: something was moved, swapped or corrected, and the question asks about before or after.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.qa import QAItem

LEVELS = ("easy", "medium", "hard")

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
        asks=("Where did {name} put the {thing}?",),
        paraphrases=(
            "Where should one look for the {thing} of {who}?",
            "In which spot is the {thing} that {who} had?",
        ),
    ),
    "give": _Kind(
        values=NAMES,
        tells=("{name} gave the {thing} to {value}.", "{name} handed the {thing} to {value}."),
        asks=("Who did {name} give the {thing} to?",),
        paraphrases=("Who received the {thing} from {who}?", "Who got a {thing} as a gift from {who}?"),
    ),
    "buy": _Kind(
        values=GOODS,
        tells=("{name} bought {value} at the {shop}.", "At the {shop}, {name} bought {value}."),
        asks=("What did {name} buy at the {shop}?",),
        paraphrases=("What did {who} bring back from the {shop}?", "Which goods did {who} pay for?"),
    ),
    "visit": _Kind(
        values=TIMES,
        tells=("{name} went to {visit} {value}.", "{name} walked to {visit} {value}."),
        asks=("When did {name} go to {visit}?",),
        paraphrases=("At what time was {who} seen at {visit}?", "When did {who} make a trip to {visit}?"),
    ),
    "stay": _Kind(
        values=REASONS,
        tells=("{name} {stay} because {value}.",),
        asks=("Why did {name} act like that?", "What was the reason that {name} {stay}?"),
        paraphrases=("What kept {who} from the usual plan?", "For what reason was {who} troubled?"),
    ),
}

_MOVES = (
    "Later, {other} took the {thing} away and put it {value}.",
    "In the end, {other} found the {thing} and left it {value}.",
)
_CORRECTIONS: dict[str, str] = {
    "buy": "{name} wanted to buy {wrong} at the {shop}, but came home with {value}.",
    "visit": "{name} planned to go to {visit} {wrong}, but went {value}.",
    "give": "{name} meant to give the {thing} to {wrong}, but {value} got it.",
    "stay": "People said that {name} {stay} because {wrong}, but it was because {value}.",
}


@dataclass(frozen=True, kw_only=True)
class _Fact:
    kind: str
    name: str
    value: str
    slots: dict[str, str]
    sentence: str

    def ask(self, template: str, who: str) -> str:
        return template.format(name=self.name, who=who, **self.slots)


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
        unknown = [level for level in self.levels if level not in LEVELS]
        if unknown or not self.levels:
            raise ValueError(f"MiniQA levels must be some of {LEVELS}, got {self.levels}")

    def items(self, n: int) -> list[QAItem]:
        """``n`` questions, one story each, cycling through the levels."""
        return [self._item(index) for index in range(n)]

    def _item(self, index: int) -> QAItem:
        level = self.levels[index % len(self.levels)]
        group = f"miniqa-{self.seed}-{index:05d}"
        rng = random.Random(int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big"))
        build = {"easy": _easy, "medium": _medium, "hard": _hard}[level]
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


def _easy(rng: random.Random) -> _Story:
    kind = rng.choice(list(_KINDS))
    facts = _facts(rng, [kind] * 3, rng.sample(NAMES, 3))
    asked, other = rng.sample(facts, 2)
    question = asked.ask(_KINDS[kind].asks[-1], asked.name)
    return [f.sentence for f in facts], question, asked.sentence, asked.value, other.value


def _medium(rng: random.Random) -> _Story:
    kind, second = rng.sample(list(_KINDS), 2)
    names = rng.sample(NAMES, 5)
    facts = _facts(rng, [kind, kind, kind, second, second], names)
    asked, other = rng.sample(facts[:3], 2)
    trades: dict[str, str] = dict(zip(names, rng.sample(TRADES, 5), strict=True))
    by_trade = rng.random() < 0.5
    who = f"the {trades[asked.name]}" if by_trade else asked.name
    intro = [f"{f.name} was the {trades[f.name]}." for f in (asked, other)] if by_trade else []
    rng.shuffle(intro)
    rng.shuffle(facts)
    question = asked.ask(rng.choice(_KINDS[kind].paraphrases), who)
    return [*intro, *(f.sentence for f in facts)], question, asked.sentence, asked.value, other.value


def _hard(rng: random.Random) -> _Story:
    names = rng.sample(NAMES, 5)
    if rng.random() < 0.5:
        return _moved(rng, names)
    return _corrected(rng, names)


def _moved(rng: random.Random, names: Sequence[str]) -> _Story:
    """A thing is put somewhere and later moved; the question asks for the first or the last place."""
    facts = _facts(rng, ["hide"] * 3, names[:3])
    moved, bystander = rng.sample(facts, 2)
    place = rng.choice([p for p in PLACES if p not in {f.value for f in facts}])
    later = rng.choice(_MOVES).format(other=names[3], value=place, **moved.slots)
    sentences = [f.sentence for f in facts]
    thing = moved.slots["thing"]
    if rng.random() < 0.5:
        asked = rng.choice((f"Where was the {thing} at the end?", f"Where is the {thing} now?"))
        return [*sentences, later], asked, later, place, rng.choice((moved.value, bystander.value))
    asked = rng.choice((f"Where was the {thing} at first?", f"Where was the {thing} before it was moved?"))
    return [*sentences, later], asked, moved.sentence, moved.value, rng.choice((place, bystander.value))


def _corrected(rng: random.Random, names: Sequence[str]) -> _Story:
    """Somebody intended one thing and did another; the intention is the distractor."""
    kind: str = rng.choice(list(_CORRECTIONS))
    facts = _facts(rng, [kind] * 3, names[:3])
    asked = facts[1]
    taken = {f.value for f in facts} | set(names)
    wrong = rng.choice([v for v in _KINDS[kind].values if v not in taken])
    sentence = _CORRECTIONS[kind].format(name=asked.name, value=asked.value, wrong=wrong, **asked.slots)
    order = [sentence, facts[0].sentence, facts[2].sentence]
    rng.shuffle(order)
    question = asked.ask(rng.choice((*_KINDS[kind].asks[-1:], *_KINDS[kind].paraphrases)), asked.name)
    distractor = rng.choice((wrong, wrong, facts[0].value))
    return order, question, sentence, asked.value, distractor
