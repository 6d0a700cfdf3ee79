"""docs/dialects.md says of each request what the code does with it."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from subsecond.cache.cacheability import may_coalesce, may_compare, may_read, may_store
from subsecond.config import Settings
from subsecond.dialects.lookup import dialect_of
from subsecond.model import Call, Endpoint, Recording
from subsecond.upstreams.kind import dialects_of

PAGE = (Path(__file__).parents[3] / "docs" / "dialects.md").read_text()
QUESTION = "Who was Ada Lovelace?"
USUAL = {
    "chat": {"messages": [{"role": "user", "content": QUESTION}]},
    "text": {"prompt": QUESTION},
    "responses": {"input": QUESTION},
    "messages": {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 9},
}
ROWS = re.findall(r"^\| `(\w+)` \| `(\{.*\})` \| (yes|no) \| (yes|no) \| (yes|no) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("name", "fields", "exact", "similar", "joined"), ROWS)
def test_a_row_is_what_the_code_does(name, fields, exact, similar, joined):
    call = Call(name, "m", {"model": "m", **USUAL[name], **json.loads(fields)})
    kept = may_read(call) and may_store(call, Recording("whole", (b"{}",), "stop"))
    found = kept, may_compare(call, QUESTION), may_coalesce(call)
    assert ["yes" if one else "no" for one in found] == [exact, similar, joined]


def test_every_dialect_has_rows_and_a_file():
    assert {row[0] for row in ROWS} == set(USUAL)
    listed = re.findall(r"^\| [^|]+ \| `(\w+)` \| `POST (/v1/[\w/]+)`", PAGE, re.MULTILINE)
    assert [name for name, _ in listed] == list(get_args(Endpoint))
    for name, route in listed:
        assert route == "/v1" + dialect_of(name).path


@pytest.mark.parametrize(
    ("url", "spoken"),
    [
        ("https://api.openai.com/v1", {"chat", "text", "embeddings", "responses"}),
        ("https://api.anthropic.com/v1", {"chat", "messages"}),
        ("https://vllm.example/v1", set(get_args(Endpoint))),
    ],
)
def test_who_speaks_what_unless_they_say_otherwise(url, spoken):
    assert dialects_of(Settings(upstream_url=url)) == spoken
