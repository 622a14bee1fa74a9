"""From comparisons to what people read: tables in Markdown, with an honest verdict in each row, and JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from comparison import Beside, Count, Figure, Measured, Table, show
from machine import Machine

# The Python whose table a page shows, if it was measured: the one that most of the tests run on.
SHOWN = 11


@dataclass(frozen=True)
class Run:
    """What stands above the tables."""

    machine: Machine
    quick: bool
    rounds: int
    # What instructions were counted with, if they were.
    counter: str | None

    def lines(self) -> list[str]:
        """As paragraphs."""
        how = "a quick run" if self.quick else "a full run"
        paragraphs = [
            f"{self.machine.line()}.",
            self.machine.busy(),
            f"Medians of {how}, up to {self.rounds} rounds; figures of time are CPU time.",
        ]
        if self.counter:
            # Stacks are copied by such an instruction, so this flatters who copies none.
            remark = ", which counts each round of a repeated string instruction"
            paragraphs.append(
                f"Instructions counted by: {self.counter}{remark if self.counter == 'cachegrind' else ''}."
            )
        return [line for paragraph in paragraphs if paragraph for line in (paragraph, "")]


def text(table: Table) -> str:
    """All that was measured of a suite in one Python, in Markdown."""
    lines = [
        f"### {table.suite.name}, Python {table.interpreter.version}",
        "",
        table.interpreter.line() + ".",
        "",
    ]
    lines.extend(_main(table))
    lines.extend(_beside_peers(table))
    original, ours = table.names
    header = ["row", f"wall, {original}", f"wall, {ours}", f"peak RSS, {original}", f"peak RSS, {ours}"]
    timed = (_rest(row) for row in table.rows if row.original.figure.wall or row.ours.wall)
    lines.extend(["", *_grid(header, timed, range(1, 5))])
    lines.extend(_counted(table))
    lines.extend(_failures(table))
    return "\n".join(lines) + "\n"


def overview(tables: list[Table]) -> str:
    """The ratios of a suite in all Pythons beside each other."""
    titles: dict[str, str] = {}
    for table in tables:
        titles.update({row.row.name: row.row.title for row in table.rows})
    cells = [{row.row.name: row.original.ratio for row in table.rows} for table in tables]
    header = ["row", *(f"3.{table.interpreter.minor}" for table in tables)]
    body = ([title, *(_ratio(by.get(name)) for by in cells)] for name, title in titles.items())
    grid = _grid(header, body, range(1, len(header)))
    return "\n".join([f"### {' by '.join(tables[0].names)}, all Pythons", "", *grid]) + "\n"


def write(out: Path, run: Run, tables: list[Table]) -> None:
    """Writes RESULTS.md and results.json."""
    out.mkdir(parents=True, exist_ok=True)
    parts = ["\n".join(["# greenloom's Python benchmarks", "", *run.lines()])]
    for name, same in _by_suite(tables).items():
        original = same[0].suite.original
        parts.append(f"## {f'Beside {name}' if original == name else name.capitalize()}\n")
        if len(same) > 1:
            parts.append(overview(same))
        parts.extend(text(table) for table in same)
        parts.append("\n".join(["### The rows", "", *_legend(same)]) + "\n")
    (out / "RESULTS.md").write_text("\n".join(parts), encoding="utf-8")
    data = {
        "machine": asdict(run.machine),
        "quick": run.quick,
        "rounds": run.rounds,
        "tables": [_plain(table) for table in tables],
    }
    (out / "results.json").write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def place(page: str, suite: str) -> tuple[int, int]:
    """Where in the text of a page the results of a suite are. Raises `ValueError` if it has no marks for them."""
    begin = f"<!-- results: {suite} -->\n"
    start = page.find(begin)
    stop = page.find("<!-- end of results -->", start)
    if start < 0 or stop < 0:
        raise ValueError(
            f"the page has no place for the results of {suite}: a line {begin.strip()} and an end"
        )
    return start + len(begin), stop


def put_into(page: Path, run: Run, tables: list[Table]) -> None:
    """Puts the main tables of each suite into its place in a page of the documentation."""
    written = page.read_text(encoding="utf-8")
    for name, same in _by_suite(tables).items():
        start, stop = place(written, name)
        written = "\n".join([written[:start], *_section(run, same), "", written[stop:]])
    page.write_text(written, encoding="utf-8")


def failed(table: Table) -> list[str]:
    """The rows that greenloom could not do, though there was room for them."""
    return [
        row.row.name
        for row in table.rows
        if row.ours.failure is not None and not row.ours.failure.startswith("skipped")
    ]


def _section(run: Run, tables: list[Table]) -> list[str]:
    """What a page shows of a suite."""
    lines = run.lines()
    if len(tables) > 1:
        header, _, *grid = overview(tables).rstrip().splitlines()
        lines.extend([f"{header.removeprefix('### ')}:", "", *grid, ""])
    shown = next((table for table in tables if table.interpreter.minor == SHOWN), tables[0])
    lines.extend([f"On Python {shown.interpreter.version}:", "", *_main(shown), *_beside_peers(shown)])
    lines.extend(_failures(shown))
    return lines


def _by_suite(tables: list[Table]) -> dict[str, list[Table]]:
    suites: dict[str, list[Table]] = {}
    for table in tables:
        suites.setdefault(table.suite.name, []).append(table)
    return suites


def _main(table: Table) -> list[str]:
    """The original and greenloom."""
    original, ours = table.names
    header = ["row", original, "IQR", ours, "IQR", "ratio", "to reach", "verdict"]
    return _grid(header, (_line(row) for row in table.rows), right=range(1, 6))


def _beside_peers(table: Table) -> list[str]:
    """The peers and greenloom, a line for each."""
    header = ["row", "peer", "its figure", "IQR", table.names[1], "ratio", "to reach", "verdict"]
    body: list[list[str]] = []
    for row in table.rows:
        for peer in row.peers:
            title = row.row.title if peer is row.peers[0] else ""
            ours = _value(row, row.ours)[0]
            body.append(
                [
                    title,
                    peer.figure.name,
                    *_value(row, peer.figure),
                    ours,
                    _ratio(peer.ratio),
                    peer.mark,
                    peer.verdict,
                ]
            )
    return ["", *_grid(header, body, range(2, 6))] if body else []


def _counted(table: Table) -> list[str]:
    """The instructions, if they were counted."""
    rows = [row for row in table.rows if row.ours.instructions is not None]
    if not rows:
        return []

    def shown(count: Count) -> str:
        return f"{count:.0f}" if isinstance(count, float) else count or "-"

    header = ["user instructions per operation", *table.names]
    body = (
        [row.row.title, shown(row.original.figure.instructions), shown(row.ours.instructions)] for row in rows
    )
    return ["", *_grid(header, body, range(1, 3))]


def _failures(table: Table) -> list[str]:
    """Who did not do what, and why. The rows of one job share its failure: the first of them names it."""
    failures: dict[tuple[str, str], str] = {}
    for row in table.rows:
        for figure in row.figures:
            if figure.failure:
                line = f"- {row.row.title}, {figure.name}: {figure.failure}"
                failures.setdefault((row.about, figure.name), line)
    return ["", "Not, or not fully, measured:", "", *failures.values()] if failures else []


def _legend(tables: list[Table]) -> list[str]:
    """What an operation is in each row."""
    titles: dict[str, dict[str, None]] = {}
    for row in (row for table in tables for row in table.rows):
        titles.setdefault(row.about, {})[row.row.title] = None
    return [f"- {'; '.join(of)}: {about}." for about, of in titles.items()]


def _line(row: Measured) -> list[str]:
    other = row.original
    cells = [row.row.title, *_value(row, other.figure), *_value(row, row.ours)]
    return [*cells, _ratio(other.ratio), other.mark, other.verdict]


def _value(row: Measured, figure: Figure) -> list[str]:
    """The median, and how far the samples lie around it."""
    value = figure.value
    return [show(row.row.unit, value.median), f"{value.iqr_percent:.0f}%"] if value else ["-", "-"]


def _rest(row: Measured) -> list[str]:
    figures = (row.original.figure, row.ours)
    walls = [show(row.row.unit, figure.wall.median) if figure.wall else "-" for figure in figures]
    peaks = ["-" if figure.peak_rss is None else f"{figure.peak_rss / 1e6:.1f} MB" for figure in figures]
    return [row.row.title, *walls, *peaks]


def _ratio(ratio: float | None) -> str:
    if ratio is None:
        return "-"
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.1f}x"


def _grid(header: list[str], rows: Iterable[list[str]], right: range) -> list[str]:
    """Lines of a Markdown table that is readable as it is."""
    body = list(rows)
    widths = [max(len(row[column]) for row in [header, *body]) for column in range(len(header))]

    def line(cells: list[str]) -> str:
        padded = (
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = ("-" * (width - 1) + (":" if column in right else "-") for column, width in enumerate(widths))
    return [line(header), f"| {' | '.join(rule)} |", *(line(row) for row in body)]


def _plain(table: Table) -> dict[str, Any]:
    """A table in the terms of JSON."""

    def beside(other: Beside) -> dict[str, Any]:
        return {**asdict(other.figure), "ratio": other.ratio, "mark": other.mark, "verdict": other.verdict}

    return {
        "suite": table.suite.name,
        "python": table.interpreter.line(),
        "rows": [
            {
                "name": row.row.name,
                "title": row.row.title,
                "metric": row.row.metric,
                "unit": row.row.unit.value,
                "ours": asdict(row.ours),
                "original": beside(row.original),
                "peers": [beside(peer) for peer in row.peers],
            }
            for row in table.rows
        ],
    }
