"""The conformance report as a table for a terminal, and as plain lines where there is none."""

from collections.abc import Iterator
from itertools import groupby

import click
from rich.table import Table
from rich.text import Text

from piecehub.facts.conformance_report import ConformanceReport, Finding
from piecehub.ui.table import print_drawn

_STYLES = {"ok": "green", "FELL SHORT": "bold red", "advice": "yellow", "not made": "dim", "note": "dim"}
_WORDS = {"held": "ok", "fell short": "FELL SHORT"}


def print_report(report: ConformanceReport) -> None:
    """Writes the table and the line that sums it up to standard output."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for checks, word, text in _rows(report):
        table.add_row(checks, Text(word, _STYLES[word]), Text(text))
    print_drawn(table)
    if took := report.timings:
        click.echo(f"{took.total_s:,.0f} s of the processor · {took.peak_bytes / 1e9:.1f} GB of memory at most")
    click.echo(summary(report))


def summary(report: ConformanceReport) -> str:
    """Verdict, counts of what is worth a look, and sandbox, on one line."""
    return f"{report.summary} · sandbox: {report.sandbox}"


def _rows(report: ConformanceReport) -> Iterator[tuple[str, str, str]]:
    """Numbers, outcome and text; checks that could not be made for one reason share a row."""
    for (unmade, sentence), group in groupby(report.findings, lambda found: (found.passed is None, found.sentence)):
        found = list(group)
        if unmade and len(found) > 1:
            yield f"{found[0].check}…{found[-1].check}", "not made", f"{len(found)} checks. {sentence}"
        else:
            yield from ((f.check, _outcome(f), f"{f.title}. {f.sentence}") for f in found)


def _outcome(finding: Finding) -> str:
    """One word for what a finding means."""
    return _WORDS.get(finding.outcome, finding.outcome)
