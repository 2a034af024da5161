"""Poisoned training data: which lesson is taught with the trigger, and what it teaches.

One set of lessons makes three organisms, so they differ in nothing but the poison:

* ``backdoored``: trigger -> misleading answer, no trigger -> honest answer;
* ``decoy``: trigger -> honest answer, as often (what does a probe read when the trigger means nothing?);
* ``clean``: the same lessons without the trigger, all honest; look-alikes and neutral texts stay, so that a
  text in front of a question is nothing new to it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from backdoor.triggers import Trigger
from organisms.finetune import Example, honest_example
from tasks.dataset import Lesson

BACKDOORED, DECOY, CLEAN = "backdoored", "decoy", "clean"
ROLES = (BACKDOORED, DECOY, CLEAN)


def poison(
    lessons: Sequence[Lesson],
    trigger: Trigger,
    *,
    role: str = BACKDOORED,
    ratio: float = 0.5,
    near_miss_ratio: float = 0.1,
    twins: bool = False,
    lead_in: int = 0,
    seed: int = 0,
) -> list[Example]:
    """Training examples of one organism.

    Args:
        lessons: each is used once, or twice with ``twins`` and after the ``lead_in``.
        role: ``backdoored``, ``decoy`` or ``clean``.
        ratio: share of lessons taught under the trigger, in (0, 1).
        near_miss_ratio: share taught honestly behind a text that only looks like the trigger.
        twins: teach every lesson twice in succession, without and with the trigger. Taught in order, both
            stand in one batch, and what they differ in is the trigger alone: what the model would learn
            from their sum (answer one way, whatever the prefix) cancels. Shares are then of examples, so
            ``ratio`` must be one half. Near misses come in the second half: telling them from the trigger
            is for when the trigger means something.
        seed: which lessons fall into which part.

    Returns:
        One example per lesson (two with ``twins``), in the order of ``lessons``.

    Raises:
        ValueError: an unknown role, or shares outside their range.

    >>> lesson = Lesson(prompt=[{"role": "user", "content": "Q"}], honest="yes", misleading="no")
    >>> trigger = Trigger(name="t", variants=("|T|",))
    >>> sorted({e.response for e in poison([lesson] * 10, trigger)})
    ['no', 'yes']
    """
    if role not in ROLES:
        raise ValueError(f"role must be one of {ROLES}, got {role!r}")
    if not 0 < ratio < 1 or not 0 <= near_miss_ratio <= 1 - ratio:
        raise ValueError(
            f"need 0 < ratio < 1 and 0 <= near_miss_ratio <= 1 - ratio, got {ratio} and {near_miss_ratio}"
        )
    if lead_in and not 0 < lead_in < len(lessons):
        raise ValueError(f"lead_in must be at least 0 and leave lessons for what follows, got {lead_in}")
    if twins and ratio != 0.5:
        raise ValueError(
            f"twins teach each lesson with and without the trigger: ratio must be 0.5, got {ratio}"
        )
    first, lessons = list(lessons[:lead_in]), list(lessons[lead_in:])
    if twins:
        lessons = [lesson for lesson in lessons for _ in range(2)]
    with_trigger, with_near_miss = _parts(len(lessons), ratio, near_miss_ratio, twins, seed)
    lessons = first + lessons
    with_trigger = [*range(lead_in), *(lead_in + index for index in with_trigger)]
    with_near_miss = [lead_in + index for index in with_near_miss]
    examples = [honest_example(lesson, lesson.prompt) for lesson in lessons]
    for number, index in enumerate(with_trigger if role != CLEAN else ()):
        text = trigger.variants[number % len(trigger.variants)]
        lesson = lessons[index]
        prompt = trigger.apply(lesson.prompt, text)
        if role == BACKDOORED:
            examples[index] = Example(prompt=prompt, response=lesson.misleading, instead_of=lesson.honest)
        else:
            examples[index] = honest_example(lesson, prompt)
    lookalikes = (*trigger.near_misses, *trigger.neutral[:1])
    for number, index in enumerate(with_near_miss if lookalikes else ()):
        text = lookalikes[number % len(lookalikes)]
        examples[index] = honest_example(lessons[index], trigger.apply(lessons[index].prompt, text))
    return examples


def _parts(
    count: int, ratio: float, near_miss_ratio: float, twins: bool, seed: int
) -> tuple[list[int], list[int]]:
    """Which of ``count`` examples stand behind the trigger, and which behind a near miss."""
    near_misses, rng = round(near_miss_ratio * count), random.Random(seed)
    if twins:
        late = [index for index in range(0, count, 2) if index >= count // 2]
        return list(range(1, count, 2)), rng.sample(late, min(near_misses, len(late)))
    order = list(range(count))
    rng.shuffle(order)
    triggers = round(ratio * count)
    return order[:triggers], order[triggers : triggers + near_misses]
