"""A log played against empty caches: what hits, what it saves, what parted the misses, and what is labelled."""

import json
from datetime import UTC, datetime

import pytest

from subsecond_local.cli.main import main
from subsecond_local.evaluate import setting
from subsecond_local.replay import play, sheet
from subsecond_local.replay.log import logged

DAY = 86_400


def asked(text, at=0.0, system="Be brief.", **fields):
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    usage = {"prompt_tokens": 10, "completion_tokens": 90}
    said = {"choices": [{"message": {"content": f"Answer to {text}"}}], "usage": usage}
    return logged({"time": at, "body": {"model": "m", "messages": messages, **fields}, "response": said, "spend": 0.5})


async def played(*requests, **environ):
    tried = setting.chosen(environ)
    known = play.asked_of(requests, tried.settings)
    vectors = await setting.embedded(tried.embedder, filter(None, known))
    return await play.played(requests, known, tried, vectors)


async def test_repeats_and_rewordings_hit_and_save_what_they_would_have_cost():
    first = asked("How do I reset my password?")
    found = await played(first, first, asked("How can I reset my password?"), asked("Where is the station?"))
    assert (found.exact, [one.row for one in found.matched], found.misses) == ([2], [3], 2)
    assert (found.tokens, found.saved_tokens, found.cost, found.saved_cost) == (400, 200, 2.0, 1.0)
    (match,) = found.matched
    assert match.answer == "Answer to How do I reset my password?"


async def test_an_answer_ends_by_the_logs_own_clock():
    question = "How do I reset my password?"
    found = await played(asked(question, 1), asked(question, DAY), asked(question, DAY + 2), asked(question, DAY + 3))
    assert found.exact == [2, 4]
    found = await played(asked(question, 1), asked("How can I reset my password?", DAY + 2))
    assert not found.matched


async def test_a_miss_names_the_fields_that_parted_it_from_the_same_text():
    found = await played(
        asked("Hello there?"),
        asked("Hello there?", temperature=0.5),
        asked("Hello there?", system="Be brief. It is 14:02:11."),
        asked("Another question"),
    )
    assert (dict(found.parted), found.parted_rows) == ({"temperature": 1, "messages (system text)": 1}, 2)


async def test_a_clock_in_the_system_text_parts_unless_the_settings_mask_it():
    at = 1_790_000_000
    stamps = [datetime.fromtimestamp(at + late, UTC).strftime("%Y-%m-%d %H:%M:%S") for late in (0, 60)]
    log = [asked("Hello there?", at + n, system=f"Be brief. It is {stamp}.") for n, stamp in enumerate(stamps)]
    assert (await played(*log)).exact == []
    assert (await played(*log, SUBSECOND_VOLATILE="clock")).exact == [2]


async def test_what_was_stored_under_a_masked_clock_lives_no_longer_than_the_gateway_keeps_it():
    at = 1_790_000_000
    stamps = [datetime.fromtimestamp(at + late, UTC).strftime("%Y-%m-%d %H:%M:%S") for late in (0, 7_200)]
    log = [asked("Hello there?", at + 7_200 * n, system=f"It is {stamp}.") for n, stamp in enumerate(stamps)]
    assert (await played(*log, SUBSECOND_VOLATILE="clock")).exact == []


@pytest.mark.parametrize(
    ("kind", "scope", "exact"), [("openai", "namespace", [2]), ("openai", "user", []), ("", "namespace", [])]
)
async def test_the_name_of_a_user_parts_as_the_settings_say(kind, scope, exact):
    log = [asked("Hello there?", user=name) for name in ("ann", "bob")]
    found = await played(*log, SUBSECOND_UPSTREAM_KIND=kind, SUBSECOND_SCOPE=scope)
    assert found.exact == exact


async def test_what_no_route_would_take_is_counted_and_ends_nothing():
    odd = logged({"messages": [{"role": "user", "content": 5}], "model": "m"})
    found = await played(odd, asked("Hello there?"), asked("Hello there?"))
    assert found.exact == [3]


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.csv"
    questions = ["How do I reset my password?", "How can I reset my password?", "How do I reset my password?", "Why?"]
    path.write_text("question\n" + "\n".join(questions) + "\n", encoding="utf-8")
    return path


def test_the_command_prints_one_object_and_writes_the_sheet_and_the_picture(log, capsys, tmp_path):
    picture = tmp_path / "hits.svg"
    assert main(["replay", str(log), "--json", "--policy", "guarded,threshold", "--picture", str(picture)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["policy"] for one in found["settings"]] == ["guarded", "threshold"]
    assert (found["settings"][0]["exact_rate"], found["settings"][0]["semantic_rate"]) == (0.25, 0.25)
    assert picture.read_text(encoding="utf-8").startswith("<svg")
    (pair,) = sheet.read(tmp_path / "log.pairs.jsonl")
    assert (pair["query_a"], pair["label"]) == ("How do I reset my password?", None)


@pytest.mark.parametrize("option", ["--policy", "--caution"])
def test_a_choice_that_is_none_is_told_by_its_option(option, log, capsys):
    with pytest.raises(SystemExit):
        main(["replay", str(log), option, "nope"])
    assert f"argument {option}: 'nope' is no choice" in capsys.readouterr().err


def test_labels_are_kept_and_counted(log, capsys, tmp_path):
    assert main(["replay", str(log)]) == 0
    assert "not labelled" in capsys.readouterr().out
    path = tmp_path / "log.pairs.jsonl"
    assert sheet.label(path, iter("n").__next__) == 1
    assert main(["replay", str(log)]) == 0
    assert "100.0 % (" in capsys.readouterr().out
    assert sheet.label(path, iter("").__next__) == 0


@pytest.mark.parametrize(("keys", "labels"), [("sy", [None, 1]), ("q", [None, None]), ("ny", [0, 1])])
def test_pairs_are_skipped_labelled_and_left(tmp_path, capsys, keys, labels):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"query_a": "a", "query_b": "b"}\n{"query_a": "c", "query_b": "d"}\n', encoding="utf-8")
    sheet.label(path, iter(keys).__next__)
    assert [row.get("label") for row in sheet.read(path)] == labels
    assert "asked   b" in capsys.readouterr().out


def test_what_is_no_log_is_one_line(tmp_path, capsys):
    assert main(["replay", str(tmp_path / "none.csv")]) == 1
    assert "cannot be read" in capsys.readouterr().err
