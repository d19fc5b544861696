"""What the measured seconds say: medians, quartiles and ratios; a table, and a plot.

python benchmarks/report.py   # writes the latest of benchmarks/results into the documentation
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cases import BERT_BASE, CASES, PAIRS, PRODUCT_SIZE, PRODUCTS, TINY, flops

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "results"
# The ratios that the README shows.
HEADLINES = (
    *(("dense", *pair) for pair in PAIRS),
    ("mixed", "bertx torch", "sentence-transformers"),
    ("mixed", "bertx torch, bfloat16", "sentence-transformers"),
    ("mixed", "bertx torch", "transformers torch"),
    ("fill_mask", "bertx torch", "transformers torch"),
    ("classify", "bertx torch", "transformers torch"),
    ("cold", "bertx numpy", "transformers torch"),
    ("cold", "bertx torch", "transformers torch"),
    ("cold", "bertx jax", "FlaxBert jit"),
)


def latest(key: str) -> dict[str, Any]:
    """The results of the latest date: those with "cases" are of run.py, those with "models" of gpu.py."""
    found = (json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"), reverse=True))
    return next(results for results in found if key in results)


def spread(values: Sequence[float]) -> dict[str, float]:
    """The median and the quartiles; of fewer than three values the least and the most."""
    low, high = min(values), max(values)
    if len(values) > 2:
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": statistics.median(values), "low": low, "high": high}


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """How many times as fast we are: round by round, since the machine's speed drifts."""
    return spread([b / a for a, b in zip(ours, theirs, strict=True)])


def summary(name: str, measured: dict[str, dict[str, Any]], quick: bool) -> dict[str, Any]:
    """A case for the JSON file: what `measured` has of each contender, and what follows from it."""
    case = CASES[name].quick() if quick else CASES[name]
    done = {who: found for who, found in measured.items() if "seconds" in found}
    for found in done.values():
        found |= spread(found["seconds"])
    products = {who: done[who] for who in PRODUCTS if who in done}
    if products:
        fastest = min(products.values(), key=lambda found: found["median"])
        product = 2.0 * PRODUCT_SIZE**3
        for who, found in done.items():
            work = product if who in products else flops(TINY if quick else BERT_BASE, case.rows, case.length)
            rates = [work / seconds / 1e9 for seconds in found["seconds"]]
            peaks = [product / seconds / 1e9 for seconds in fastest["seconds"]]
            found["gflops"] = spread(rates)["median"]
            found["of_peak"] = spread([rate / peak for rate, peak in zip(rates, peaks, strict=True)])
    ratios = [
        {"of": of, "to": to, "goal": goal, **ratio(done[of]["seconds"], done[to]["seconds"])}
        | {"memory": done[of]["peak"] / done[to]["peak"]}
        for of, to, goal in case.ratios
        if of in done and to in done
    ]
    sizes = {"rows": case.rows, "length": case.length, "quick": quick}
    return {"what": case.what, **sizes, "contenders": measured, "ratios": ratios}


def milliseconds(found: dict[str, Any]) -> str:
    """A median with its quartiles."""
    return " ".join(f"{1000 * found[key]:,.{0 if found['median'] > 0.1 else 2}f}" for key in ("median", "low", "high"))


def cells(row: dict[str, Any]) -> list[str]:
    """A ratio in words."""
    goal = "" if row["goal"] is None else f"{row['goal']:.2f} {'✓' if row['median'] >= row['goal'] else '✗'}"
    quartiles = f"{row['low']:.2f}–{row['high']:.2f}"
    return [row["of"], row["to"], f"{row['median']:.2f}", quartiles, goal, f"{row['memory']:.2f}"]


def markdown(results: dict[str, Any], wanted: Sequence[tuple[str, str, str]] = ()) -> str:
    """The ratios for the documentation; all of them, or those that are wanted."""
    lines = ["| case | | times as fast as | median | quartiles | asked for | memory |"]
    lines += ["| --- | --- | --- | ---: | ---: | ---: | ---: |"]
    for name, case in results.items():
        for row in case["ratios"]:
            if not wanted or (name, row["of"], row["to"]) in wanted:
                lines.append(f"| {' | '.join([name, *cells(row)])} |")
    return "\n".join(lines)


