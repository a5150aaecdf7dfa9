"""Makes RESULTS.md of results/*.json: no figure in it is typed by hand."""

import json
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS

_HEAD = """# Benchmarks

Made by `make bench` from `benchmarks/results/*.json`. In each table ours and its peers took turns in one run on one
machine; times are medians in seconds, and *ratio* says how many times longer than ours a peer took.
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
    rows = [_row(result, name, figure) for name, figure in result["figures"].items()]
    facts = [f"- {what}: {value}" for what, value in result["facts"].items()]
    return "\n".join(
        [
            f"## {result['name']}: {result['question']}",
            "",
            "| | median s | fastest s | slowest s | ratio |",
            "|---|---|---|---|---|",
            *rows,
            "",
            *facts,
            f"- `{result['command']}` at commit {result['commit']}, {result['measured_at']}",
            f"- {machine}",
            "",
        ]
    )


def _row(result: dict[str, Any], name: str, figure: dict[str, Any]) -> str:
    times = figure["times_s"]
    shown = f"**{name}** (ours)" if name == result["ours"] else name
    ratio = result["ratios"].get(name, 1.0)
    return f"| {shown} | {figure['median_s']:.3f} | {min(times):.3f} | {max(times):.3f} | {ratio:.1f} |"


if __name__ == "__main__":
    make()
