"""The extraction benchmark as one table: routes, memory, and every yardstick with its target."""

from typing import Any


def targets(result: dict[str, Any]) -> list[tuple[str, str, float, str, bool]]:
    """(what, where, value, target, met) for every row of the design's yardstick table."""
    rows = []

    def add(what: str, where: str, value: float, target: float, *, at_least: bool = False) -> None:
        met = value >= target if at_least else value <= target
        rows.append((what, where, value, f"{'>=' if at_least else '<='} {target:g}", met))

    table = {(r["dtype"], r["shape"], r["route"]): r["ratio"] for r in result["routes"]}
    for (dtype, shape, route), ratio in table.items():
        where = f"{dtype}, {shape}"
        if route in ("ours, last token", "ours, mean"):
            add(f"capture / bare trunk ({route.removeprefix('ours, ')})", where, ratio, 1.02)
        if route == "ours, all tokens of one layer":
            add("capture / bare trunk (all tokens, one layer)", where, ratio, 1.10)
        if route == "transformers output_hidden_states":
            add(
                "faster than output_hidden_states",
                where,
                ratio / table[dtype, shape, "ours, mean"],
                1.25,
                at_least=True,
            )
        if route == "TransformerLens run_with_cache" and dtype == "bfloat16" and shape.startswith("long"):
            add(
                "faster than run_with_cache",
                where,
                ratio / table[dtype, shape, "ours, mean"],
                6,
                at_least=True,
            )
    for dtype, found in result["pipeline"].items():
        add("rows to closed store / bare trunk", dtype, found["pipeline"], 1.10)
        add("padded / real tokens", dtype, found["packing"], 1.05)
    for dtype, found in result["shared_prefix"].items():
        add("shared prefixes: fewer tokens", dtype, found["fewer_tokens"], 7, at_least=True)
        add("shared prefixes: score correlation", dtype, found["score_correlation"], 0.99, at_least=True)
    if memory := result["memory_mb"]:
        value = memory["ours, mean"] / memory["transformers output_hidden_states"]
        add("memory / output_hidden_states", "extra peak", value, 0.1)
    return rows


def show(result: dict[str, Any]) -> None:
    """One table for people."""
    print(
        f"\n{result['model']} on {result['device']}, {result['threads']} threads, "
        f"medians of {result['rounds']} interleaved rounds"
    )
    if result["load_before"] > 0.5:
        print(
            f"NOT QUIET: load average {result['load_before']:.1f} before the run; do not use these numbers."
        )
    print(f"\n{'dtype':9} {'shape':22} {'route':36} {'ms':>9} {'/ bare':>7}")
    for row in result["routes"]:
        print(
            f"{row['dtype']:9} {row['shape']:22} {row['route']:36} "
            f"{1e3 * row['seconds']:9.1f} {row['ratio']:7.2f}"
        )
    for name, reason in result["absent"].items():
        print(f"{name} is not in this table ({reason}).")
    for name, megabytes in result["memory_mb"].items():
        print(f"extra peak memory, {result['memory_shape']}: {name:36} {megabytes:9.1f} MB")
    for dtype, found in result["pipeline"].items():
        print(
            f"{dtype}: {found['rows']:.0f} rows, {found['tokens']:.0f} tokens; a stored key is returned in "
            f"{1e3 * found['cache_hit_seconds']:.0f} ms, reading its files takes "
            f"{1e3 * found['read_seconds']:.0f} ms."
        )
    print(f"\n{'yardstick':46} {'where':32} {'value':>8} {'target':>8}")
    for what, where, value, target, met in targets(result):
        verdict = "" if met or result["quick"] else "  MISSED"  # the targets are for real models
        print(f"{what:46} {where:32} {value:8.3f} {target:>8}{verdict}")
