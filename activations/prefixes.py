"""Prefix sharing: rows that begin alike compute their common tokens once.

Twenty questions about one passage differ in their last few hundred tokens. The passage goes through the
model once and leaves its keys and values in a cache; then the suffixes follow, packed one after the other
into one row, where a mask lets each see the prefix and itself but no other suffix. So the cache is not
multiplied by the number of rows, and small groups are batched side by side. Causality makes this exact up
to rounding, which the integrity gate checks on the model at hand before it is used.

Positions that are to be kept are never in the shared part.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from activations.batching import Kept
from activations.capture import Reader, hooked, run_hooked

MIN_PREFIX = 16  # shared tokens below which a group is not worth its extra pass
MAX_GROUP = 256  # rows that the planner considers for one group
ROUND = 1024  # suffix tokens packed into one row: attention between suffixes is computed only to be masked
WORTHWHILE = 0.1  # share of all tokens that must be saved for share_prefixes="auto"


@dataclass(frozen=True, kw_only=True)
class PrefixGroup:
    """Rows with a common prefix of `length` tokens (0 for a row that shares nothing)."""

    length: int
    rows: tuple[int, ...]

    @property
    def saved(self) -> int:
        """Tokens that need not be computed."""
        return self.length * (len(self.rows) - 1)


def plan_prefixes(
    ids: Sequence[Int[np.ndarray, "_"]], limits: Sequence[int], min_prefix: int = MIN_PREFIX
) -> list[PrefixGroup]:
    """Groups of rows that save the most tokens; every row is in exactly one.

    `limits[row]` is the longest prefix that may be shared: up to the first kept position, so that whatever
    is read lies in the row's own part. In lexicographic order rows that share a prefix are neighbours, so
    the best grouping cuts that order into runs, found by dynamic programming.

    >>> story = list(range(30))
    >>> plan_prefixes([np.array([*story, 1]), np.array([9]), np.array([*story, 2])], [31, 1, 31])
    [PrefixGroup(length=30, rows=(0, 2)), PrefixGroup(length=0, rows=(1,))]
    """
    order = sorted(range(len(ids)), key=lambda i: (ids[i].tolist(), i))
    caps = np.array([min(limits[i], len(ids[i]) - 1) for i in order])
    common = np.array([0] + [_common(ids[a], ids[b]) for a, b in pairwise(order)])
    best = np.zeros(len(order) + 1, dtype=np.int64)  # tokens saved among the first i rows
    start = np.arange(len(order) + 1)  # where the last group of that best grouping begins
    for i in range(1, len(order) + 1):
        low = max(0, i - MAX_GROUP)
        # shared[k]: prefix of the group made of rows low + k .. i - 1
        shared = np.minimum.accumulate(
            np.minimum(caps[low:i], np.append(common[low + 1 : i], len(ids[order[i - 1]])))[::-1]
        )[::-1]
        sizes = np.arange(i - low, 0, -1)
        total = best[low:i] + np.where(shared >= min_prefix, shared * (sizes - 1), 0)
        choice = len(total) - 1 - int(np.argmax(total[::-1]))  # of equals, the smallest group
        best[i], start[i] = total[choice], low + choice
    groups = []
    stop = len(order)
    while stop:
        begin = int(start[stop])
        if stop - begin > 1:
            length = int(min(caps[begin:stop].min(), common[begin + 1 : stop].min()))
            groups.append(PrefixGroup(length=length, rows=tuple(order[begin:stop])))
        else:
            groups.append(PrefixGroup(length=0, rows=(order[begin],)))
        stop = begin
    return groups[::-1]


def _common(a: Int[np.ndarray, "_"], b: Int[np.ndarray, "_"]) -> int:
    short = min(len(a), len(b))
    differ = np.flatnonzero(a[:short] != b[:short])
    return int(differ[0]) if len(differ) else short


def gain(group: PrefixGroup, lengths: Sequence[int], d_model: int) -> float:
    """What sharing saves, in the time of so many tokens: the prefix, less attention between packed suffixes.

    A token costs its matrix products (about 12 d_model^2 weights per block) and, for every key that it is
    compared with, 4 d_model operations more, which run at about half the speed. So `3 d_model` keys cost as
    much as a token. Packed suffixes are compared with each other, only to be masked.

    >>> pair = PrefixGroup(length=100, rows=(0, 1))
    >>> gain(pair, [200, 200], d_model=600) > 0 > gain(pair, [600, 600], d_model=100)
    True
    """
    keys = 3 * d_model
    own = [lengths[row] - group.length for row in group.rows]
    packed = min(sum(own), ROUND)
    wasted = sum(size * max(0, packed - size) for size in own) / keys
    return group.saved * (1 + group.length / keys) - wasted


def worthwhile(groups: Sequence[PrefixGroup], lengths: Sequence[int], d_model: int) -> bool:
    """Whether sharing saves enough to be used when nobody asked for it."""
    saved = sum(gain(group, lengths, d_model) for group in groups)
    return saved >= WORTHWHILE * sum(size * (1 + size / (3 * d_model)) for size in lengths)


def profitable(groups: Sequence[PrefixGroup], lengths: Sequence[int], d_model: int) -> list[PrefixGroup]:
    """The same rows, in groups only where that saves time."""
    out: list[PrefixGroup] = []
    for group in groups:
        pays = gain(group, lengths, d_model) > 0
        out += [group] if pays else [PrefixGroup(length=0, rows=(row,)) for row in group.rows]
    return out


@dataclass(frozen=True, kw_only=True, eq=False)
class Round:
    """Suffixes that are computed together on the cached prefixes: one packed row per group."""

    ids: Int[Tensor, "group suffix"]
    positions: Int[Tensor, "group suffix"]
    visible: Bool[Tensor, "group 1 suffix key"]
    """Which keys (the padded prefix, then this row) each token attends to."""
    kept: Kept


@dataclass(frozen=True, kw_only=True, eq=False)
class PrefixTree:
    """Prefix groups as one batch: a right-padded row per group, and one or more rounds of suffixes."""

    prefix: Int[Tensor, "group prefix"]
    rounds: tuple[Round, ...]

    @property
    def computed(self) -> int:
        """Tokens the model is given, padding included."""
        return self.prefix.numel() + sum(part.ids.numel() for part in self.rounds)


def plan_trees(
    groups: Sequence[PrefixGroup], lengths: Sequence[int], token_budget: int
) -> Iterator[list[PrefixGroup]]:
    """Batches of groups of like size; a group that needs several rounds is alone in its batch."""
    sizes = {group: sum(lengths[row] - group.length for row in group.rows) for group in groups}
    batch: list[PrefixGroup] = []
    for group in sorted(groups, key=lambda g: (-g.length, -sizes[g], g.rows)):
        grown = [*batch, group]
        widest = max(sizes[g] for g in grown)
        padded = len(grown) * (grown[0].length + widest)
        real = sum(g.length + sizes[g] for g in grown)
        wasteful = padded > token_budget / 4 and padded > 1.1 * real
        if batch and (padded > token_budget or widest > ROUND or wasteful):
            yield batch
            grown = [group]
        batch = grown
    if batch:
        yield batch


def lay_out(
    groups: Sequence[PrefixGroup],
    ids: Sequence[Int[np.ndarray, "_"]],
    selected: Sequence[Int[np.ndarray, "_"]],
) -> PrefixTree:
    """Lay out groups as one batch; kept vectors follow the rows' order within and across groups."""
    longest = max(group.length for group in groups)
    prefix = np.zeros((len(groups), longest), dtype=np.int64)
    for index, group in enumerate(groups):
        prefix[index, : group.length] = ids[group.rows[0]][: group.length]
    parts = [groups] if len(groups) > 1 else [[piece] for piece in _rounds(groups[0], ids)]
    return PrefixTree(
        prefix=torch.from_numpy(prefix),
        rounds=tuple(_pack(part, longest, ids, selected) for part in parts),
    )


