"""Tests of the bench itself: `python -m pytest benches/python`. They measure nothing."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import catalog
import comparison
import pytest
import report
import run
import runner
import servers
import suites
from catalog import Job, Need, Peer, Suite
from driver_rows import DRIVERS
from gevent_rows import GEVENT
from greenlet_rows import GREENLET
from hook_rows import HOOKS
from implementations import PEERS, STAND_INS, Implementation, Interpreter
from machine import Machine
from runner import Samples
from stats import Spread

SPEED = catalog.Row("r", "Row", "cpu_ns", catalog.Unit.NANOSECONDS, catalog.TimesFaster(2.0, since=11))
SIZE = catalog.Row("s", "Size", "rss", catalog.Unit.BYTES, catalog.AtMost(100.0))

MORE = catalog.Row("m", "More", "cpu_ns", catalog.Unit.NANOSECONDS, catalog.AtMostMore(100.0))

# Rows that look at how many there are of something get few.
FEW = {"spawn-many": 20, "waiting": 20, "echo-50": 3, "echo-500": 5, "select-1": 3, "select-sleep": 3}


def samples(name: str, metric: str, *values: float) -> Samples:
    """Samples of one metric."""
    return Samples(name, [{metric: value} for value in values])


def measured(
    row: catalog.Row, original: Samples, ours: Samples, *peers: Samples, minor: int = 11
) -> comparison.Measured:
    """A row without counts; the first of the peers is uvloop."""
    job = Job("j", "j.py", (row,), "nothing", peers=(Peer.UVLOOP, Peer.ASYNCIO)[: len(peers)])
    return comparison.measured(row, job, [original, ours, *peers], [None] * (2 + len(peers)), minor)


def table(suite: Suite, *rows: comparison.Measured, minor: int = 11) -> comparison.Table:
    """A table of rows that were not measured here."""
    python = Interpreter(Path("python"), f"3.{minor}.0", optimized=True, compiler="cc")
    names = (f"{suite.name} 1.0", "greenloom")
    return comparison.Table(
        suite, python, [Implementation(name, Path("python"), "m") for name in names], list(rows)
    )


def test_median_and_quartiles_interpolate() -> None:
    """As numpy's default does."""
    spread = Spread.of([4.0, 1.0, 3.0, 2.0])
    assert spread == Spread(median=2.5, q1=1.75, q3=3.25, min=1.0, max=4.0)
    assert spread.iqr_percent == 60.0


def test_no_sample_has_no_spread() -> None:
    """Nothing was measured, so nothing is said."""
    assert Spread.of([]) is None


def test_ratios_are_taken_round_by_round() -> None:
    """A machine that halves its speed in the second round leaves the ratio alone."""
    row = measured(SPEED, samples("a", "cpu_ns", 20, 40, 20), samples("b", "cpu_ns", 10, 20, 10)).original
    assert (row.ratio, row.verdict) == (2.0, "reached")


def test_a_missed_mark_says_by_how_much() -> None:
    """In per cent of the mark, for both kinds of mark."""
    row = measured(SPEED, samples("a", "cpu_ns", 15), samples("b", "cpu_ns", 10))
    assert row.original.verdict == "falls short by 25.0%"
    row = measured(SIZE, samples("a", "rss", 50), samples("b", "rss", 110))
    assert row.original.verdict == "falls short, 10.0% over"


def test_a_mark_on_what_is_added_is_judged_round_by_round() -> None:
    """A machine that halves its speed in the second round does not count."""
    row = measured(MORE, samples("a", "cpu_ns", 300, 600, 310), samples("b", "cpu_ns", 390, 700, 400))
    assert row.original.verdict == "reached, 90.0 ns more"
    row = measured(MORE, samples("a", "cpu_ns", 300), samples("b", "cpu_ns", 450))
    assert (row.original.mark, row.original.verdict) == ("at most 100 ns more", "falls short, 150 ns more")
    row = measured(MORE, samples("a", "cpu_ns", 300), samples("b", "cpu_ns", 250))
    assert row.original.verdict == "reached, 50.0 ns less"
    assert (
        measured(MORE, samples("a", "cpu_ns"), samples("b", "cpu_ns", 1)).original.verdict == "not measured"
    )


def test_a_mark_for_later_pythons_is_none_for_earlier_ones() -> None:
    """The figure is still shown."""
    row = measured(SPEED, samples("a", "cpu_ns", 15), samples("b", "cpu_ns", 10), minor=10).original
    assert (row.ratio, row.mark, row.verdict) == (1.5, "", "")


def test_without_figures_nothing_is_claimed() -> None:
    """A failure is neither reached nor a number."""
    row = measured(SPEED, samples("a", "cpu_ns", 15), Samples("b", failure="it broke")).original
    assert (row.ratio, row.verdict) == (None, "not measured")


