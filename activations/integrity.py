"""The integrity gate: does this model, on these rows, give the numbers it should?

Before every extraction a few of its rows (cut short) go through the model in several ways that must agree:
batched and alone, in another order, with and without a padding mask, read by hooks and reported by
transformers, with and without the adapter (which must differ). Differences are measured per token, relative
to that token's norm, because a single token of a language model can be a thousand times larger than the
others. float32 must agree to 1e-4. Lower precision has no universal limit: how far the model's own bfloat16
lies from float32 is measured on the same rows, and twice that is allowed.
"""

import copy
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from activations.batching import Batch, collate
from activations.capture import Reader, hooked
from activations.models import LoadedModel
from activations.prefixes import PrefixGroup, lay_out, read_tree
from activations.sites import (
    ADDS_RESIDUAL_INSIDE,
    SiteError,
    Trunk,
    as_trunk,
    find_points,
    find_trunk,
    has_site,
    site_layers,
)
from activations.tokens import EncodedRow

logger = logging.getLogger(__name__)

LIMIT_FLOAT32 = 1e-4
UNCALIBRATED = {"bfloat16": 0.2, "float16": 0.05}  # where a float32 copy would be too large to make
MAX_CALIBRATED = 2_000_000_000  # parameters
LIMIT_SAME_PASS = {"float32": 1e-4, "bfloat16": 0.02, "float16": 0.004}  # rounding of one addition
SAMPLE_ROWS = 8
ALONE_ROWS = 4  # of these, shortest to longest
SAMPLE_LAYERS = 6

Ids = Int[np.ndarray, "_"]
Whole = list[Float[Tensor, "point _ d_model"]]
"""Every token of every row at every point."""


class ParityError(RuntimeError):
    """The model fails the integrity gate: what it computes depends on something that must not matter."""


class SiteParityError(ParityError, SiteError):
    """A site of this model is not what its name says: the sums that define it do not hold."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One comparison: its worst relative difference, the limit there, and where it was found."""

    name: str
    difference: float
    limit: float
    row: str
    where: str
    passed: bool


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """Outcome of the gate."""

    checks: tuple[Check, ...]
    floor: float | None
    """Worst relative distance between the model's low precision and float32; None if not measured."""
    cause: str | None = None
    """What is known to make this model fail, if it fails."""

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "ParityReport":
        """A report that `as_json` wrote."""
        return cls(checks=tuple(Check(**check) for check in content["checks"]), floor=content["floor"])

    @property
    def failed(self) -> list[Check]:
        """Checks that did not pass."""
        return [check for check in self.checks if not check.passed]

    def raise_if_failed(self) -> None:
        """Raise `ParityError` for the first failed check, naming row and place."""
        if not self.failed:
            return
        check = self.failed[0]
        kind = SiteParityError if check.name == "sites add up" else ParityError
        raise kind(
            f"Integrity check {check.name!r} failed on row {check.row!r} at {check.where}: relative "
            f"difference {check.difference:.2g}, limit {check.limit:.2g}. {self.cause or ADVICE[check.name]} "
            "`activations.diagnose(model)` shows all checks."
        )

    def with_checks(self, more: Sequence[Check]) -> "ParityReport":
        """This report with further checks."""
        return ParityReport(checks=(*self.checks, *more), floor=self.floor, cause=self.cause)

    def as_json(self) -> dict[str, Any]:
        """For the manifest."""
        return {"floor": self.floor, "checks": [asdict(check) for check in self.checks]}


ADVICE = {
    "hook == hidden_states": "The hooks misread this architecture: use backend='transformer_lens'.",
    "sites add up": "A block of this architecture is built differently: use resid_pre and resid_post only.",
    "batched == alone": "Padding or batching changes results: rows see each other, or a quantity is computed "
    "once per batch. Report the architecture.",
    "reversed == same": "The order of rows changes results: rows see each other. Report the architecture.",
    "cut == whole": "Earlier tokens see later ones: this is no causal decoder, and what is read in a prompt "
    "would depend on the response.",
    "masked == unmasked": "This model needs its padding mask: report the architecture.",
    "adapter on != off": "The adapter changes nothing: it may be untrained, or for other modules.",
    "shared == full": "Pass share_prefixes=False.",
    "backend == hf": "The two backends disagree on this model: use backend='hf'.",
}


def refuse_train_mode(module: torch.nn.Module) -> None:
    """Raise `ParityError` for a model with a part in train mode: dropout would be at work."""
    if part := next((name for name, part in module.named_modules() if part.training), None):
        raise ParityError(
            f"The model is in train mode ({part}): dropout would change it. Call model.eval() first."
        )
    if module.training:
        raise ParityError("The model is in train mode: dropout would change it. Call model.eval() first.")


