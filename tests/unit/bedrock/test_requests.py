"""An OpenAI body and what Converse is asked, row by row of docs/bedrock.md. botocore's service model judges each."""

import pytest

from subsecond.optimiser.markers import with_markers
from subsecond.upstreams.converse.request import Terms
from tests.support.bedrock import CLAUDE, LLAMA, NEW_CLAUDE, NOVA, OLD_CLAUDE, asked

USER = [{"role": "user", "content": "Hi"}]
SAID = [{"role": "user", "content": [{"text": "Hi"}]}]
PIXEL = "iVBORw0KGgo="
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Of a city.", "parameters": {"type": "object", "properties": {}}},
}
SPEC = {
    "toolSpec": {
        "name": "weather",
        "description": "Of a city.",
        "inputSchema": {"json": {"type": "object", "properties": {}}},
    }
}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
FORM = {"type": "json_schema", "json_schema": {"name": "number", "schema": SCHEMA, "strict": True}}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
USE = {"toolUse": {"toolUseId": "c1", "name": "weather", "input": {"city": "Rome"}}}


def user(*parts):
    return [{"role": "user", "content": list(parts)}]


MESSAGES = {
    "a text": (USER, {"messages": SAID}),
    "system and developer": (
        [
            {"role": "system", "content": "Be brief."},
            *USER,
            {"role": "developer", "content": [{"type": "text", "text": "In French."}]},
        ],
        {"messages": SAID, "system": [{"text": "Be brief."}, {"text": "In French."}]},
    ),
    "text parts, blank ones left out": (
        user({"type": "text", "text": "a"}, {"type": "text", "text": " "}),
        {"messages": [{"role": "user", "content": [{"text": "a"}]}]},
    ),
    "an image": (
        user({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}", "detail": "low"}}),
        {"messages": [{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": PIXEL}}}]}]},
    ),
    "a document": (
        user(
            {"type": "text", "text": "Sum up."},
            {"type": "file", "file": {"filename": "a_b (1).pdf", "file_data": f"data:application/pdf;base64,{PIXEL}"}},
        ),
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"text": "Sum up."},
                        {"document": {"format": "pdf", "name": "a b (1)", "source": {"bytes": PIXEL}}},
                    ],
                }
            ]
        },
    ),
    "a document by its name": (
        user({"type": "file", "file": {"filename": "n.md", "file_data": f"data:application/x;base64,{PIXEL}"}}),
        {
            "messages": [
                {"role": "user", "content": [{"document": {"format": "md", "name": "n", "source": {"bytes": PIXEL}}}]}
            ]
        },
    ),
    "audio": (
        user({"type": "input_audio", "input_audio": {"format": "wav", "data": PIXEL}}),
        {"messages": [{"role": "user", "content": [{"audio": {"format": "wav", "source": {"bytes": PIXEL}}}]}]},
    ),
    "turns of one side are one": (
        [*USER, {"role": "user", "content": "There?"}, {"role": "assistant", "content": "Yes."}],
        {
            "messages": [
                {"role": "user", "content": [{"text": "Hi"}, {"text": "There?"}]},
                {"role": "assistant", "content": [{"text": "Yes."}]},
            ]
        },
    ),
    "a refusal is what was said": (
        [*USER, {"role": "assistant", "content": None, "refusal": "No."}, *USER],
        {"messages": [*SAID, {"role": "assistant", "content": [{"text": "No."}]}, *SAID]},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("messages", "expected"), MESSAGES.values(), ids=MESSAGES)
def test_messages(messages, expected):
    assert asked({"messages": messages}).content == {**expected, "inferenceConfig": {"maxTokens": 4096}}


def test_parallel_calls_and_their_results_are_two_turns():
    other = {**CALL, "id": "c2", "function": {"name": "weather", "arguments": ""}}
    messages = [
        *USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL, other]},
        {"role": "tool", "tool_call_id": "c1", "content": "12", "name": "weather"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "14"}]},
        *USER,
    ]
    found = asked({"messages": messages, "tools": [WEATHER]}).content["messages"]
    assert [one["role"] for one in found] == ["user", "assistant", "user"]
    assert found[1]["content"] == [USE, {"toolUse": {"toolUseId": "c2", "name": "weather", "input": {}}}]
    assert found[2]["content"] == [
        {"toolResult": {"toolUseId": "c1", "content": [{"text": "12"}]}},
        {"toolResult": {"toolUseId": "c2", "content": [{"text": "14"}]}},
        {"text": "Hi"},
    ]