def test_a_peer_has_its_own_ratio_and_mark() -> None:
    """The mark of a row is beside the original; a peer has one if the row is to be level with it."""
    row = catalog.Row("r", "Row", "cpu_ns", catalog.Unit.NANOSECONDS, SPEED.mark, level_with=Peer.UVLOOP)
    others = (samples("uvloop", "cpu_ns", 9), samples("asyncio", "cpu_ns", 30))
    uvloop, asyncio = measured(row, samples("a", "cpu_ns", 20), samples("b", "cpu_ns", 10), *others).peers
    assert (uvloop.ratio, uvloop.mark, uvloop.verdict) == (0.9, "at least 1x", "falls short by 10.0%")
    assert (asyncio.ratio, asyncio.mark, asyncio.verdict) == (3.0, "", "")


def test_a_peer_that_failed_leaves_the_others_alone() -> None:
    """It has no figure, and its reason is below the tables."""
    others = (Samples("uvloop", failure="it broke"), samples("asyncio", "cpu_ns", 30))
    row = measured(SPEED, samples("a", "cpu_ns", 20), samples("b", "cpu_ns", 10), *others)
    text = report.text(table(GEVENT, row))
    assert [peer.ratio for peer in row.peers] == [None, 3.0]
    assert "- Row, uvloop: it broke" in text


def test_results_go_between_the_marks_of_their_suite(tmp_path: Path) -> None:
    """The rest of the page stays, and doing it again changes nothing."""
    page = tmp_path / "page.md"
    kept = "<!-- results: greenlet -->\nold\n<!-- end of results -->\nbetween\n"
    page.write_text(f"before\n{kept}<!-- results: gevent -->\nold\n<!-- end of results -->\nafter\n")
    run = report.Run(Machine("cpu", 2, 8.0, "6", "abc", 0.0), quick=True, rounds=3, counter=None)
    row = measured(SPEED, samples("a", "cpu_ns", 20), samples("b", "cpu_ns", 10))
    tables = [table(GEVENT, row, minor=minor) for minor in (10, 11)]
    report.put_into(page, run, tables)
    once = page.read_text()
    report.put_into(page, run, tables)
    assert page.read_text() == once
    assert once.startswith(f"before\n{kept}<!-- results: gevent -->\n\ncpu (2 cores")
    assert once.endswith("\n\n<!-- end of results -->\nafter\n")
    assert "| Row | 2.00x | 2.00x |" in once
    assert "On Python 3.11.0:" in once


def test_the_documentation_has_a_place_for_each_suite() -> None:
    """What `--page` is for."""
    page = Path(__file__).parents[2] / "docs" / "benchmarks-python.md"
    for suite in suites.SUITES:
        report.place(page.read_text(encoding="utf-8"), suite.name)


def test_results_can_be_read_by_programs(tmp_path: Path) -> None:
    """The samples of each, with who they are of."""
    row = measured(SPEED, samples("a", "cpu_ns", 20), samples("b", "cpu_ns", 10), samples("c", "cpu_ns", 5))
    run = report.Run(Machine("cpu", 2, 8.0, "6", "abc", 0.0), quick=False, rounds=1, counter=None)
    report.write(tmp_path, run, [table(GEVENT, row)])
    [found] = json.loads((tmp_path / "results.json").read_text())["tables"]
    [line] = found["rows"]
    assert found["suite"] == "gevent"
    assert [line[who]["samples"] for who in ("original", "ours")] == [[20], [10]]
    assert [(peer["samples"], peer["ratio"]) for peer in line["peers"]] == [([5], 0.5)]


def test_every_job_has_its_file_and_every_row_its_name() -> None:
    """A job names a file in `rows/`, and a name means one row."""
    jobs = [job for suite in suites.SUITES for job in suite.jobs]
    assert [job.file for job in jobs if not (catalog.ROWS / job.file).is_file()] == []
    names = [row.name for job in jobs for row in job.rows]
    assert len(names) == len(set(names))


def test_rows_families_jobs_and_suites_can_be_chosen() -> None:
    """A row chooses its job, and asking for a slow one overrules `--quick`."""

    def names(*asked: str) -> list[str]:
        return [job.name for _, jobs in suites.chosen(set(asked), quick=True) for job in jobs]

    assert names("rss") == ["rss-10k", "rss-100k"]
    assert names("tables-1m", "spawn-join") == ["million", "spawn-join"]
    assert names("gevent") == [job.name for job in GEVENT.jobs]
    assert "million" not in names()
    assert "million" not in names("greenlet")
    assert names("greenlet", "million")[-1] == "million"


