"""From samples to what people read: a table per Python with an honest verdict in each row, and JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from catalog import AtMost, Row, TimesFaster, Unit
from implementations import Implementation, Interpreter
from machine import Machine
from runner import Samples
from stats import Spread


@dataclass(frozen=True)
class Figure:
    """What one implementation did in a row."""

    name: str
    value: Spread | None
    wall: Spread | None
    peak_rss: float | None
    # User instructions of an operation, or why there are none.
    instructions: float | str | None
    failure: str | None
    samples: list[float]


@dataclass(frozen=True)
class Measured:
    """A row with its figures, in one Python."""

    row: Row
    about: str
    original: Figure
    ours: Figure
    # Median over the rounds of the original's figure by ours in the same round; over 1 is faster or smaller.
    ratio: float | None
    mark: str
    verdict: str


@dataclass
class Table:
    """The rows of one Python."""

    interpreter: Interpreter
    # Who is compared: the original, and ours or the original again.
    pair: list[Implementation]
    rows: list[Measured]

    @property
    def names(self) -> list[str]:
        """Of the two columns."""
        return [implementation.name for implementation in self.pair]


def measured(
    row: Row, about: str, results: list[Samples], counts: list[float | str | None], minor: int
) -> Measured:
    """A row from its job's samples: first the original's, then ours."""
    original, ours = (_figure(row, samples, count) for samples, count in zip(results, counts, strict=True))
    pairs = zip(original.samples, ours.samples, strict=False)
    spread = Spread.of(theirs / our for theirs, our in pairs if our > 0)
    ratio = spread.median if spread else None
    value = ours.value.median if ours.value else None
    return Measured(row, about, original, ours, ratio, _mark(row, minor), _verdict(row, minor, ratio, value))


def text(table: Table) -> str:
    """The table of a Python, in Markdown."""
    lines = [f"## Python {table.interpreter.version}", "", table.interpreter.line() + ".", ""]
    original, ours = table.names
    header = ["row", original, "IQR", ours, "IQR", "ratio", "to reach", "verdict"]
    lines.extend(_grid(header, (_line(row) for row in table.rows), right=range(1, 6)))
    lines.append("")
    header = ["row", f"wall, {original}", f"wall, {ours}", f"peak RSS, {original}", f"peak RSS, {ours}"]
    lines.extend(
        _grid(header, (_rest(row) for row in table.rows if row.original.wall or row.ours.wall), range(1, 5))
    )
    counted = [row for row in table.rows if row.ours.instructions is not None]
    if counted:
        header = ["user instructions per operation", original, ours]
        lines.extend(["", *_grid(header, (_counted(row) for row in counted), range(1, 3))])
    # The rows of one job share its failure: the first of them names it.
    failures: dict[tuple[str, str], str] = {}
    for row in table.rows:
        for figure in (row.original, row.ours):
            if figure.failure:
                text = f"- {row.row.title}, {figure.name}: {figure.failure}"
                failures.setdefault((row.about, figure.name), text)
    if failures:
        lines.extend(["", "Not, or not fully, measured:", "", *failures.values()])
    return "\n".join(lines) + "\n"


def overview(tables: list[Table]) -> str:
    """The ratios of all Pythons beside each other."""
    names: dict[str, str] = {}
    for table in tables:
        names.update({row.row.name: row.row.title for row in table.rows})
    cells = [{row.row.name: row for row in table.rows} for table in tables]

    def ratio(row: Measured | None) -> str:
        return "-" if row is None else _ratio(row.ratio)

    header = ["row", *(f"3.{table.interpreter.minor}" for table in tables)]
    grid = _grid(
        header,
        ([title, *(ratio(by.get(name)) for by in cells)] for name, title in names.items()),
        range(1, 9),
    )
    return "\n".join([f"## {' by '.join(tables[0].names)}, all Pythons", "", *grid]) + "\n"


def write(
    out: Path, machine: Machine, tables: list[Table], *, quick: bool, rounds: int, counter: str | None
) -> None:
    """Writes RESULTS.md and results.json."""
    out.mkdir(parents=True, exist_ok=True)
    parts = ["# greenloom's Python benchmarks\n", machine.line() + ".\n"]
    warning = machine.busy()
    if warning:
        parts.append(warning + "\n")
    how = "a quick run" if quick else "a full run"
    parts.append(f"Medians of {how}, up to {rounds} rounds; figures of time are CPU time.\n")
    if counter:
        # Stacks are copied by such an instruction, so this flatters who copies none.
        remark = (
            ", which counts each round of a repeated string instruction" if counter == "cachegrind" else ""
        )
        parts.append(f"Instructions counted by: {counter}{remark}.\n")
    if len(tables) > 1:
        parts.append(overview(tables))
    parts.extend(text(table) for table in tables)
    if tables:
        titles: dict[str, dict[str, None]] = {}
        for row in (row for table in tables for row in table.rows):
            titles.setdefault(row.about, {})[row.row.title] = None
        parts.append("## The rows\n")
        parts.append("\n".join(f"- {'; '.join(of)}: {about}." for about, of in titles.items()) + "\n")
    (out / "RESULTS.md").write_text("\n".join(parts), encoding="utf-8")
    data = {
        "machine": asdict(machine),
        "quick": quick,
        "rounds": rounds,
        "tables": [_plain(table) for table in tables],
    }
    (out / "results.json").write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def failed(table: Table) -> list[str]:
    """The rows that greenloom could not do, though there was room for them."""
    return [
        row.row.name
        for row in table.rows
        if row.ours.failure is not None and not row.ours.failure.startswith("skipped")
    ]


def show(unit: Unit, value: float) -> str:
    """A figure with its unit, three or four digits."""
    if unit is Unit.BYTES:
        return f"{value:.0f} B"
    if value < 100:
        return f"{value:.1f} ns"
    return f"{value:.0f} ns" if value < 10_000 else f"{value / 1000:.1f} us"


def _figure(row: Row, samples: Samples, count: float | str | None) -> Figure:
    def of(metric: str) -> list[float]:
        return [sample[metric] for sample in samples.rounds if metric in sample]

    peak = Spread.of(of("peak_rss_bytes"))
    return Figure(
        name=samples.name,
        value=Spread.of(of(row.metric)),
        wall=Spread.of(of("wall_ns")) if row.unit is Unit.NANOSECONDS else None,
        peak_rss=peak.median if peak else None,
        instructions=count,
        failure=samples.failure,
        samples=of(row.metric),
    )


def _mark(row: Row, minor: int) -> str:
    match row.mark:
        case TimesFaster(factor, since) if minor >= since:
            return f"at least {factor:.0f}x"
        case AtMost(limit):
            return f"at most {show(row.unit, limit)}"
    return ""


def _verdict(row: Row, minor: int, ratio: float | None, ours: float | None) -> str:
    if not _mark(row, minor):
        return ""
    match row.mark:
        case TimesFaster(factor) if ratio is not None:
            return "reached" if ratio >= factor else f"falls short by {(1 - ratio / factor) * 100:.1f}%"
        case AtMost(limit) if ours is not None:
            return "reached" if ours <= limit else f"falls short, {(ours / limit - 1) * 100:.1f}% over"
    return "not measured"


def _line(row: Measured) -> list[str]:
    cells = [row.row.title]
    for figure in (row.original, row.ours):
        value = figure.value
        cells.extend([show(row.row.unit, value.median), f"{value.iqr_percent:.0f}%"] if value else ["-", "-"])
    return [*cells, _ratio(row.ratio), row.mark, row.verdict]


def _rest(row: Measured) -> list[str]:
    figures = (row.original, row.ours)
    walls = [show(row.row.unit, figure.wall.median) if figure.wall else "-" for figure in figures]
    peaks = ["-" if figure.peak_rss is None else f"{figure.peak_rss / 1e6:.1f} MB" for figure in figures]
    return [row.row.title, *walls, *peaks]


def _counted(row: Measured) -> list[str]:
    counts = (row.original.instructions, row.ours.instructions)
    return [row.row.title, *(f"{count:.0f}" if isinstance(count, float) else str(count) for count in counts)]


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
    return {
        "python": table.interpreter.line(),
        "rows": [
            {
                "name": row.row.name,
                "title": row.row.title,
                "metric": row.row.metric,
                "unit": row.row.unit.value,
                "mark": row.mark,
                "verdict": row.verdict,
                "ratio": row.ratio,
                "original": asdict(row.original),
                "ours": asdict(row.ours),
            }
            for row in table.rows
        ],
    }