def test_reasoning_comes_back_where_it_stood_and_unharmed():
    details = [
        {"type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "index": 0},
        {"type": "reasoning.encrypted", "data": "c2VhbGVk", "index": 1},
        {"type": "reasoning.summary", "summary": "of another provider", "index": 2},
    ]
    told = {"role": "assistant", "content": "So.", "tool_calls": [CALL], "reasoning_content": "Hm."}
    messages = [*USER, {**told, "reasoning_details": details}, {"role": "tool", "tool_call_id": "c1", "content": ""}]
    found = asked({"messages": messages, "tools": [WEATHER]}).content["messages"]
    assert found[1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "c2VhbGVk"}},
        {"text": "So."},
        USE,
    ]
    assert found[2]["content"] == [{"toolResult": {"toolUseId": "c1", "content": []}}]
    other = asked({"messages": messages, "tools": [WEATHER]}, NOVA).content["messages"]  # it has not thought that
    assert other[1]["content"] == [{"text": "So."}, USE]


FIELDS = {
    "max_tokens": (CLAUDE, {"max_tokens": 9}, {"inferenceConfig": {"maxTokens": 9}}),
    "max_completion_tokens": (
        CLAUDE, {"max_completion_tokens": 9, "max_tokens": 5}, {"inferenceConfig": {"maxTokens": 9}},
    ),
    "sampling and stop": (
        CLAUDE,
        {"temperature": 0, "top_p": 0.5, "stop": ["a", "b"]},
        {"inferenceConfig": {"maxTokens": 4096, "temperature": 0, "topP": 0.5, "stopSequences": ["a", "b"]}},
    ),
    "one stop": (CLAUDE, {"stop": "a"}, {"inferenceConfig": {"maxTokens": 4096, "stopSequences": ["a"]}}),
    "what goes without saying": (
        CLAUDE,
        {"n": 1, "logprobs": False, "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "user": "u",
         "metadata": {"a": "b"}, "store": True, "seed": None, "modalities": ["text"], "parallel_tool_calls": True},
        {},
    ),
    "top_k of Claude": (CLAUDE, {"top_k": 5}, {"additionalModelRequestFields": {"top_k": 5}}),
    "top_k of Nova": (NOVA, {"top_k": 5}, {"additionalModelRequestFields": {"inferenceConfig": {"topK": 5}}}),
    "a service tier": (CLAUDE, {"service_tier": "priority"}, {"serviceTier": {"type": "priority"}}),
    "the usual service tier": (CLAUDE, {"service_tier": "auto"}, {}),
    "fields of the model's own": (
        LLAMA, {"additionalModelRequestFields": {"x": 1}}, {"additionalModelRequestFields": {"x": 1}},
    ),
    "a schema of the model's own": (
        CLAUDE,
        {"response_format": FORM},
        {"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {
            "name": "number",
            "schema": '{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}',
        }}}}},
    ),
    "plain text": (NOVA, {"response_format": {"type": "text"}}, {}),
    "effort of a Claude that adapts": (
        NEW_CLAUDE,
        {"reasoning_effort": "high"},
        {
            "additionalModelRequestFields": {"thinking": {"type": "adaptive"}},
            "outputConfig": {"effort": "high"},
            "inferenceConfig": {"maxTokens": 4096 + 16_384},
        },
    ),
    "the least effort": (
        NEW_CLAUDE,
        {"reasoning_effort": "minimal"},
        {
            "additionalModelRequestFields": {"thinking": {"type": "adaptive"}},
            "outputConfig": {"effort": "low"},
            "inferenceConfig": {"maxTokens": 4096 + 1024},
        },
    ),
    "effort of an older Claude is a budget beside the answer": (
        OLD_CLAUDE,
        {"reasoning_effort": "medium"},
        {
            "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 4096}},
            "inferenceConfig": {"maxTokens": 8192},
        },
    ),
    "a budget stays below the limit": (
        OLD_CLAUDE,
        {"reasoning_effort": "high", "max_tokens": 2000},
        {
            "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1999}},
            "inferenceConfig": {"maxTokens": 2000},
        },
    ),
    "effort of Nova 2": (
        "amazon.nova-2-lite-v1:0",
        {"reasoning_effort": "low"},
        {"additionalModelRequestFields": {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}},
    ),
    "no effort": (LLAMA, {"reasoning_effort": "none"}, {}),
    "thinking in Anthropic's words": (
        OLD_CLAUDE,
        {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        {
            "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2048}},
            "inferenceConfig": {"maxTokens": 6144},
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize(("model", "fields", "expected"), FIELDS.values(), ids=FIELDS)
def test_fields(model, fields, expected):
    usual = {"messages": SAID, "inferenceConfig": {"maxTokens": 4096}}
    assert asked({"messages": USER, **fields}, model).content == usual | expected


CHOICES = {
    "none said": ({}, {"auto": {}}),
    "auto": ({"tool_choice": "auto"}, {"auto": {}}),
    "required": ({"tool_choice": "required"}, {"any": {}}),
    "one": ({"tool_choice": {"type": "function", "function": {"name": "weather"}}}, {"tool": {"name": "weather"}}),
}


@pytest.mark.parametrize(("fields", "expected"), CHOICES.values(), ids=CHOICES)
def test_tools_and_choice(fields, expected):
    found = asked({"messages": USER, "tools": [WEATHER], **fields}, LLAMA).content["toolConfig"]
    assert found == {"tools": [SPEC], "toolChoice": expected}


def test_no_tool_may_be_chosen():
    assert "toolConfig" not in asked({"messages": USER, "tools": [WEATHER], "tool_choice": "none"}).content


def test_a_strict_tool_and_one_at_a_time_where_the_model_can():
    strict = {"type": "function", "function": {"name": "weather", "strict": True}}
    fields = {"messages": USER, "tools": [strict]}
    found = asked({**fields, "parallel_tool_calls": False}).content
    assert found["toolConfig"]["tools"][0]["toolSpec"]["strict"] is True
    assert found["additionalModelRequestFields"] == {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
    assert "strict" not in asked(fields, NOVA).content["toolConfig"]["tools"][0]["toolSpec"]


def test_a_schema_is_a_forced_tool_where_the_model_has_none():
    found = asked({"messages": USER, "response_format": FORM}, NOVA)
    (tool,) = found.content["toolConfig"]["tools"]
    assert (tool["toolSpec"]["name"], tool["toolSpec"]["inputSchema"]) == ("number", {"json": SCHEMA})
    assert found.content["toolConfig"]["toolChoice"] == {"tool": {"name": "number"}}
    assert found.schema_tool == "number"


def test_beside_other_tools_the_schema_s_is_one_that_must_be_used_at_last():
    found = asked({"messages": USER, "response_format": FORM, "tools": [WEATHER]}, NOVA).content["toolConfig"]
    assert [tool["toolSpec"]["name"] for tool in found["tools"]] == ["weather", "number"]
    assert found["toolChoice"] == {"any": {}}
    fields = {"response_format": FORM, "tools": [WEATHER], "tool_choice": "none"}
    found = asked({"messages": USER, **fields}, NOVA).content["toolConfig"]
    assert [tool["toolSpec"]["name"] for tool in found["tools"]] == ["number"]


MARKS = {
    "Anthropic's": ({"cache_control": {"type": "ephemeral"}}, {"cachePoint": {"type": "default"}}),
    "for an hour": (
        {"cache_control": {"type": "ephemeral", "ttl": "1h"}}, {"cachePoint": {"type": "default", "ttl": "1h"}},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("mark", "point"), MARKS.values(), ids=MARKS)
def test_cache_marks_become_cache_points(mark, point):
    part = {"type": "text", "text": "Long.", **mark}
    messages = [{"role": "system", "content": [part]}, {"role": "user", "content": [part]}]
    found = asked({"messages": messages, "tools": [{**WEATHER, **mark}]}).content
    assert found["system"] == found["messages"][0]["content"] == [{"text": "Long."}, point]
    assert found["toolConfig"]["tools"] == [SPEC, point]


def test_the_optimiser_s_marks_are_converse_s_own():
    messages = [
        {"role": "system", "content": "Be long. " * 600},
        *USER,
        {"role": "assistant", "content": "Hello."},
        *USER,
    ]
    marked, names = with_markers({"messages": messages}, messages, "bedrock", "acme:prod")
    assert names == ("system", "history")
    found = asked(marked).content
    point = {"cachePoint": {"type": "default"}}
    assert found["system"][-1] == found["messages"][1]["content"][-1] == point
    plain = asked(marked, LLAMA).content  # it would refuse the marks
    assert point not in [*plain["system"], *plain["messages"][1]["content"]]


def test_a_text_completion_is_one_turn():
    found = asked({"prompt": "Once upon", "max_tokens": 5}, endpoint="text").content
    assert found == {
        "messages": [{"role": "user", "content": [{"text": "Once upon"}]}],
        "inferenceConfig": {"maxTokens": 5},
    }


def test_the_operator_s_terms():
    found = asked({"messages": USER}, terms=Terms(77, ("gr1", "3"))).content
    assert found["inferenceConfig"] == {"maxTokens": 77}
    assert found["guardrailConfig"] == {"guardrailIdentifier": "gr1", "guardrailVersion": "3"}