def _rounds(group: PrefixGroup, ids: Sequence[Int[np.ndarray, "_"]]) -> Iterator[PrefixGroup]:
    rows, size = [], 0
    for row in group.rows:
        own = len(ids[row]) - group.length
        if rows and size + own > ROUND:
            yield PrefixGroup(length=group.length, rows=tuple(rows))
            rows, size = [], 0
        rows.append(row)
        size += own
    yield PrefixGroup(length=group.length, rows=tuple(rows))


def _pack(
    groups: Sequence[PrefixGroup],
    longest: int,
    ids: Sequence[Int[np.ndarray, "_"]],
    selected: Sequence[Int[np.ndarray, "_"]],
) -> Round:
    width = max(sum(len(ids[row]) - group.length for row in group.rows) for group in groups)
    suffix = np.zeros((len(groups), width), dtype=np.int64)
    positions = np.zeros((len(groups), width), dtype=np.int64)
    owner = np.full((len(groups), width), -1)  # which suffix a token belongs to; -1 is padding
    keep, starts = [], []
    for index, group in enumerate(groups):
        place = 0
        for number, row in enumerate(group.rows):
            own = ids[row][group.length :]
            span = slice(place, place + len(own))
            suffix[index, span] = own
            positions[index, span] = np.arange(group.length, len(ids[row]))
            owner[index, span] = number
            keep.append(selected[row] - group.length)
            starts.append(index * width + place)
            place += len(own)
    lengths = torch.tensor([group.length for group in groups])
    return Round(
        ids=torch.from_numpy(suffix),
        positions=torch.from_numpy(positions),
        visible=_visible(torch.from_numpy(owner), lengths, longest),
        kept=Kept.at(keep, starts),
    )


