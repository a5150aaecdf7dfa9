"""Makes RESULTS.md of results/*.json: no figure in it is typed by hand."""

import json
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS

_HEAD = """# Benchmarks

Made by `make bench` from `benchmarks/results/*.json`. In each table ours and its peers took turns in one run on one
machine; times are medians in seconds, and *ratio* says how many times longer than ours a peer took. Where a table
counts instead, its interval is that of Clopper and Pearson.
"""


def render(results: list[dict[str, Any]]) -> str:
    """The text of RESULTS.md, one section a result, by name."""
    sections = [_section(result) for result in sorted(results, key=lambda r: r["name"])]
    return "\n".join([_HEAD, *sections])


def make(folder: Path = RESULTS, page: Path = RESULTS.parent / "RESULTS.md") -> None:
    """Reads `folder` and writes `page`."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    beside = page.with_suffix(".md.part")
    beside.write_text(render(results), encoding="utf-8")
    beside.replace(page)


def _section(result: dict[str, Any]) -> str:
    machine = ", ".join(f"{key} {value}" for key, value in result["machine"].items())
    return "\n".join(
        [
            f"## {result['name']}: {result['question']}",
            "",
            *(_timings(result) if "figures" in result else _table(result) if "rows" in result else _rates(result)),
            "",
            *(f"- {what}: {value}" for what, value in result["facts"].items()),
            f"- `{result['command']}` at commit {result['commit']}, {result['measured_at']}",
            f"- {machine}",
            "",
        ]
    )


def _timings(result: dict[str, Any]) -> list[str]:
    rows = [_row(result, name, figure) for name, figure in result["figures"].items()]
    return ["| | median s | fastest s | slowest s | ratio |", "|---|---|---|---|---|", *rows]


def _table(result: dict[str, Any]) -> list[str]:
    """Rows of equal keys as they are."""
    rows: list[dict[str, Any]] = result["rows"]
    cells = [[f"{value:,.1f}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    heads = [key.replace("_", " ") for key in rows[0]]
    return [_line(heads), _line(["---"] * len(heads)), *map(_line, cells)]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rates(result: dict[str, Any]) -> list[str]:
    """A row for each kind that was counted (see `gate_table`)."""
    kinds = {kind: value for kind, value in result.items() if isinstance(value, dict) and "blessed" in value}
    rows = [
        f"| {kind.replace('_', ' ')} | {value['runs']} | {value['blessed']} | {value['blessed'] / value['runs']:.1%} | "
        f"{value['lower']:.1%} to {value['upper']:.1%} |"
        for kind, value in kinds.items()
    ]
    return ["| | runs | blessed | share | 95 % interval |", "|---|---|---|---|---|", *rows]


def _row(result: dict[str, Any], name: str, figure: dict[str, Any]) -> str:
    times = figure["times_s"]
    shown = f"**{name}** (ours)" if name == result["ours"] else name
    ratio = result["ratios"].get(name, 1.0)
    return f"| {shown} | {figure['median_s']:.3f} | {min(times):.3f} | {max(times):.3f} | {ratio:.1f} |"


if __name__ == "__main__":
    make()
