"""`subsecond optimize`: the dry run."""

import json

import pytest

from subsecond_local.cli import main as cli

TEXT = "You are a helper for the team and you must answer with care.   \n\n\n\nIn order to win, be brief.\n"


@pytest.fixture
def ran(tmp_path, capsys, monkeypatch):
    for name in ("SUBSECOND_OPTIMISE", "SUBSECOND_OPTIMISE_MODELS"):
        monkeypatch.delenv(name, raising=False)

    def run(content, *argv):
        path = tmp_path / "prompt"
        path.write_text(content, encoding="utf-8")
        code = cli.main(["optimize", str(path), *argv])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_a_text_is_shown_as_a_diff_with_its_figures(ran):
    code, out, _ = ran(TEXT, "--level", "lossless")
    assert code == 0
    assert "-You are a helper for the team and you must answer with care.\u00b7\u00b7\u00b7" in out
    assert "+You are a helper for the team and you must answer with care.\n" in out
    assert "level lossless: " in out
    assert "lossless: 1 place," in out
    assert "\033[" not in out


def test_a_request_comes_back_as_it_would_be_sent(ran):
    body = {"model": "m", "messages": [{"role": "system", "content": TEXT}, {"role": "user", "content": "Why?  "}]}
    code, out, _ = ran(json.dumps(body), "--json")
    said = json.loads(out)
    assert code == 0
    assert said["request"]["messages"][1] == body["messages"][1]
    assert said["report"]["level"] == "dedupe"
    assert said["report"]["tokens_after"] < said["report"]["tokens_before"]


def test_what_does_not_fit_is_said_and_is_exit_code_one(ran):
    body = {"model": "m", "messages": [{"role": "user", "content": "word " * 500}]}
    code, out, err = ran(json.dumps(body), "--level", "fit", "--window", "100")
    assert code == 1
    assert not out
    assert "too long" in err


@pytest.mark.parametrize(
    "content", ["{", "{}", '{"prompt": "Hi.  "}', "[3]", '{"a":' * 100_000], ids=["{", "{}", "prompt", "list", "deep"]
)
def test_what_is_no_request_is_text(ran, content):
    assert ran(content)[0] == 0


@pytest.mark.parametrize("content", ["", " \n", '{"messages": 3}', '{"messages": [3]}'])
def test_half_a_request_is_told_in_a_line(ran, content):
    code, out, err = ran(content)
    assert (code, out, len(err.splitlines())) == (1, "", 1)


def test_a_file_that_is_not_there_is_exit_code_one(tmp_path, capsys):
    assert cli.main(["optimize", str(tmp_path / "none")]) == 1
    assert "none" in capsys.readouterr().err
