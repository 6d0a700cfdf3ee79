"""Which fields part equal questions: every one of OpenAI's reference, and those that nobody knows."""

from pathlib import Path
from typing import get_type_hints

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming as ChatParams
from openai.types.completion_create_params import CompletionCreateParamsNonStreaming as TextParams
from openai.types.embedding_create_params import EmbeddingCreateParams

from subsecond.api.wire import OURS
from subsecond.bootstrap import check, gateway
from subsecond.cache.cacheability import may_coalesce, may_read
from subsecond.cache.fields_left_out import KINDS, TABLE, left_out, read_changes
from subsecond.cache.key import KeyTerms, prepare
from subsecond.config import Settings
from subsecond.model import Call, Tenant
from subsecond.upstreams.kind import kind_of

ACME = Tenant("acme", "prod", "k")
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Why?"}]}
TEXT = {"model": "m", "prompt": "Why?"}
# What the plan says, written apart from the table.
HINTS = {"prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "safety_identifier"}
EXPECTED = {"unknown": HINTS} | dict.fromkeys(
    ("openai", "azure", "bedrock", "anthropic", "simulator"),
    HINTS | {"user", "metadata", "client_metadata", "service_tier"},
)
CHAT_FIELDS = sorted(set(get_type_hints(ChatParams)) - OURS - set(CHAT))
TEXT_FIELDS = sorted(set(get_type_hints(TextParams)) - OURS - set(TEXT))
UNKNOWN = ["client_metadata", "some_future_field", "guided_json", "top_k", "User", "x-user"]


def keyed(body, kind="unknown", changes="", endpoint="chat"):
    return prepare(Call(endpoint, "m", body), ACME, KeyTerms(left_out([kind], changes)))


def test_the_reference_is_read():
    """A newer package may have more fields, which then count until somebody has looked at them."""
    assert {"user", "service_tier", "temperature", "tools", "prompt_cache_key"} <= set(CHAT_FIELDS)
    assert {"suffix", "echo", "best_of"} <= set(TEXT_FIELDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [*CHAT_FIELDS, *UNKNOWN])
def test_each_field_of_chat_counts_or_is_in_the_table(name, kind):
    seen = {
        keyed({**CHAT, **more}, kind).key for more in ({}, {name: "a"}, {name: "b"}, {name: None}, {name: {"a": 1}})
    }
    assert len(seen) == (1 if name in EXPECTED[kind] else 5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [*TEXT_FIELDS, *UNKNOWN])
def test_each_field_of_text_completions_counts_or_is_in_the_table(name, kind):
    seen = {keyed({**TEXT, **more}, kind, endpoint="text").key for more in ({}, {name: "a"}, {name: "b"})}
    assert len(seen) == (1 if name in EXPECTED[kind] else 3)


@pytest.mark.parametrize("kind", KINDS)
def test_each_field_of_embeddings_counts_or_is_in_the_table(kind):
    fields = set(get_type_hints(EmbeddingCreateParams))
    assert fields & left_out([kind]) == fields & EXPECTED[kind]
    assert {"model", "input", "dimensions", "encoding_format"} <= fields - left_out([kind])


@pytest.mark.parametrize("name", TABLE)
def test_what_is_left_out_of_the_key_is_left_out_of_the_scope(name):
    (kind,) = TABLE[name].kinds & {"simulator"}
    assert keyed({**CHAT, name: "a"}, kind) == keyed(CHAT, kind)
    assert TABLE[name].reason


def test_a_field_counts_where_it_counts_for_one_that_may_answer():
    assert left_out(["openai", "unknown"]) == left_out(["unknown"]) < left_out(["openai", "azure"])


def test_the_owner_adds_and_takes_away():
    assert keyed({**CHAT, "trace_id": 1}, changes="trace_id") == keyed(CHAT, changes="trace_id")
    assert keyed({**CHAT, "user": 1}, "openai", "-user").key != keyed(CHAT, "openai", "-user").key
    assert left_out(["openai"], " trace_id , -user,") == left_out(["openai"]) - {"user"} | {"trace_id"}
    assert left_out(["openai"], "user,-user") == left_out(["openai"]) - {"user"}


@pytest.mark.parametrize("text", ["model", "messages", "prompt", "input", "-", "-temperature", "a,-b"])
def test_what_cannot_be_left_out_is_told(text):
    with pytest.raises(ValueError, match="SUBSECOND_KEY_IGNORES"):
        read_changes(text)
    with pytest.raises(ValueError, match="SUBSECOND_KEY_IGNORES"):
        check(Settings(key_ignores=text))
    with pytest.raises(ValueError, match="SUBSECOND_KEY_IGNORES"):
        gateway(Settings(key_ignores=text))


def test_a_sign_without_a_field_is_told_that_a_field_is_wanted():
    with pytest.raises(ValueError, match="'-' cannot be left out; name a field"):
        read_changes("user,-")


@pytest.mark.parametrize("store", [True, False, None])
def test_who_wants_an_object_kept_gets_no_stored_answer(store):
    call = Call("chat", "m", {**CHAT, "store": store})
    assert may_read(call) == may_coalesce(call) == (store is not True)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://acme.openai.azure.com/openai/v1", "azure"),
        ("https://acme.services.ai.azure.com/openai/v1", "azure"),
        ("https://acme.cognitiveservices.azure.com/openai/v1", "azure"),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1", "bedrock"),
        ("https://bedrock-mantle.us-east-1.api.aws/v1", "bedrock"),
        ("https://openai.com.evil.example/v1", "unknown"),
        ("https://notopenai.com/v1", "unknown"),
        ("https://acme.example/bedrock-runtime.amazonaws.com", "unknown"),
        ("http://127.0.0.1:8001/v1", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_kind_is_told_by_the_address(url, kind):
    assert kind_of(Settings(upstream_url=url)) == kind
    assert kind_of(Settings(upstream="openai_package", upstream_url=url)) == kind


def test_the_kind_is_told_by_the_settings_and_the_adapter():
    assert kind_of(Settings(upstream="bedrock")) == "bedrock"
    assert kind_of(Settings(upstream="subsecond_local.simulator.adapter")) == "simulator"
    assert kind_of(Settings(upstream_url="https://api.openai.com/v1", upstream_kind="unknown")) == "unknown"
    assert kind_of(Settings(upstream_url="http://proxy.example/v1", upstream_kind="azure")) == "azure"


def test_the_page_has_the_table():
    page = (Path(__file__).parents[2] / "docs" / "cache-control.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    told = {row[0].strip("`"): row[1:] for row in rows if row[0].strip("`") in TABLE and len(row) == 3}
    where = {name: "any" if "unknown" in field.kinds else "known" for name, field in TABLE.items()}
    assert told == {name: [where[name], field.reason] for name, field in TABLE.items()}


CATALOGUE = """{
  "upstreams": {
    "cloud": {"url": "https://api.openai.com/v1", "key": "k"},
    "proxy": {"url": "http://proxy.example/v1", "key": "k", "kind": "azure"},
    "own": {"url": "http://gpu.example/v1", "key": "k"}
  },
  "models": [
    {"name": "big", "tier": "quality", "upstream": "cloud"},
    {"name": "twin", "tier": "quality", "upstream": "proxy", "fallbacks": ["big"]},
    {"name": "small", "tier": "fast", "upstream": "own"},
    {"name": "careful", "tier": "quality", "upstream": "cloud", "fallbacks": ["small"]},
    {"name": "spread", "tier": "fast", "upstream": ["cloud", "own"]}
  ],
  "aliases": {"best": {"models": ["big", "twin"]}}
}"""


@pytest.mark.parametrize(
    ("model", "counts"),
    [
        ("big", False),
        ("twin", False),
        ("best", False),
        ("small", True),
        ("careful", True),
        ("spread", True),
        ("spread@cloud", True),
        ("auto", True),
    ],
)
def test_with_a_catalogue_it_is_the_kind_of_whoever_may_answer(model, counts):
    policy = gateway(Settings(catalogue=CATALOGUE)).keying
    asked = [policy.prepare(Call("chat", model, {**CHAT, **more}), ACME) for more in ({}, {"user": "u"})]
    assert (asked[0] != asked[1]) == counts


def test_every_kind_of_server_has_its_row():
    assert set(KINDS) == set(EXPECTED)


def test_names_and_values_of_the_headers_that_are_passed_on_count():
    headers = [(), ((b"a", b"1"),), ((b"b", b"1"),), ((b"a", b"2"),), ((b"a", b"1"), (b"b", b"1"))]
    found = [prepare(Call("chat", "m", CHAT, headers=some), ACME) for some in headers]
    assert len({one.key for one in found}) == len({one.scope for one in found}) == len(headers)
