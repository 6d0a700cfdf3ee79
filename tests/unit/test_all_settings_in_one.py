"""SUBSECOND_SETTINGS: any setting, in one text or where that lies."""

import json
import time

import pytest

from subsecond.aws import secrets
from subsecond.bootstrap import from_environment
from subsecond.config import Settings


def told(fetch=None, **fields):
    return Settings.from_env({"SUBSECOND_SETTINGS": json.dumps(fields), "SUBSECOND_TTL": "60"}, fetch)


def refused(**fields):
    with pytest.raises(ValueError, match=r"^SUBSECOND_SETTINGS: ") as caught:
        told(**fields)
    return str(caught.value).removeprefix("SUBSECOND_SETTINGS: ")


def test_what_it_says_wins_over_a_variable():
    found = told(ttl=3600, max_batch=128, drain=True, optimise="lossless", store_timeout=0.5)
    assert (found.ttl, found.max_batch, found.drain, found.optimise) == (3600.0, 128, True, "lossless")
    assert found.store_timeout == 0.5
    assert told().ttl == 60.0
    assert Settings.from_env({"SUBSECOND_SETTINGS": ""}) == Settings()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"max_bach": 128}, "'max_bach' is no setting. Is 'max_batch' meant?"),
        ({"MAX_BATCH": 128}, "'MAX_BATCH' is no setting. Is 'max_batch' meant?"),
        ({"quux": 1}, "'quux' is no setting."),
        ({"max_batch": "128"}, "'max_batch' is a whole number, not \"128\""),
        ({"max_batch": 1.5}, "'max_batch' is a whole number, not 1.5"),
        ({"max_batch": True}, "'max_batch' is a whole number, not true"),
        ({"ttl": None}, "'ttl' is a number, not null"),
        ({"drain": 1}, "'drain' is true or false, not 1"),
        ({"optimise": ["fit"]}, "'optimise' is a text, not [\"fit\"]"),
        ({"ttl": -1}, "SUBSECOND_TTL='-1' is not a number from 0 on"),
        ({"optimise": "all"}, "SUBSECOND_OPTIMISE=all is no choice. Choices: off, lossless, dedupe, fit, select."),
        ({"semantic": "off"}, "'semantic' is not set here: on AWS it is the stack's parameter SemanticCache"),
        ({"bucket": "mine"}, "'bucket' is not set here: on AWS the stack sets it"),
        (
            {"embedder_key": "sk-1"},
            "'embedder_key' is a secret: put these settings into a parameter, and name that here",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_words_that_say_what_to_do(fields, words):
    assert refused(**fields) == words


@pytest.mark.parametrize("text", ["[]", '"ttl"', "{", "ttl=60"])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(ValueError, match=r"^SUBSECOND_SETTINGS"):
        Settings.from_env({"SUBSECOND_SETTINGS": text})


def test_it_may_lie_elsewhere_and_hold_secrets_there():
    asked = []

    def fetch(reference):
        asked.append(reference)
        return '{"embedder_key": "sk-1"}'

    assert Settings.from_env({"SUBSECOND_SETTINGS": "ssm:/subsecond/settings"}, fetch).embedder_key == "sk-1"
    assert asked == ["ssm:/subsecond/settings"]
    assert Settings.from_env({"SUBSECOND_SETTINGS": '{"ttl": 5}'}, fetch).ttl == 5
    assert len(asked) == 1


def test_a_stacks_name_of_a_parameter_is_one(monkeypatch):
    monkeypatch.setitem(secrets._known, "ssm:/subsecond/settings", ('{"max_batch": 7}', time.time(), 60.0))
    monkeypatch.setenv("SUBSECOND_SETTINGS", "/subsecond/settings")
    assert from_environment().max_batch == 7


def test_a_place_that_is_none_ends_the_start(monkeypatch):
    monkeypatch.setenv("SUBSECOND_SETTINGS", "s3:settings")
    with pytest.raises(ValueError, match=r"^SUBSECOND_SETTINGS: 's3:settings' is not like secretsmanager:NAME"):
        from_environment()
