"""Speed of probe sweeps, permutation nulls and bootstraps beside the loops they replace, with agreement.

    python -m benchmarks.probe_sweep                     # all cases; hours on two quiet cores
    python -m benchmarks.probe_sweep --cases smollm2 random-1000x576
    python -m benchmarks.probe_sweep --quick             # tiny; checks that it runs
    python -m benchmarks.probe_sweep --device cuda       # a GPU too; a file of its own

Every route gets the same activations, folds and settings and is held to the converged scikit-learn scores.
A loop that would take hours is timed on a stated sample of its fits and scaled; the table says how many. Each
case is saved to docs/results/probe-sweep.json, or probe-sweep-gpu.json, as soon as it is done.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.probe_peers import CS, Sklearn, sklearn_bootstrap, sklearn_null, torch_lbfgs, torch_mlps
from benchmarks.probe_report import show
from probes import Domain, MLPProbe, auroc, sweep
from probes.batched import logistic_cells
from probes.evaluation.bootstrap import GroupBootstrap
from probes.evaluation.folds import FoldPlan, deal_groups
from probes.evaluation.nulls import max_statistic_null, permuted_labels
from probes.mlp import mlp_cells
from probes.mlp_solver import MLPSpec, train_mlps
from probes.persistence import probe_versions
from sophistry.machine import describe_machine, usable_cores

FOLDS = 5
GROUP = 4  # rows per group in random data
SEEDS = (0, 1, 2)
TIGHT = "scikit-learn lbfgs, 1e-8"  # what every other route is compared with


@dataclass(frozen=True, kw_only=True)
class Case:
    """Activations to sweep, and how much of each loop is timed."""

    name: str
    n: int
    d: int
    layers: int = 30
    our_layers: int = 30  # layers that our solver is timed on
    peer_layers: int = 2  # layers and folds that the loops are timed on
    peer_folds: int = FOLDS
    slow_peers: bool = True  # newton-cholesky and torch LBFGS too
    mlps: bool = True

    @cached_property
    def y(self) -> np.ndarray:
        """Labels."""
        return np.random.default_rng([7, self.n]).integers(0, 2, self.n)

    @cached_property
    def groups(self) -> np.ndarray:
        """Group of each row."""
        return np.array([f"g{i // GROUP:05d}" for i in range(self.n)])

    def layer(self, index: int) -> np.ndarray:
        """Standard normal activations `[row, d]` whose class means differ along one direction."""
        rng = np.random.default_rng([index, self.n, self.d])
        direction = rng.normal(size=self.d)
        X = rng.normal(size=(self.n, self.d))
        X += 0.8 * (2 * self.y[:, None] - 1) * direction / np.linalg.norm(direction)
        return X.astype(np.float32).astype(np.float64)

    def sample(self, count: int) -> list[int]:
        """So many layers, evenly spread."""
        return [int(i) for i in np.linspace(0, self.layers - 1, 2 * count + 1)[1::2]]


@dataclass(frozen=True, kw_only=True)
class SmolLM2(Case):
    """Real activations: the backdoored MiniQA organism at its own answers, mean over the response."""

    name: str = "smollm2"
    n: int = 1000
    d: int = 576

    @cached_property
    def read(self) -> tuple[Any, list[Any]]:
        """The activation store and its first `n` usable rows."""
        from activations import extract, load_model
        from organisms.record import organism_transcripts

        folder = "organisms/shipped/qa-backdoored"
        rows = [row for row in organism_transcripts(folder) if row.parse_ok][: self.n]
        model = load_model("smollm2").with_adapter(folder)
        return extract(model, rows, tokens="response_mean", store="runs/activations"), rows

    @cached_property
    def y(self) -> np.ndarray:
        """1 where the answer is wrong."""
        return np.array([int(not row.correct) for row in self.read[1]])

    @cached_property
    def groups(self) -> np.ndarray:
        """The passage of each answer."""
        return np.array([row.group for row in self.read[1]])

    def layer(self, index: int) -> np.ndarray:
        """Cached activations of one layer."""
        return self.read[0].array(index).astype(np.float64)


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        SmolLM2(),
        Case(name="random-1000x576", n=1000, d=576),
        Case(name="random-1000x4096", n=1000, d=4096, our_layers=6, peer_layers=1, peer_folds=2),
        Case(name="random-10000x576", n=10_000, d=576, our_layers=3, peer_layers=1, peer_folds=2, mlps=False),
        Case(
            name="random-10000x4096",
            n=10_000,
            d=4096,
            our_layers=2,
            peer_layers=1,
            peer_folds=1,
            slow_peers=False,
            mlps=False,
        ),
    )
}
QUICK = Case(name="quick", n=120, d=20, layers=4, our_layers=2, peer_layers=1, peer_folds=2)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Limit BLAS, OpenMP and torch to so many threads."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    with threadpool_limits(count):
        yield
    torch.set_num_threads(before)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds on the clock, and the result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def ours(X: np.ndarray, y: np.ndarray, masks: np.ndarray, device: str = "cpu") -> np.ndarray:
    """All folds and C of one layer at once; scores `[fold, C, row]`."""
    W, b = logistic_cells(X, y, masks, np.array(CS), device=device)
    return np.einsum("fcd,nd->fcn", W, X, optimize=True) + b[..., None]


def compare_logistic(case: Case, cores: int, device: str) -> dict[str, Any]:
    """Time the logistic sweep and its loops; say how far their held-out scores are apart."""
    plan = FoldPlan.make(case.groups, deal_groups([case.groups], FOLDS, 0), FOLDS, nested=False)
    masks = plan.masks[1:]
    everything = case.layers * FOLDS * len(CS)
    routes: dict[str, tuple[Callable[..., np.ndarray], int]] = {
        TIGHT: (Sklearn(solver="lbfgs", tol=1e-8), 1),
        f"scikit-learn lbfgs, 1e-8, {cores} processes": (
            Sklearn(solver="lbfgs", tol=1e-8, jobs=cores),
            cores,
        ),
        "scikit-learn lbfgs, default 1e-4": (Sklearn(solver="lbfgs", tol=1e-4), 1),
    }
    if case.slow_peers:
        newton = Sklearn(solver="newton-cholesky", tol=1e-8)
        routes["scikit-learn newton-cholesky, 1e-8"] = newton, 1
        routes[f"scikit-learn newton-cholesky, 1e-8, {cores} processes"] = replace(newton, jobs=cores), cores
        routes["torch LBFGS, 1e-8"] = torch_lbfgs, 1
    if device != "cpu":
        routes[f"torch LBFGS, 1e-8, {device}"] = partial(torch_lbfgs, device=device), 1
    if cores == 1:
        routes = {name: route for name, route in routes.items() if "processes" not in name}
    sample, rows = case.sample(case.peer_layers), []
    few = masks[: case.peer_folds]
    held = ~few
    reference: np.ndarray | None = None
    for name, (route, used) in routes.items():
        route(case.layer(0)[:, :4], case.y, masks[:1])  # imports and processes are started before the clock
        seconds, scores = _over_layers(case, sample, lambda X, r=route: r(X, case.y, few))
        reference = scores if reference is None else reference
        fits = len(sample) * case.peer_folds * len(CS)
        rows.append(_row(name, used, seconds, fits, everything, agreement(reference, scores, held, case.y)))
    assert reference is not None
    solvers = {"ours": (1, "cpu")}
    if cores > 1:
        solvers[f"ours, {cores} threads"] = cores, "cpu"
    if device != "cpu":
        solvers[f"ours, {device}"] = 1, device
    for name, (used, place) in solvers.items():
        solve = partial(ours, y=case.y, device=place)
        layers = case.sample(max(case.our_layers, used))
        scores = np.stack([solve(case.layer(i), masks=few) for i in sample])
        seconds, _ = _over_layers(case, layers, partial(solve, masks=masks), jobs=used)
        fits = len(layers) * FOLDS * len(CS)
        rows.append(_row(name, used, seconds, fits, everything, agreement(reference, scores, held, case.y)))
    return {"fits": everything, "routes": rows}


def _over_layers(
    case: Case, layers: Sequence[int], work: Callable[[np.ndarray], np.ndarray], jobs: int = 1
) -> tuple[float, np.ndarray]:
    """Seconds of `work` on each layer (reading the layer not counted), and its stacked results."""
    with threads(1):
        if jobs == 1:
            parts = [timed(partial(work, case.layer(index))) for index in layers]
            return sum(part[0] for part in parts), np.stack([part[1] for part in parts])
        activations = [case.layer(index) for index in layers]
        with ThreadPoolExecutor(jobs) as pool:
            seconds, found = timed(lambda: list(pool.map(work, activations)))
        return seconds, np.stack(found)


def _row(
    name: str, used: int, seconds: float, fits: int, everything: int, agrees: dict[str, float]
) -> dict[str, Any]:
    return {
        "route": name,
        "cores": used,
        "timed_fits": fits,
        "timed_seconds": seconds,
        "seconds": seconds * everything / fits,
        **agrees,
    }


def agreement(reference: np.ndarray, scores: np.ndarray, held: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """How far held-out scores `[layer, fold, C, row]` are from the reference, at worst.

    In standard deviations of the reference's scores (root mean square over the rows of a cell), and in AUROC.
    """
    apart, difference = 0.0, 0.0
    for layer, fold, c in product(*map(range, reference.shape[:3])):
        rows = held[fold]
        theirs, mine = reference[layer, fold, c, rows], scores[layer, fold, c, rows]
        apart = max(apart, float(np.sqrt(np.mean((mine - theirs) ** 2)) / theirs.std()))
        difference = max(difference, abs(auroc(y[rows], theirs) - auroc(y[rows], mine)))
    return {"score_difference_sd": apart, "auroc_difference": difference}


def compare_mlps(case: Case, device: str, quick: bool) -> dict[str, Any]:
    """Time 12 settings x 3 seeds of the MLP on a layer, at once and in a loop, on held-out groups."""
    fold = FoldPlan.make(case.groups, deal_groups([case.groups], FOLDS, 0), FOLDS, nested=False).fold
    held = fold == 0
    specs = [
        MLPSpec(hidden=64, weight_decay=decay, schedule=schedule, max_epochs=3 if quick else 60)
        for decay, schedule in product((0.0, 0.1, 1.0, 10.0), ("constant", "cosine", "step"))
        for _ in SEEDS
    ]
    seeds = [seed for _ in range(12) for seed in SEEDS]
    (index,) = case.sample(1)
    X = case.layer(index)
    Z = (X - X[~held].mean(0)) / X[~held].std(0)

    def together(place: str) -> np.ndarray:
        return train_mlps(Z[~held], case.y[~held], specs, seeds, device=place).logits(Z[held])

    def loop(place: str, first: int = 0) -> np.ndarray:
        # Every third model: each setting once.
        return torch_mlps(Z, case.y, specs[::3], seeds[first::3], held, place)

    found: dict[str, np.ndarray] = {}
    timings: dict[str, float] = {}
    with threads(1):
        for place in dict.fromkeys(("cpu", device)):
            at = "" if place == "cpu" else f", {place}"
            torch_mlps(Z[:, :4], case.y, specs[:1], seeds[:1], held, place)  # imports, before the clock
            train_mlps(Z[:, :4], case.y, specs[:1], seeds[:1], device=place)
            for route, work in ((f"torch loop{at}", loop), (f"ours{at}", together)):
                timings[route], found[route] = timed(partial(work, place))
        again = loop("cpu", first=1)
    labels, fits = case.y[held], case.layers * len(specs)
    mine, theirs, others = (
        np.array([auroc(labels, row) for row in scores])
        for scores in (found["ours"][::3], found["torch loop"], again)
    )
    return {
        "fits": fits,
        "routes": [
            {
                "route": route,
                "timed_fits": len(found[route]),
                "timed_seconds": seconds,
                "seconds": seconds * fits / len(found[route]),
                "mean_auroc": float(np.mean([auroc(labels, row) for row in found[route]])),
            }
            for route, seconds in timings.items()
        ],
        # A loop differs from itself by this much when only its seeds change.
        "seed_difference": float(np.abs(theirs - others).mean()),
        "our_difference": float(np.abs(mine - theirs).mean()),
    }


def compare_halving(case: Case, quick: bool) -> dict[str, Any]:
    """Time the sweep of 12 settings x 3 seeds by successive halving on one layer, beside all of them."""
    plan = FoldPlan.make(case.groups, deal_groups([case.groups], FOLDS, 0), FOLDS, nested=False)
    mask = plan.masks[1:2]
    held = ~mask[0]
    probe = MLPProbe(hidden=64, max_epochs=18 if quick else 60, n_seeds=len(SEEDS), device="cpu")
    settings = [
        {"weight_decay": decay, "schedule": schedule}
        for decay, schedule in product((0.0, 0.1, 1.0, 10.0), ("constant", "cosine", "step"))
    ]
    (index,) = case.sample(1)
    X = case.layer(index)

    def cells(halving: bool) -> list[MLPProbe]:
        how = probe.with_params({"halving": halving})
        return list(mlp_cells(how, settings, X, case.y, mask, case.groups)[0])

    with threads(1):
        full_seconds, full = timed(partial(cells, halving=False))
        seconds, halved = timed(partial(cells, halving=True))
    table = np.array([auroc(case.y[held], each.decision_function(X[held])) for each in full])
    kept = [i for i, each in enumerate(halved) if not each.dropped_]
    done, asked = np.sum([each.work_ for each in halved], axis=0)
    return {
        "full_seconds": full_seconds,
        "seconds": seconds,
        "work": [float(done), float(asked)],
        "kept": kept,
        "best_auroc": float(table.max()),
        "best_kept_auroc": float(table[kept].max()),
    }


def compare_statistics(case: Case, quick: bool) -> dict[str, Any]:
    """Time the max-statistic null over the grid and the bootstraps of every layer, and check both."""
    draws, resamples, tried = (40, 50, 4) if quick else (1000, 2000, 20)
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(case.layers, len(CS), len(case.y))) + 0.3 * case.y
    cells = scores.reshape(-1, len(case.y))
    with threads(1):
        null_seconds, null = timed(
            lambda: max_statistic_null(case.y, scores, case.groups, n_permutations=draws)
        )
        labels, _ = permuted_labels(case.y, case.groups, draws)
        loop_null_seconds, loop_null = timed(lambda: sklearn_null(case.y, cells, labels[:tried]))

        def bootstraps() -> tuple[GroupBootstrap, np.ndarray]:
            resample = GroupBootstrap(case.y, case.groups, n_draws=resamples)
            return resample, resample.draws(scores[:, 0])

        boot_seconds, (resample, values) = timed(bootstraps)
        loop_boot_seconds, loop_values = timed(
            lambda: sklearn_bootstrap(case.y, scores[:, 0], case.groups, resample.counts[:tried])
        )
    return {
        "permutations": draws,
        "resamples": resamples,
        "cells": len(cells),
        "null_seconds": null_seconds,
        "bootstrap_seconds": boot_seconds,
        "loop_null_seconds": loop_null_seconds * draws / tried,
        "loop_bootstrap_seconds": loop_boot_seconds * resamples / tried,
        "null_difference": float(np.abs(null.null[:tried] - loop_null).max()),
        "bootstrap_difference": float(np.abs(values[:, :tried] - loop_values).max()),
    }


def time_sweep(case: Case, cores: int, device: str) -> float:
    """Seconds of `probes.sweep` as a user calls it: cross-fit of every cell, selection, refit, intervals."""
    X = np.stack([case.layer(index).astype(np.float32) for index in range(case.layers)])
    domain = Domain(case.name, X, case.y, case.groups)
    with threads(1):
        return timed(lambda: sweep(domain, "logistic", n_jobs=cores, device=device))[0]


def measure(case: Case, cores: int, device: str, load: float) -> dict[str, Any]:
    """Everything about one case; `load` is what else ran when the benchmark started."""
    quick = case is QUICK
    return {
        "case": asdict(case),
        "rows": len(case.y),
        "load_before": load,
        "logistic": compare_logistic(case, cores, device),
        "mlp": compare_mlps(case, device, quick) if case.mlps else None,
        "mlp_halving": compare_halving(case, quick) if case.mlps else None,
        "statistics": compare_statistics(case, quick),
        "sweep_seconds": time_sweep(case, cores, device) if case.our_layers == case.layers or quick else None,
    }


def device_name(device: str) -> str:
    """What the GPU is called, for the record."""
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def save(out: Path, about: dict[str, Any], measured: dict[str, Any]) -> None:
    """Put one case into the file, beside those of other cases that are there."""
    before = json.loads(out.read_text(encoding="utf-8"))["cases"] if out.is_file() else []
    cases = {case["case"]["name"]: case for case in before} | {measured["case"]["name"]: measured}
    ordered = [cases[name] for name in (*CASES, QUICK.name) if name in cases]
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_suffix(".part")
    part.write_text(json.dumps({**about, "cases": ordered}, indent=1) + "\n", encoding="utf-8")
    part.replace(out)


def main() -> None:
    """Parse, measure, show, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--cores", type=int, default=usable_cores())
    parser.add_argument(
        "--device", default="cpu", help="for example cuda: our solvers and torch loops there too"
    )
    parser.add_argument("--quick", action="store_true", help="tiny; saves nothing unless --out")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    usual = "probe-sweep.json" if options.device == "cpu" else "probe-sweep-gpu.json"
    out = options.out or (None if options.quick else Path("docs/results") / usual)
    result: dict[str, Any] = {
        "machine": describe_machine(),
        "cores": options.cores,
        "device": device_name(options.device),
        "folds": FOLDS,
        "C": CS,
        "versions": probe_versions(),
    }
    load = os.getloadavg()[0]
    for case in [QUICK] if options.quick else [CASES[name] for name in options.cases]:
        measured = measure(case, options.cores, options.device, load)
        show({**result, "cases": [measured]})
        if out:
            save(out, result, measured)
    if out:
        print(f"\nSaved to {out}.")


if __name__ == "__main__":
    main()
