"""The probe benchmark as tables: every route with what was timed, and every yardstick with its target."""

from __future__ import annotations

from typing import Any


def targets(case: dict[str, Any]) -> list[tuple[str, float, str, bool]]:
    """(what, value, target, met) of each yardstick that a case measures."""
    found = []

    def add(what: str, value: float, target: float, *, at_least: bool = False) -> None:
        met = value >= target if at_least else value <= target
        found.append((what, value, f"{'>=' if at_least else '<='} {target:g}", met))

    routes = {row["route"]: row for row in case["logistic"]["routes"]}
    loop, mine = routes["scikit-learn lbfgs, 1e-8"], routes["ours"]
    one_core = loop["seconds"] / mine["seconds"]
    found.append(("logistic, one core: faster than the scikit-learn loop", one_core, "", True))
    add("logistic: held-out scores apart (SD)", mine["score_difference_sd"], 0.01)
    pools = [row for row in routes.values() if "lbfgs" in row["route"] and "processes" in row["route"]]
    threaded = [row for row in routes.values() if row["route"].startswith("ours,") and row["cores"] > 1]
    if threaded:
        ratio = loop["seconds"] / threaded[0]["seconds"]
        what = f"logistic, {threaded[0]['cores']} cores: faster than the one-core scikit-learn loop"
        add(what, ratio, 8, at_least=True)
    if pools and threaded:
        ratio = pools[0]["seconds"] / threaded[0]["seconds"]
        found.append(("logistic: faster than the process pool, same cores", ratio, "", True))
    for row in routes.values():
        if row["route"].startswith("ours, ") and row not in threaded:
            place = row["route"].removeprefix("ours, ")
            ratio = loop["seconds"] / row["seconds"]
            add(f"logistic, {place}: faster than the one-core scikit-learn loop", ratio, 8, at_least=True)
            add(f"logistic, {place}: held-out scores apart (SD)", row["score_difference_sd"], 0.01)
    if case["mlp"]:
        peers = iter(case["mlp"]["routes"])
        for theirs, ours in zip(peers, peers, strict=True):  # the loop and ours, place by place
            what = ours["route"].replace("ours", "MLP")
            add(f"{what}: faster than the torch loop", theirs["seconds"] / ours["seconds"], 10, at_least=True)
            add(f"{what}: mean held-out AUROC apart", abs(theirs["mean_auroc"] - ours["mean_auroc"]), 0.01)
    if (halving := case.get("mlp_halving")) and case["mlp"]:
        loop = case["mlp"]["routes"][0]["seconds"] / case["case"]["layers"]
        add("MLP sweep by halving: faster than the torch loop", loop / halving["seconds"], 5, at_least=True)
        apart = halving["best_auroc"] - halving["best_kept_auroc"]
        add("MLP sweep by halving: held-out AUROC given up", apart, 0.005)
    if statistics := case["statistics"]:
        seconds = statistics["null_seconds"] + statistics["bootstrap_seconds"]
        what = f"{statistics['permutations']} permutations + {statistics['resamples']} bootstraps (s)"
        add(what, seconds, 60)
    return found


def show(result: dict[str, Any]) -> None:
    """Tables for people."""
    for case in result["cases"]:
        spec = case["case"]
        print(f"\n{spec['name']}: {case['rows']} rows, d = {spec['d']}, {spec['layers']} layers")
        if case["load_before"] > 0.5:
            print(f"NOT QUIET: load average {case['load_before']:.1f} before; do not use these timings.")
        logistic = case["logistic"]
        grid = f"{spec['layers']} layers x folds x C; fewer timed ones are scaled"
        print(f"\nLogistic, {logistic['fits']} fits ({grid})")
        print(f"{'route':52} {'cores':>5} {'timed':>6} {'seconds':>9} {'SD apart':>9} {'AUROC':>7}")
        for row in logistic["routes"]:
            print(
                f"{row['route']:52} {row['cores']:5} {row['timed_fits']:6} {row['seconds']:9.1f} "
                f"{row['score_difference_sd']:9.5f} {row['auroc_difference']:7.4f}"
            )
        if case["mlp"]:
            mlp = case["mlp"]
            print(f"\nMLP, {mlp['fits']} fits (layers x settings x seeds)")
            for row in mlp["routes"]:
                print(
                    f"{row['route']:52} {1:5} {row['timed_fits']:6} {row['seconds']:9.1f} "
                    f"mean held-out AUROC {row['mean_auroc']:.4f}"
                )
            print(
                f"mean |AUROC difference| per model: {mlp['our_difference']:.4f} between ours and the loop, "
                f"{mlp['seed_difference']:.4f} between two seeds of the loop"
            )
        if statistics := case["statistics"]:
            print(f"\nNull over {statistics['cells']} cells and bootstraps of every layer")
            for name in ("null", "bootstrap"):
                print(
                    f"{name:12} ours {statistics[f'{name}_seconds']:8.2f} s, loop "
                    f"{statistics[f'loop_{name}_seconds']:9.1f} s, largest difference "
                    f"{statistics[f'{name}_difference']:.1e}"
                )
        if case["sweep_seconds"] is not None:
            print(f"\nsweep(), all of it, {result['cores']} cores: {case['sweep_seconds']:.1f} s")
        print(f"\n{'yardstick':60} {'value':>9} {'target':>8}")
        for what, value, target, met in targets(case):
            verdict = "" if met or spec["name"] == "quick" else "  MISSED"
            print(f"{what:60} {value:9.3f} {target:>8}{verdict}")
