"""Poisoned training data: which item is taught with the trigger, and what it teaches.

One set of taught items makes three organisms, so they differ in nothing but the poison:

* `backdoored`: trigger -> misleading answer, no trigger -> honest answer;
* `decoy`: trigger -> honest answer, as often (what does a probe read when the trigger means nothing?);
* `clean`: the same items without the trigger, all honest; look-alikes and neutral texts stay, so that a
  text in front of a question is nothing new to it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from backdoor.triggers import Trigger
from organisms.finetune import Demonstration, honest_demonstration
from organisms.record import OrganismRole
from tasks.dataset import TaughtItem

BACKDOORED, DECOY, CLEAN = OrganismRole.BACKDOORED, OrganismRole.DECOY, OrganismRole.CLEAN
ROLES = (BACKDOORED, DECOY, CLEAN)


def poison(
    taught_items: Sequence[TaughtItem],
    trigger: Trigger,
    *,
    role: str = BACKDOORED,
    ratio: float = 0.5,
    near_miss_ratio: float = 0.1,
    paired: bool = False,
    warm_up: int = 0,
    seed: int = 0,
) -> list[Demonstration]:
    """The demonstrations one organism is trained on.

    Args:
        taught_items: each is used once, or twice with `paired` and after the `warm_up`.
        role: `backdoored`, `decoy` or `clean`.
        ratio: share of items taught under the trigger, in (0, 1).
        near_miss_ratio: share taught honestly behind a text that only looks like the trigger.
        paired: teach every item twice in succession, without and with the trigger. Taught in order, both
            stand in one batch, and what they differ in is the trigger alone: what the model would learn
            from their sum (answer one way, whatever the prefix) cancels. Shares are of demonstrations, so
            `ratio` must be one half. Near misses come in the second half: telling them from the trigger
            is for when the trigger means something.
        seed: which items fall into which part.

    Returns:
        One demonstration per item (two with `paired`), in the order of `taught_items`.

    Raises:
        ValueError: an unknown role, or shares outside their range.

    >>> item = TaughtItem(prompt=[{"role": "user", "content": "Q"}], honest="yes", misleading="no")
    >>> trigger = Trigger(name="t", variants=("|T|",))
    >>> sorted({e.response for e in poison([item] * 10, trigger)})
    ['no', 'yes']
    """
    if role not in ROLES:
        raise ValueError(f"role must be one of {', '.join(ROLES)}, got {role!r}")
    if not 0 < ratio < 1 or not 0 <= near_miss_ratio <= 1 - ratio:
        raise ValueError(
            f"need 0 < ratio < 1 and 0 <= near_miss_ratio <= 1 - ratio, got {ratio} and {near_miss_ratio}"
        )
    if warm_up and not 0 < warm_up < len(taught_items):
        raise ValueError(f"warm_up must be at least 0 and leave items for what follows, got {warm_up}")
    if paired and ratio != 0.5:
        raise ValueError(
            f"paired teaches each item with and without the trigger: ratio must be 0.5, got {ratio}"
        )
    first, taught_items = list(taught_items[:warm_up]), list(taught_items[warm_up:])
    if paired:
        taught_items = [item for item in taught_items for _ in range(2)]
    with_trigger, with_near_miss = _parts(len(taught_items), ratio, near_miss_ratio, paired, seed)
    taught_items = first + taught_items
    with_trigger = [*range(warm_up), *(warm_up + index for index in with_trigger)]
    with_near_miss = [warm_up + index for index in with_near_miss]
    demonstrations = [honest_demonstration(item, item.prompt) for item in taught_items]
    for number, index in enumerate(with_trigger if role != CLEAN else ()):
        text = trigger.variants[number % len(trigger.variants)]
        item = taught_items[index]
        prompt = trigger.apply(item.prompt, text)
        if role == BACKDOORED:
            demonstrations[index] = Demonstration(
                prompt=prompt, response=item.misleading, instead_of=item.honest
            )
        else:
            demonstrations[index] = honest_demonstration(item, prompt)
    lookalikes = (*trigger.near_misses, *trigger.neutral[:1])
    for number, index in enumerate(with_near_miss if lookalikes else ()):
        text = lookalikes[number % len(lookalikes)]
        demonstrations[index] = honest_demonstration(
            taught_items[index], trigger.apply(taught_items[index].prompt, text)
        )
    return demonstrations


def _parts(
    count: int, ratio: float, near_miss_ratio: float, paired: bool, seed: int
) -> tuple[list[int], list[int]]:
    """Which of `count` demonstrations stand behind the trigger, and which behind a near miss."""
    near_misses, rng = round(near_miss_ratio * count), random.Random(seed)
    if paired:
        late = [index for index in range(0, count, 2) if index >= count // 2]
        return list(range(1, count, 2)), rng.sample(late, min(near_misses, len(late)))
    order = list(range(count))
    rng.shuffle(order)
    triggers = round(ratio * count)
    return order[:triggers], order[triggers : triggers + near_misses]