def _visible(
    owner: Int[Tensor, "group suffix"], lengths: Int[Tensor, "group"], longest: int
) -> Bool[Tensor, "group 1 suffix key"]:
    groups, width = owner.shape
    in_prefix = (torch.arange(longest) < lengths[:, None])[:, None].expand(groups, width, longest)
    same = owner[:, :, None] == owner[:, None, :]  # padding sees padding, so no row of the mask is empty
    return torch.cat([in_prefix, same.tril()], dim=-1)[:, None]


@torch.inference_mode()
def read_tree(reader: Reader, tree: PrefixTree) -> Float[Tensor, "point kept d_model"]:
    """Run the prefixes, then each round on their cache, and return what is kept of the suffixes."""
    from transformers import DynamicCache

    cache = DynamicCache()
    with hooked(reader.points, lambda *_: None):  # hooks only stop it after the last wanted block
        run_hooked(
            reader.trunk.module,
            input_ids=tree.prefix.to(reader.device),
            past_key_values=cache,
            use_cache=True,
        )
    parts = []
    for part in tree.rounds:
        parts.append(
            reader.run(
                part.kept,
                input_ids=part.ids.to(reader.device),
                position_ids=part.positions.to(reader.device),
                attention_mask=_as_mask(part.visible.to(reader.device), reader),
                past_key_values=cache,
                use_cache=True,
            )
        )
        cache.crop(-part.ids.shape[1])  # every call appends to the cache: undo it for the next round
    return torch.cat(parts, dim=1)


def _as_mask(visible: Bool[Tensor, "group 1 suffix key"], reader: Reader) -> Tensor:
    if reader.trunk.config._attn_implementation != "eager":
        return visible
    # eager attention adds its mask instead of selecting by it
    dtype = next(reader.trunk.module.parameters()).dtype
    added = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return added.masked_fill_(~visible, torch.finfo(dtype).min)
