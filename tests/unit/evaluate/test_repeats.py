"""Repeated traffic, and what a table of aliases would add to it."""

import json
from collections import Counter

import pytest

from subsecond_local.cli import main as cli
from subsecond_local.errors import LocalError
from subsecond_local.evaluate import repeats, setting, stream
from subsecond_local.evaluate.neighbour_graph import NeighbourGraph
from subsecond_local.evaluate.repeats import Repeats, drawn
from subsecond_local.evaluate.rows import Question
from tests.unit.evaluate.test_verified_stream import questions

STORED, OTHER = Question("How do I get to Lindale?", "way"), Question("Which is the best way to Lindale?", "way")


def test_each_question_has_three_wordings_and_some_are_asked_far_oftener():
    found = drawn(questions(), Repeats(3_000, 10, 1))
    by_intent = Counter(one.intent for one in found)
    assert len(by_intent) == 25
    assert by_intent.most_common()[0][1] > 10 * by_intent.most_common()[-1][1]
    assert {len({one.text for one in found if one.intent == intent}) for intent in by_intent} == {3}
    assert drawn(questions(), Repeats(3_000, 10, 1)) == found


def test_rows_without_three_of_an_intent_are_no_such_traffic():
    with pytest.raises(LocalError, match="wordings"):
        drawn([STORED, OTHER], Repeats(10, 10, 1))


async def played(requests, life):
    tried = setting.chosen({}, "verified")
    graph = NeighbourGraph(requests, tried, await stream.embedded(requests, tried))
    return repeats.played(
        requests,
        graph,
        0.99,
        Repeats(len(requests), life, 1),
    ).counts


async def test_what_was_asked_answers_itself_so_that_no_alias_is_needed_while_its_entry_lives():
    found = await played([STORED, OTHER, OTHER, STORED], 100)
    assert (found["exact"], found["unsure"]) == (2, 1)
    assert found["alias_hits"] == found["lasting_alias_hits"] == 0


async def test_an_alias_helps_only_where_it_outlives_the_entry_that_it_was_found_for():
    found = await played([STORED, OTHER, *[Question("What is a fish?", "fish")] * 3, STORED, OTHER], 4)
    assert found["lasting_alias_hits"] == 1
    assert found["alias_hits"] == 0


def test_the_command_tells_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    file = tmp_path / "cities.jsonl"
    file.write_text("\n".join(json.dumps({"query": one.text, "intent": one.intent}) for one in questions()))
    command = ["eval", "stream", str(file), "--policy", "verified", "--repeats", "200", "--life", "50"]
    assert cli.main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["n"], told["life"], told["alias_hits"]) == (200, 50, 0)
    assert told["exact"] > 0.2
    assert cli.main(command) == 0
    assert "an alias would answer" in capsys.readouterr().out