def foreign_hooks(module: torch.nn.Module) -> list[str]:
    """Names of modules that carry forward hooks of somebody else than the libraries used here."""
    ours = ("transformers.", "peft.", "accelerate.", "torch.", "activations.", "bitsandbytes.")
    return [
        name or type(part).__name__
        for name, part in module.named_modules()
        for hook in (*part._forward_hooks.values(), *part._forward_pre_hooks.values())
        if not f"{getattr(hook, '__module__', '')}.".startswith(ours)
    ]


def neighbour_tolerance(model: LoadedModel, report: ParityReport, stored: torch.dtype) -> float:
    """How far a row in its batch may lie from the same row alone, on rows of any length."""
    rounding = 4 * torch.finfo(stored).eps
    if model.base.quantisation:
        return UNCALIBRATED["bfloat16"] + rounding
    if model.dtype == "float32":
        return 10 * LIMIT_FLOAT32 + rounding
    return max(2 * (report.floor or 0.0), UNCALIBRATED[model.dtype]) + rounding


def sample_rows(rows: Sequence[EncodedRow], long_from: int | None = None) -> list[tuple[str, Ids]]:
    """A few rows, shortest to longest, cut to different lengths (first and last tokens): id and token ids.

    Together they hold half a hundredth of all tokens, but no more than 512 and about 136 at the least (if
    there are so many): the checks take about six passes over them. None is longer than `long_from`; real long
    rows are checked where they are computed.
    """
    budget = int(np.clip(sum(map(len, rows)) // 200, 192, 512)) // SAMPLE_ROWS
    budget = budget if long_from is None else min(budget, long_from)
    by_length = sorted(rows, key=len)
    places = np.unique(np.linspace(0, len(rows) - 1, SAMPLE_ROWS).round().astype(int))
    return [(by_length[p].id, _cut(by_length[p].ids, max(8, budget - 2 * i))) for i, p in enumerate(places)]


def _cut(ids: Ids, length: int) -> Ids:
    return ids if len(ids) <= length else np.concatenate([ids[:4], ids[4 - length :]])


class Gate:
    """Runs the checks for one model at the sites asked for and a few of the layers."""

    def __init__(
        self, model: LoadedModel, sites: Sequence[str], layers: Sequence[int], *, masked: bool
    ) -> None:
        self.model, self.masked = model, masked
        self.trunk = find_trunk(model.model)
        places = np.unique(np.linspace(0, len(layers) - 1, SAMPLE_LAYERS).round().astype(int))
        self.sites, self.layers = tuple(sites), tuple(layers[i] for i in places)

    def check(self, sample: Sequence[tuple[str, Ids]]) -> ParityReport:
        """Every check that applies to this model and these sites."""
        names, ids = [name for name, _ in sample], [row for _, row in sample]
        batched = self.read(ids)
        floor, limits = self.calibrate(ids, batched)

        def same(name: str, got: Whole) -> Check:
            return compare_reads(name, got, batched, limits, names, self.places)

        # a pass over one short row costs nearly as much as one over all, so only some rows are read alone
        few = np.unique(np.linspace(0, len(ids) - 1, ALONE_ROWS).round().astype(int)).tolist()
        alone, together = [self.read([ids[i]])[0] for i in few], [batched[i] for i in few]
        checks = [
            *self.check_sites(sample),
            self._causal(names[few[-1]], ids[few[-1]], alone[-1], limits),
            compare_reads("batched == alone", alone, together, limits, [names[i] for i in few], self.places),
            same("reversed == same", self.read(ids[::-1])[::-1]),
        ]
        if not self.masked:
            checks.append(same("masked == unmasked", self.read(ids, masked=True)))
        if self.model.adapter is not None and not self.model.merge:
            checks.append(self._adapter_acts(names, ids, batched))
        return ParityReport(checks=tuple(checks), floor=floor, cause=self._cause(batched))

    def _causal(self, name: str, ids: Ids, whole: Tensor, limits: Tensor) -> Check:
        """A row that is cut gives what the whole row gave there."""
        half = max(1, len(ids) // 2)
        return compare_reads(
            "cut == whole", self.read([ids[:half]]), [whole[:, :half]], limits, [name], self.places
        )

    def _cause(self, read: Whole) -> str | None:
        """What about this model, or this use of it, explains a failure."""
        if hooks := foreign_hooks(self.model.model):
            return f"The model carries hooks of its own ({', '.join(hooks[:3])}): remove them and try again."
        if not all(torch.isfinite(values).all() for values in read):
            if self.model.dtype == "float16":
                return "float16 ends at 65504 and this model goes beyond: use dtype='bfloat16' or 'float32'."
            return "Activations are infinite or not numbers: check the model's weights."
        return None

    def check_sharing(self, sample: Sequence[tuple[str, Ids]]) -> ParityReport:
        """Whether sharing prefixes equals full rows, on prefixes and suffixes cut from the sample."""
        first, last = (np.resize(row, max(8, len(row))) for row in (sample[0][1], sample[-1][1]))
        stems = [first[: len(first) // 2], last[: len(last) // 3]]
        tails = [row[len(row) // 2 :] for _, row in sample[:3]] + [last[-1:]]
        ids = [np.concatenate([stem, tail]) for stem in stems for tail in tails]
        rows = np.arange(len(ids)).reshape(len(stems), len(tails)).tolist()
        groups = [PrefixGroup(length=len(s), rows=tuple(r)) for s, r in zip(stems, rows, strict=True)]
        kept = [np.arange(len(stem), len(stem) + len(tail)) for stem in stems for tail in tails]
        full = self.read(ids)
        floor, limits = self.calibrate(ids, full)
        own = [whole[:, keep] for whole, keep in zip(full, kept, strict=True)]
        names = [f"a mix of {sample[0][0]} and {sample[-1][0]}"] * len(ids)
        plans = [[groups], [[group] for group in groups]]  # in one batch, and one after the other
        checks = []
        for plan in plans:
            read = torch.cat([read_tree(self._reader(), lay_out(p, ids, kept)) for p in plan], dim=1)
            split = list(read.split([len(keep) for keep in kept], dim=1))
            checks.append(compare_reads("shared == full", split, own, limits, names, self.places))
        return ParityReport(checks=tuple(checks), floor=floor)

    @property
    def places(self) -> list[tuple[str, int]]:
        """(site, layer) in the order in which `read` returns them."""
        return [(site, layer) for site in self.sites for layer in site_layers(site, self.layers)]

    def _reader(self, *, masked: bool | None = None, trunk: Trunk | None = None) -> Reader:
        trunk = trunk or self.trunk
        points = find_points(trunk, self.sites, self.layers)
        masked = self.masked if masked is None else masked
        return Reader(trunk, points, pool="none", store_dtype=torch.float32, masked=masked)

    def read(self, ids: Sequence[Ids], *, masked: bool | None = None, trunk: Trunk | None = None) -> Whole:
        """Every token of every row, computed as one batch."""
        read = self._reader(masked=masked, trunk=trunk).read(_whole_rows(ids))
        return list(read.split([len(row) for row in ids], dim=1))

    def calibrate(self, ids: Sequence[Ids], batched: Whole) -> tuple[float | None, Float[Tensor, "point"]]:
        """The measured floor (if it was), and the largest allowed difference at every point."""
        dtype, points = self.model.dtype, len(batched[0])
        if self.model.base.quantisation:
            return None, torch.full((points,), UNCALIBRATED["bfloat16"])
        if dtype == "float32":
            return None, torch.full((points,), LIMIT_FLOAT32)
        if sum(p.numel() for p in self.trunk.module.parameters()) > MAX_CALIBRATED:
            return None, torch.full((points,), UNCALIBRATED[dtype])
        precise = as_trunk(copy.deepcopy(self.trunk.module).float())
        distance = _differences(batched, self.read(ids, trunk=precise)).amax(dim=1)
        return float(distance.max()), (2 * distance).clamp_min(1e-3)

    @torch.inference_mode()
    def check_sites(self, sample: Sequence[tuple[str, Ids]]) -> list[Check]:
        """Hooks against `output_hidden_states` of the same pass, and whether the sites add up."""
        batch = _whole_rows([ids for _, ids in sample]).to(self._reader().device)
        parts = self._parts()
        points = find_points(self.trunk, ("resid_pre", "resid_post", *sorted(parts)), self.layers)
        seen: dict[tuple[str, int], Tensor] = {}

        def receive(index: int, hidden: Tensor) -> None:
            seen[points[index].site, points[index].layer] = _tokens(hidden, batch)

        mask = {"attention_mask": batch.mask.long()} if self.masked else {}
        with hooked(points, receive, stop=False):
            states = self.trunk.module(
                input_ids=batch.ids, use_cache=False, output_hidden_states=True, **mask
            ).hidden_states
        reported = {("resid_pre", i): _tokens(states[i], batch) for i in self.layers}
        # the last entry comes after the final norm, so the last block's output has no counterpart
        inner = [i for i in self.layers if i + 1 < self.trunk.n_layers]
        reported |= {("resid_post", i): _tokens(states[i + 1], batch) for i in inner}
        checks = [self._equal("hook == hidden_states", seen, reported, sample)]
        if parts:
            checks += [
                self._equal("sites add up", seen, sums, sample) for sums in _sums(seen, self.layers, parts)
            ]
        return checks

    def _parts(self) -> list[str]:
        """The sites within a block whose sums are checked, if one of them was asked for.

        Raises:
            SiteError: one was asked for that enters no sum here, so that nothing vouches for it.
        """
        inside = [site for site in ("attn_out", "resid_mid", "mlp_out") if has_site(self.trunk, site)]
        asked = [site for site in self.sites if site in ("attn_out", "resid_mid", "mlp_out")]
        alone = [site for site in asked if inside == [site]]
        if "mlp_out" in asked and inside == ["attn_out", "resid_mid"]:
            alone.append("mlp_out")
        kind = self.trunk.config.model_type
        if alone and kind not in ADDS_RESIDUAL_INSIDE:
            raise SiteError(
                f"site={alone[0]!r}: the other parts of a {kind} block are not known, so that nothing can be "
                "summed to check it. Use resid_pre and resid_post."
            )
        return inside if asked and len(inside) > 1 else []

    def _equal(
        self,
        name: str,
        seen: dict[tuple[str, int], Tensor],
        expected: dict[tuple[str, int], Tensor],
        sample: Sequence[tuple[str, Ids]],
    ) -> Check:
        """Compare what one pass gave with what it should have given: equal up to one rounding."""
        lengths = [len(ids) for _, ids in sample]
        got, wanted = (
            list(torch.stack([values[place] for place in expected]).split(lengths, dim=1))
            for values in (seen, expected)
        )
        limits = torch.full((len(expected),), LIMIT_SAME_PASS[self.model.dtype])
        return compare_reads(name, got, wanted, limits, [row for row, _ in sample], list(expected))

    def _adapter_acts(self, names: Sequence[str], ids: Sequence[Ids], batched: Whole) -> Check:
        with self.model.without_adapter() as bare:
            off = self.read(ids, trunk=find_trunk(bare))
        difference = float(_differences(batched, off).max())
        return Check(
            name="adapter on != off",
            difference=difference,
            limit=0.0,
            row=names[0],
            where="all points",
            passed=difference > 0,
        )


def _whole_rows(ids: Sequence[Ids]) -> Batch:
    return collate(ids, [np.arange(len(row)) for row in ids])


def _tokens(hidden: Tensor, batch: Batch) -> Float[Tensor, "token d_model"]:
    """Real tokens of a batch, one row after the other."""
    return hidden.flatten(0, 1)[batch.kept.flat.to(hidden.device)].float().cpu()


def _sums(
    seen: dict[tuple[str, int], Tensor], layers: Sequence[int], parts: Sequence[str]
) -> list[dict[tuple[str, int], Tensor]]:
    """What some sites must be, given the others: every sum that can be formed of the parts there are."""
    whole = {"attn_out", "mlp_out"} <= set(parts)
    sums: dict[tuple[str, int], Tensor] = {}
    for i in layers:
        if {"attn_out", "resid_mid"} <= set(parts):
            sums["resid_mid", i] = seen["resid_pre", i] + seen["attn_out", i]
        if whole:
            sums["resid_post", i] = seen["resid_pre", i] + seen["attn_out", i] + seen["mlp_out", i]
        elif {"resid_mid", "mlp_out"} <= set(parts):
            sums["resid_post", i] = seen["resid_mid", i] + seen["mlp_out", i]
    return [sums] if sums else []


def _differences(got: Whole, expected: Whole) -> Float[Tensor, "point row"]:
    """Largest difference of any token, relative to its norm (or a tenth of the row's median, if larger)."""
    worst = []
    for a, b in zip(got, expected, strict=True):
        size = b.norm(dim=-1)
        scale = torch.maximum(size, 0.1 * size.median(dim=-1, keepdim=True).values).clamp_min(1e-12)
        worst.append(((a - b).norm(dim=-1) / scale).amax(dim=-1))
    return torch.stack(worst, dim=1)


def compare_reads(
    name: str,
    got: Whole,
    expected: Whole,
    limits: Float[Tensor, "point"],
    rows: Sequence[str],
    places: Sequence[tuple[str, int]],
) -> Check:
    """The worst difference, measured against the limit of its place."""
    difference = _differences(got, expected)
    point, row = divmod(int((difference / limits[:, None]).nan_to_num(torch.inf).argmax()), len(rows))
    found, limit = float(difference[point, row]), float(limits[point])
    site, layer = places[point]
    return Check(
        name=name,
        difference=found,
        limit=limit,
        row=rows[row],
        where=f"{site} of layer {layer}",
        passed=found <= limit,  # False for NaN
    )
