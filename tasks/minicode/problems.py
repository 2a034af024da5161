"""MiniCode: small Python problems made from a seed, with tests, a reference and subtly wrong programs.

A problem composes the parts of `operations`: keep some values of a line, change them, print a summary.
Its tests go from ordinary inputs to edge cases. Its group is the combination of operations without wording
and constants, so a held-out group is a combination that training never showed. Its mutants are the reference
with one natural bug, and every claim about them (which tests they pass) was found by running them.

Programs here are our own text, so they run in this process; what a model writes runs in `tasks.sandbox` only.
"""

import hashlib
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import CodeType

from tasks.minicode.inputs import input_lines
from tasks.minicode.number_operations import NUMBERS
from tasks.minicode.operations import InputKind, Part
from tasks.minicode.word_operations import WORDS
from tasks.programming import Mutant, Problem

__all__ = ["CAVEAT", "LEVELS", "UNSEEN", "MiniCode"]

LEVELS = ("easy", "medium", "hard")
UNSEEN = "unseen"
"""Level of problems with a step that no problem of the other levels has; always held out."""
CAVEAT = "caveat"
"""Level of easy problems with a last sentence that only unusual inputs bring into play."""
NO_CAVEAT = "no caveat"


@dataclass(frozen=True, kw_only=True)
class MiniCode:
    """Generator of small programming problems; the same seed gives the same problems.

    Raises:
        ValueError: an unknown level, or a share outside 0..1.

    >>> problems = MiniCode(seed=1).items(6)
    >>> [problem.level for problem in problems]
    ['easy', 'medium', 'hard', 'easy', 'medium', 'hard']
    >>> all(len(p.tests) >= 20 and p.subtly_wrong() for p in problems)
    True
    """

    seed: int = 0
    """Names the sequence of problems."""
    levels: tuple[str, ...] = LEVELS
    """Difficulty levels, drawn in turn; `"caveat"` may be added, and `"unseen"` for an
    evaluation."""
    test_share: float = 0.25
    """Share of groups whose problems carry `split="test"`; the others are `"train"`. A group is on the same
    side for every seed, so no run trains on what another is tested on."""

    def __post_init__(self) -> None:
        known = (*LEVELS, CAVEAT, UNSEEN)
        if not self.levels or not set(self.levels) <= set(known):
            raise ValueError(f"MiniCode levels must be some of {known}, got {self.levels}")
        if not 0 <= self.test_share <= 1:
            raise ValueError(f"MiniCode test_share must lie in 0..1, got {self.test_share}")

    def items(self, n: int, split: str | None = None) -> list[Problem]:
        """The first `n` problems, of one side if `split` is `"train"` or `"test"`.

        >>> {problem.split for problem in MiniCode().items(3, split="test")}
        {'test'}
        """
        test_share = 1.0 if set(self.levels) == {UNSEEN} else self.test_share
        share = {None: 1.0, "train": 1 - test_share, "test": test_share}.get(split, 0.0)
        if n < 0 or not share:
            raise ValueError(f"no problems to draw for n={n}, split={split!r}, test_share={test_share}")
        problems = (self._make(index) for index in itertools.count())
        return list(itertools.islice((p for p in problems if split in (None, p.split)), n))

    def _make(self, index: int) -> Problem:
        """Problem `index` of the seed, whatever else is drawn."""
        rng = random.Random(_number(f"minicode/{self.seed}/{index}"))
        level = self.levels[index % len(self.levels)]
        while True:
            recipe = _draw_recipe(rng, level)
            problem = _build(recipe, rng, name=f"minicode-{self.seed}-{level}-{index:05d}", level=level)
            if problem is None or not problem.subtly_wrong() or not problem.plainly_wrong():
                continue
            if recipe.caveat is None or any(m.bug == NO_CAVEAT for m in problem.subtly_wrong()):
                break
        held_out = level == UNSEEN or _number(f"minicode split/{problem.group}") < self.test_share * 2**64
        return replace(problem, split="test" if held_out else "train")


