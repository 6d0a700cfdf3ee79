"""The tables of figures in the pages: of the code that stands here, and written by the command that measures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.staleness import TABLES, Table, why_stale

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "tests/benchmarks"
TABLE = Table("page.md", "speed", ("code",))
PAGE = "Before\n<!-- speed -->\nMeasured 2026-11-29 at {} on a machine.\n<!-- end -->\nafter 1234567\n"


def git(folder, *words, **environ):
    options = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false")
    dates = {f"GIT_{who}_DATE": date for who in ("AUTHOR", "COMMITTER") for date in environ.values()}
    done = subprocess.run(
        ("git", *options, *words), cwd=folder, env=dates or None, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def measured(tmp_path):
    """A history whose code has a hundred lines, and a page that names its commit."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code/a.py").write_text("".join(f"line {number}\n" for number in range(100)))
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one", date="2026-11-01T00:00:00Z")
    (tmp_path / "page.md").write_text(PAGE.format(git(tmp_path, "rev-parse", "--short", "HEAD")))
    return tmp_path


def change(folder, lines, date="2026-11-02T00:00:00Z", file="code/a.py"):
    old = (folder / file).read_text().splitlines(keepends=True) if (folder / file).exists() else []
    (folder / file).write_text("".join(["new\n"] * lines + old[lines:]))
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "another", date=date)


def whole_history():
    told = subprocess.run(
        ("git", "rev-parse", "--is-shallow-repository"), cwd=ROOT, capture_output=True, text=True, check=False
    )
    return told.stdout.strip() == "false"


@pytest.mark.skipif(not whole_history(), reason="needs the history: this is a part of it, or none")
@pytest.mark.parametrize("table", TABLES, ids=lambda table: f"{table.page}: {table.name}")
def test_no_table_is_older_than_the_code_that_it_measures(table):
    assert why_stale(ROOT, table) is None, f"make figures: {table.name} in {table.page}"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: f"{table.page}: {table.name}")
def test_what_a_table_measures_is_there(table):
    assert [path for path in table.of if not (ROOT / path).exists()] == []


def test_a_table_of_this_commit_is_fresh_and_so_it_is_after_an_edit(measured):
    assert why_stale(measured, TABLE) is None
    change(measured, 10)
    assert why_stale(measured, TABLE) is None


def test_a_table_of_code_that_is_another_by_now_is_stale(measured):
    change(measured, 20)
    assert "40 of 100 measured lines have changed" in why_stale(measured, TABLE)


def test_what_is_not_measured_may_change(measured):
    (measured / "other").mkdir()
    change(measured, 500, file="other/a.py")
    assert why_stale(measured, TABLE) is None


def test_a_file_that_was_moved_is_no_change(measured):
    git(measured, "mv", "code/a.py", "code/b.py")
    git(measured, "commit", "-qm", "moved", date="2026-11-02T00:00:00Z")
    assert why_stale(measured, TABLE) is None


def test_a_table_of_code_that_was_worked_on_for_long_is_stale_and_one_that_lies_about_is_not(measured):
    (measured / "other").mkdir()
    change(measured, 1, "2027-11-01T00:00:00Z", "other/a.py")
    assert why_stale(measured, TABLE) is None
    change(measured, 1, "2026-12-10T00:00:00Z")
    assert "39 days" in why_stale(measured, TABLE)


@pytest.mark.parametrize(
    ("page", "told"),
    [("<!-- speed -->\nfast\n<!-- end --> at 1234567", "no commit"), (PAGE.format("1234567"), "none of this history")],
)
def test_a_table_that_names_no_commit_or_a_lost_one_is_told(measured, page, told):
    (measured / "page.md").write_text(page)
    assert told in why_stale(measured, TABLE)


WRITES = """
import json, sys
from pathlib import Path
from write_figures import cold_starts, plain_process
from pages import write
kind = lambda ms: {"p50": ms}
target = lambda ms, each: {"ttft_added": kind(ms), "total_added": kind(ms), "requests_per_second": each}
miss = {"targets": {"naive": target(4.04, 99.6), "subsecond": target(2.0, 200)}}
names = [f"{form}, {clients}" for form in ("stream", "whole") for clients in ("1 client", "8 clients")]
hit = {"targets": {"subsecond": {"total": kind(0.347)}}}
machine = {"cpu": "a CPU", "cores": 2, "python": "3.11.7"}
scenarios = dict.fromkeys(names, miss) | {"hit, whole, 1 client": hit}
run = {"date": "2026-11-30T01:00:00", "machine": machine, "scenarios": scenarios}
starts = {f"streaming function, {kind}": {"of_floor": share} for kind, share in (("hit", 0.4), ("miss", 0.25))}
write(Path(sys.argv[1]), plain_process(run, "abc1234") | cold_starts({"cold_starts": starts}, "abc1234"))
"""


def test_the_readme_has_a_place_for_every_figure_and_keeps_the_rest(tmp_path):
    page = tmp_path / "README.md"
    page.write_text((ROOT / "README.md").read_text())
    subprocess.run([sys.executable, "-c", WRITES, page], cwd=BENCHMARKS, check=True, timeout=60)
    old, new = (ROOT / "README.md").read_text().splitlines(), page.read_text().splitlines()
    written = [line for line in new if line not in old]
    assert len(new) == len(old)
    assert [line for line in written if "0.35 ms" in line and "at abc1234" in line]
    assert "| those 40 lines | 4.0 ms | 4.0 ms | 4.0 ms | 4.0 ms | 100 |" in written
    assert [line for line in written if line.startswith("Measured 2026-11-30 at abc1234 on 2 cores of a CPU")]
    assert len(written) == 6
    assert all(why_stale(tmp_path, table) != "it names no commit" for table in TABLES if table.page == "README.md")


def test_a_part_that_is_not_known_is_told():
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "write_figures.py", "everything"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "run, functions, cold-miss" in done.stderr