def gpu_markdown(report: dict[str, Any]) -> str:
    """What gpu.py wrote, for the documentation."""
    lines = ["| | a second | share of the peak | from float32 on the processor | bound |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    for row in report["models"]:
        what = f"{row['case']}: {row['model']}" if "case" in row else row["model"]
        speed = f"{row['per_second']:,.{0 if row['per_second'] > 100 else 2}f}" if row["seconds"] else ""
        if "unit" in row:
            speed = row["error"] or f"{speed} {row['unit'].removesuffix('/s')}"
        share = "" if row.get("share") is None else f"{row['share']:.0%}"
        delta = "" if row["delta"] is None else f"{row['delta']:.1e}"
        bound = "" if row["bound"] is None else f"{row['bound']:g}"
        lines.append(f"| {what} | {speed} | {share} | {delta} | {bound} |")
    return "\n".join(lines)


def filled(page: str) -> str:
    """A page with the tables of the latest results between the comments for them."""
    results = latest("cases")["cases"]
    tables = {
        "headlines": markdown(results, HEADLINES),
        "ratios": markdown(results),
        "gpu": gpu_markdown(latest("models")),
    }
    for name, table in tables.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        page = re.sub(f"(?s){start}.*{end}", lambda _, text=start + table + "\n" + end: text, page)
    return page


def print_tables(name: str, case: dict[str, Any]) -> None:
    """What each contender took, and the ratios."""
    from rich.console import Console
    from rich.table import Table

    title = f"{name}: {case['what']}"
    table = Table("contender", title=title + " – tiny sizes" * case["quick"], title_justify="left")
    for heading in ("ms: median, quartiles", "GFLOP/s", "of peak", "peak MiB", "max |Δ|"):
        table.add_column(heading, justify="right")
    for who, found in case["contenders"].items():
        if "error" in found:
            table.add_row(who, found["error"].splitlines()[-1])
            continue
        rate = f"{found['gflops']:,.0f}" if "gflops" in found else ""
        peak = f"{found['of_peak']['median']:.0%}" if "gflops" in found else ""
        delta = f"{found['difference']:.1e}" if "difference" in found else ""
        table.add_row(who, milliseconds(found), rate, peak, f"{found['peak']:,.0f}", delta)
    ratios = Table("times as fast", "as", title_justify="left")
    for heading in ("median", "quartiles", "asked for", "memory"):
        ratios.add_column(heading, justify="right")
    for row in case["ratios"]:
        ratios.add_row(*cells(row))
    console = Console(width=120) if not Console().is_terminal else Console()
    console.print(table)
    if case["ratios"]:
        console.print(ratios)


def plot(results: dict[str, Any], path: Path) -> None:
    """The ratios as bars with their quartiles, on a logarithmic axis; a tick is what issue 6 asks for."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [(f"{name}: {row['of']} / {row['to']}", row) for name, case in results.items() for row in case["ratios"]]
    figure, axes = pyplot.subplots(figsize=(10, 1 + 0.28 * len(rows)), layout="constrained")
    for place, (_, row) in enumerate(rows):
        color = "tab:green" if row["median"] >= (row["goal"] or 1) else "tab:orange"
        axes.barh(place, row["median"] - 1, left=1, color=color, height=0.7)
        axes.plot([row["low"], row["high"]], [place, place], color="black", linewidth=1)
        if row["goal"] is not None:
            axes.plot([row["goal"]], [place], marker="|", color="tab:red", markersize=10)
        axes.annotate(f"{row['median']:.2f}", (max(row["high"], 1), place), (4, -3), textcoords="offset points", size=8)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set(xscale="log", xlabel="times as fast, median of rounds (line: quartiles, red: asked for)")
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0.48), max(high, 2.1))
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10) if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_yticks(range(len(rows)), [label for label, _ in rows], size=8)
    axes.invert_yaxis()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    for path in (ROOT / "README.md", ROOT / "docs" / "speed.md"):
        path.write_text(filled(path.read_text()))
    plot(latest("cases")["cases"], ROOT / "docs" / "ratios.png")
