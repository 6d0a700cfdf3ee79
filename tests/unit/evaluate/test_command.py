"""`subsecond eval` from the command line."""

import io
import json
import re
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from subsecond_local.cli import main as cli
from subsecond_local.evaluate.progress import Bar
from subsecond_local.evaluate.setting import chosen

PAIRS = [
    {"query_a": "How do I reset my password?", "query_b": "How can I reset my password?", "label": 1, "kind": "near"},
    {"query_a": "How do I reset my password?", "query_b": "What is the capital of France?", "label": 0},
]
SETTING = ("--policy", "threshold", "--threshold", "0.6", "--embedder", "hashing")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")

    def write(name, rows):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return name

    return write


def said(capsys, *argv):
    code = cli.main(["eval", *argv])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_pairs_in_json_are_one_object_and_nothing_else(here, tmp_path, capsys):
    code, out, err = said(capsys, "pairs", here("p.jsonl", PAIRS), "--json", *SETTING)
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["policy"] == "threshold"
    assert (found["n"], found["hits_served"], found["traps_answered"]) == (2, 1.0, 0.0)
    assert found["by_kind"]["near"]["answered"] == 1.0
    assert [path.name for path in tmp_path.iterdir()] == ["p.jsonl"]


def test_people_get_a_table_and_a_picture(here, tmp_path, capsys):
    code, out, err = said(capsys, "pairs", here("p.jsonl", PAIRS), *SETTING)
    assert (code, err) == (0, "")
    assert re.search(r"hits served \(label 1\) +100.0 %", out)
    assert "eval-pairs-p.svg" in out
    ET.parse(tmp_path / "eval-pairs-p.svg")


def test_wrong_rows_are_listed_and_the_picture_marks_the_cut_that_works(here, tmp_path, capsys):
    rows = [PAIRS[0], *({**PAIRS[0], "query_b": f"{PAIRS[0]['query_b']} {n}", "label": 0} for n in range(12))]
    file = here("p.jsonl", rows)
    out = said(capsys, "pairs", file, *SETTING)[1]
    assert "answered wrongly: 12 rows" in out
    assert "How do I reset my password? -> How can I reset my password? 0  (similarity 0." in out
    assert "and 2 more: --json lists them all" in out
    assert "threshold as served, from 0.6: 100 % served, 100 % wrong" in (tmp_path / "eval-pairs-p.svg").read_text()
    found = json.loads(said(capsys, "pairs", file, "--json", *SETTING)[1])
    assert len(found["wrong"]) == 12
    guarded = ("--policy", "guarded", "--embedder", "static", "--threshold", "0.7")
    said(capsys, "pairs", file, *guarded)
    cut = re.search(
        r"guarded as served, from ([\d.]+), similarity from 0.70:", (tmp_path / "eval-pairs-p.svg").read_text()
    )
    assert float(cut[1]) == pytest.approx(chosen({}, "guarded").policy.cut, abs=1e-3)


def test_a_picture_can_be_named_or_refused(here, tmp_path, capsys):
    file = here("p.jsonl", PAIRS)
    assert json.loads(said(capsys, "pairs", file, "--json", "--picture", "x.svg", *SETTING)[1])["picture"] == "x.svg"
    assert (tmp_path / "x.svg").is_file()
    assert "svg" not in said(capsys, "pairs", file, "--no-picture", *SETTING)[1]
    code, _, err = said(capsys, "pairs", file, "--picture", "none/x.svg", *SETTING)
    assert (code, "none/x.svg cannot be written" in err) == (1, True)


def test_one_label_alone_makes_no_picture(here, tmp_path, capsys):
    code, out, _ = said(capsys, "pairs", here("p.jsonl", PAIRS[:1]), *SETTING)
    assert code == 0
    assert re.search(r"traps answered \(label 0\) +-\n", out)
    assert not list(tmp_path.glob("*.svg"))


def test_conversations_and_streams(here, tmp_path, capsys):
    turn = [{"role": "user", "content": "Hello?"}]
    rows = [{"messages_a": turn, "messages_b": turn, "label": 1}, {"messages_a": turn, "messages_b": turn, "label": 0}]
    code, out, _ = said(capsys, "conversations", here("c.jsonl", rows), *SETTING)
    assert code == 0
    assert "2 of them exact repeats" in out
    ET.parse(tmp_path / "eval-conversations-c.svg")
    questions = [{"query": pair["query_a"], "intent": "i"} for pair in PAIRS] * 2
    code, out, _ = said(capsys, "stream", here("s.jsonl", questions), "--limit", "3", *SETTING)
    assert code == 0
    assert "s.jsonl: 3 rows" in out
    ET.parse(tmp_path / "eval-stream-s.svg")
    found = json.loads(said(capsys, "stream", "s.jsonl", "--json", *SETTING)[1])
    assert {"n": 4, "hit_rate": 0.75, "error_rate": 0.0, "oos_answered": None, "entries": 1}.items() <= found.items()


def test_search_in_both_forms(here, capsys):
    code, out, _ = said(capsys, "search", "--rows", "50", "--json", *SETTING)
    assert code == 0
    assert {"rows", "stage_cpu_ms", "embed_cpu_ms", "recall_at_1", "bytes"} <= json.loads(out).keys()
    assert "50 rows in 1 segments" in said(capsys, "search", "--rows", "50", *SETTING)[1]


def test_a_broken_row_is_one_line_on_stderr(here, capsys):
    code, out, err = said(capsys, "pairs", here("p.jsonl", [PAIRS[0], {}]), *SETTING)
    assert (code, out) == (1, "")
    assert err == "subsecond: p.jsonl, line 2: there is no `query_a` (fields: none).\n"


@pytest.mark.parametrize(
    "argv", [("pairs",), ("pairs", "f", "--threshold", "2"), ("pairs", "f", "--limit", "0"), ("search", "--rows", "x")]
)
def test_what_is_not_understood_is_exit_code_two(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["eval", *argv])
    assert stopped.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_more_questions_than_there_are_cannot_be_asked_for(capsys):
    code, _, err = said(capsys, "search", "--rows", "100000000", *SETTING)
    assert (code, "--rows must be between" in err) == (1, True)


def test_help_loads_neither_numpy_nor_boto3():
    code = (
        "import sys\nfrom subsecond_local.cli import main as cli\ntry: cli.main(['--help'])\nexcept SystemExit: pass\n"
    )
    code += "print(*({'numpy', 'boto3', 'tokenizers', 'urllib.request'} & set(sys.modules)), file=sys.stderr)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stderr.strip() == ""
    assert "eval" in ran.stdout


def test_a_bar_tells_how_far_it_is_and_leaves_nothing():
    stream = io.StringIO()
    with Bar("judging", 200, stream) as bar:
        bar.advance(50)
        assert bar.line(3.0) == f"judging [{'#' * 7}{'.' * 23}] 50 of 200, 9 s left"
    assert stream.getvalue().endswith("\r\x1b[K")
    with Bar("judging", 0) as silent:
        silent.advance()