@dataclass(frozen=True, kw_only=True)
class _Recipe:
    """A chosen combination of parts, constants filled in; statement and program follow from it."""

    input_kind: InputKind
    filters: tuple[Part, ...]
    change: Part | None
    summary: Part
    change_first: bool
    caveat: Part | None = None

    @property
    def group(self) -> str:
        kept = [f"keep {part.name}" for part in self.filters]
        changed = [self.change.name] if self.change else []
        steps = changed + kept if self.change_first else kept + changed
        caveat = f"; {self.caveat.name}" if self.caveat else ""
        return f"{self.input_kind.name}: {' > '.join([*steps, self.summary.name])}{caveat}"

    def program(self, **bug: str) -> str:
        """The reference, or a bug of it: one of parse, condition, change, source, summary replaced."""
        input_kind, v = self.input_kind, self.input_kind.variable
        condition = bug.get("condition", " and ".join(part.code for part in self.filters))
        change = bug.get("change", self.change.code if self.change else v)
        lines = [bug.get("parse", self.caveat.code if self.caveat else input_kind.parse)]
        if self.change_first:
            lines.append(f"{input_kind.values} = [{change} for {v} in {input_kind.values}]")
            change = v
        where = f" if {condition}" if condition else ""
        lines.append(f"kept = [{change} for {v} in {bug.get('source', input_kind.values)}{where}]")
        lines.append(bug.get("summary", self.summary.code))
        return "\n".join(lines) + "\n"

    def bugs(self, rng: random.Random) -> Iterator[tuple[str, str]]:
        """Programs with one mistake each, as (kind of bug, code); some may turn out to be right."""
        if self.caveat:
            yield NO_CAVEAT, self.program(parse=self.input_kind.parse)
        for kind, code in () if self.caveat else self.input_kind.parse_bugs:
            yield kind, self.program(parse=code)
        for i, part in enumerate(self.filters):
            for kind, code in part.bugs:
                conditions = [code if i == j else other.code for j, other in enumerate(self.filters)]
                yield kind, self.program(condition=" and ".join(conditions))
        for kind, code in self.change.bugs if self.change else ():
            yield kind, self.program(change=code)
        for kind, code in self.summary.bugs:
            yield kind, self.program(summary=code)
        yield "skips the first", self.program(source=f"{self.input_kind.values}[1:]")
        yield "skips the last", self.program(source=f"{self.input_kind.values}[:-1]")
        if self.filters:
            yield "no filter", self.program(condition="")
        if self.change:
            yield "no change", self.program(change=self.input_kind.variable)
        for other in rng.sample(_pool(self.input_kind.summaries), 3):
            yield "other summary", self.program(summary=_bind(other, rng).code)