def test_an_unknown_name_is_refused() -> None:
    """Rather than measured as nothing."""
    with pytest.raises(ValueError, match=r"^there is no row 'swich'"):
        suites.chosen({"swich"}, quick=False)


def runs_of(suite: Suite) -> list[tuple[Job, list[str]]]:
    """Each job with each module of its that this Python has."""
    runs = []
    for job in suite.jobs:
        modules = [[suite.original], [STAND_INS[suite.name]], *(list(PEERS[peer]) for peer in job.peers)]
        runs += [(job, words) for words in modules if importlib.util.find_spec(words[0].partition(".")[0])]
    return runs


def sample(job: Job, words: list[str], *more: str) -> dict[str, float]:
    """What a row's process prints when it does a few operations."""
    number = FEW.get(job.name, 2 if job.number else 0)
    command = [
        sys.executable,
        "-B",
        str(catalog.ROWS / job.file),
        "--module",
        *words,
        "--number",
        str(number),
        *job.words,
    ]
    done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    metrics: dict[str, float] = json.loads(done.stdout)["metrics"]
    return metrics


@pytest.mark.parametrize(
    ("job", "words"),
    [
        pytest.param(job, words, id=f"{job.name}-{'-'.join(words)}")
        for job, words in runs_of(GREENLET) + runs_of(GEVENT)
    ],
)
def test_a_row_does_its_operations_with_whoever_has_the_like(job: Job, words: list[str]) -> None:
    """Each checks by itself that what it did came out right."""
    metrics = sample(job, words, "--operations", "40")
    assert metrics["peak_rss_bytes"] > 0


@pytest.mark.parametrize("module", ["libc", "greenloom"])
@pytest.mark.parametrize("job", HOOKS.jobs, ids=lambda job: job.name)
def test_a_c_library_calls_libc_with_hooks_and_without(job: Job, module: str) -> None:
    """Each checks what the calls return, and that the library was patched."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: apt-get install gcc libc6-dev")
    assert sample(job, [module], "--operations", "40")["peak_rss_bytes"] > 0


@pytest.fixture(scope="module")
def databases() -> Iterator[servers.Servers]:
    """The servers of the rows, which start when they are asked for."""
    with servers.Servers() as started:
        yield started


@pytest.mark.parametrize(
    ("job", "words"),
    [
        pytest.param(job, words, id=f"{job.name}-{'-'.join(words)}")
        for job in DRIVERS.jobs
        for words in [["gevent"], ["greenloom"], *(list(PEERS[peer]) for peer in job.peers)]
    ],
)
def test_a_driver_does_its_queries(job: Job, words: list[str], databases: servers.Servers) -> None:
    """Of those that this Python has, with a server of the row's own."""
    driver = {Need.POSTGRES: "psycopg2", Need.MARIADB: "MySQLdb"}[job.need or Need.COMPILER]
    also = {"gevent": "psycogreen", "asyncio": "asyncpg", "uvloop": "asyncpg"}.get(words[0], driver)
    for module in (driver, also, words[0]):
        pytest.importorskip(module)
    try:
        url = databases.url(job.need or Need.COMPILER)
    except servers.Missing as missing:
        pytest.skip(str(missing))
    assert sample(job, words, "--operations", "6", "--server", url)["peak_rss_bytes"] > 0


def test_what_is_missing_leaves_a_job_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said, and the run does not fail."""
    monkeypatch.setattr(servers, "_program", lambda *names: absent(names[0]))
    words = ["--against-itself", "--quick", "--rows", "hook-recv", "--out", str(tmp_path)]
    assert run.Bench(run.parse(words)).run() == 0
    said = capsys.readouterr().out
    assert "hook-recv is left out: there is no cc here" in said
    assert json.loads((tmp_path / "results.json").read_text())["tables"] == []


def absent(program: str) -> str:
    """As on a machine that has it not."""
    raise servers.Missing(f"there is no {program} here")


def test_a_peer_without_the_like_says_so() -> None:
    """Rather than measuring something else."""
    python = Implementation("asyncio", Path(sys.executable), "asyncio")
    [pool] = [job for job in GEVENT.jobs if job.name == "pool-spawn"]
    settings = runner.Settings(rounds=1, millis=1, quick=True)
    with pytest.raises(runner.SampleError, match="asyncio has nothing like it"):
        runner.sample(pool, python, settings)


@pytest.mark.parametrize("name", ["sleep-zero", "echo-50"])
def test_a_sample_has_the_figures_of_its_rows(name: str) -> None:
    """And the wall time and the memory that go with them."""
    [job] = [job for job in GEVENT.jobs if job.name == name]
    metrics = sample(job, ["greenloom"], "--millis", "1")
    assert metrics.keys() == {"cpu_ns", "wall_ns", "peak_rss_bytes"}
    assert min(metrics.values()) > 0