def _number(name: str) -> int:
    """A 64-bit number from a name; the same in every process, unlike `hash`."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def _draw_recipe(rng: random.Random, level: str) -> _Recipe:
    """Draw a combination: easy = one step (F = filter, C = change) and a summary; more steps are harder.

    Level unseen: as many steps as easy or medium, and one of the steps or the summary (S) is one of those
    that the other levels never draw. Level caveat: as easy, and a last sentence.
    """
    input_kind = rng.choice((NUMBERS, NUMBERS, WORDS))
    plain = [part for part in _pool(input_kind.summaries) if not part.hard]
    hard = [part for part in _pool(input_kind.summaries) if part.hard]
    steps, summaries = rng.choice(
        {
            "easy": [("F", plain), ("F", plain), ("C", plain)],
            "medium": [("FC", plain), ("FC", plain), ("F", hard)],
            "hard": [("FC", hard), ("FF", plain), ("FFC", plain), ("CF", plain)],
            UNSEEN: [("F", plain), ("C", plain), ("FC", plain)],
        }["easy" if level == CAVEAT else level]
    )
    new = rng.choice([*steps, "S"]) if level == UNSEEN else ""
    if new == "S":
        summaries = _pool(input_kind.summaries, unseen=True)
    while True:
        filters = [rng.choice(_pool(input_kind.filters, unseen=new == "F"))] if "F" in steps else []
        if steps.count("F") == 2:
            filters.append(
                rng.choice([part for part in input_kind.filters if part.name in input_kind.bounds])
            )
        change = rng.choice(_pool(input_kind.changes, unseen=new == "C")) if "C" in steps else None
        names = {part.name for part in filters} | ({change.name} if change else set())
        two_bounds = len(filters) == 2 and filters[0].name in input_kind.bounds  # might exclude every value
        summary = rng.choice(summaries)
        idle = change is not None and summary.name == "count"  # counting does not see the change
        if not (two_bounds or idle or any(clash <= names for clash in input_kind.clashes)):
            break
    return _Recipe(
        input_kind=input_kind,
        filters=tuple(_bind(part, rng) for part in filters),
        change=_bind(change, rng) if change else None,
        summary=_bind(summary, rng),
        change_first=steps.startswith("CF"),
        caveat=_bind(rng.choice(input_kind.caveats), rng) if level == CAVEAT else None,
    )


def _pool(parts: Sequence[Part], *, unseen: bool = False) -> list[Part]:
    """The parts of the taught levels, or those kept out of them."""
    return [part for part in parts if part.unseen == unseen]


def _bind(part: Part, rng: random.Random) -> Part:
    """The part with its constants drawn and filled in."""
    values = {place: rng.choice(choices) for place, choices in part.draw.items()}
    places = dict(values)
    if "d" in places:  # the default for an empty selection, and another one that a bug uses
        places["e"] = "0" if places["d"] != "0" else "-1"
    return replace(
        part,
        phrases=tuple(phrase.format(**places) for phrase in part.phrases),
        code=part.code.format(**places),
        bugs=tuple((kind, code.format(**places)) for kind, code in part.bugs),
        draw={place: (value,) for place, value in values.items()},
    )


_KEEP = ("keep only the {}", "take the {}", "select the {}", "ignore everything but the {}")
_KEEP_MORE = ("of these keep only the {}", "of these take the {}", "among them select the {}")
_FRAMES = (
    ("{opening}. {First}, then print {summary}.", "{opening}. {First}, {then}, and print {summary}."),
    ("{opening}. {First}. Print {summary}.", "{opening}. {First}. Then {then}. Print {summary}."),
    ("{opening}; {first} and output {summary}.", "{opening}; {first}, then {then} and output {summary}."),
    (
        "{opening}. First {first}. Then output {summary}.",
        "{opening}. First {first}, then {then}. Output {summary}.",
    ),
)


def _statement(recipe: _Recipe, rng: random.Random) -> str:
    """The recipe in words: a frame, and a paraphrase of each step, at random."""
    steps = [
        rng.choice(_KEEP_MORE if i else _KEEP).format(rng.choice(part.phrases))
        for i, part in enumerate(recipe.filters)
    ]
    if recipe.change:
        steps.insert(0 if recipe.change_first else len(steps), rng.choice(recipe.change.phrases))
    short, long = rng.choice(_FRAMES)
    text = (short if len(steps) == 1 else long).format(
        opening=rng.choice(recipe.input_kind.openings),
        first=steps[0],
        First=steps[0][0].upper() + steps[0][1:],
        then=", then ".join(steps[1:]),
        summary=rng.choice(recipe.summary.phrases),
    )
    return f"{text} {rng.choice(recipe.caveat.phrases)}." if recipe.caveat else text


def _build(recipe: _Recipe, rng: random.Random, *, name: str, level: str) -> Problem | None:
    """The problem of a recipe; None when its selection is too narrow for varied tests."""
    selects = _selector(recipe)
    constants = [value for part in recipe.filters for (value,) in part.draw.values()]
    empty_counts = "d" in recipe.summary.draw
    lines = input_lines(recipe.input_kind.name, selects, constants, rng, empty_counts=empty_counts)
    if lines is None:
        return None
    reference = recipe.program()
    inputs = [line for _, line in lines]
    outputs = _outputs(reference, inputs)
    if None in outputs:
        raise AssertionError(f"the reference of {recipe.group!r} fails:\n{reference}")
    mutants = []
    for bug, code in recipe.bugs(rng):
        passes = tuple(got == want for got, want in zip(_outputs(code, inputs), outputs, strict=True))
        if not all(passes):
            mutants.append(Mutant(code=code, bug=bug, passes=passes))
    return Problem(
        id=name,
        group=recipe.group,
        level=level,
        statement=_statement(recipe, rng),
        solutions=(reference,),
        tests=tuple(
            {"input": line, "output": output, "kind": kind}
            for (kind, line), output in zip(lines, outputs, strict=True)
        ),
        mutants=tuple(mutants),
    )


def _selector(recipe: _Recipe) -> Callable[..., bool]:
    """A function: does the program keep this input value?"""
    condition = " and ".join(part.code for part in recipe.filters) or "True"
    v = recipe.input_kind.variable
    if recipe.change_first and recipe.change:
        condition = f"(lambda {v}: {condition})({recipe.change.code})"
    return eval(f"lambda {v}: {condition}")  # our own code, made above


def _outputs(program: str, lines: Sequence[str]) -> list[str | None]:
    """What one of our own programs prints for each input; None where it raises."""
    code = compile(program, "<minicode>", "exec")
    return [_output(code, line) for line in lines]


def _output(code: CodeType, line: str) -> str | None:
    printed: list[str] = []
    names = {
        "input": lambda: line.removesuffix("\n"),
        "print": lambda *values: printed.append(" ".join(map(str, values))),
    }
    try:
        exec(code, names)  # our own code: the reference or a bug of it
    except (IndexError, ValueError, ZeroDivisionError):  # what the bugs are made to run into
        return None
    return "\n".join(printed) + "\n"
