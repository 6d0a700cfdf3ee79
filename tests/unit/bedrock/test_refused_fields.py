"""What Converse cannot carry is a 400 that names the field."""

import pytest

from subsecond.errors import InvalidRequest
from tests.support.bedrock import CLAUDE, LLAMA, NOVA, OLD_CLAUDE, asked

USER = [{"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "f"}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
USED = [*USER, {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c", "content": "1"}]


def part(**fields):
    return {"messages": [{"role": "user", "content": [fields]}]}


def image(url):
    return part(type="image_url", image_url={"url": url})


PART = "messages[0].content[0]"
ROWS = [
    (CLAUDE, {"n": 2}, "n"),
    (CLAUDE, {"seed": 1}, "seed"),
    (CLAUDE, {"logprobs": True}, "logprobs"),
    (CLAUDE, {"logit_bias": {"1": 2}}, "logit_bias"),
    (CLAUDE, {"frequency_penalty": 0.5}, "frequency_penalty"),
    (CLAUDE, {"presence_penalty": 1}, "presence_penalty"),
    (CLAUDE, {"modalities": ["text", "audio"]}, "modalities"),
    (CLAUDE, {"functions": [{"name": "f"}]}, "functions"),
    (CLAUDE, {"web_search_options": {"a": 1}}, "web_search_options"),
    (CLAUDE, {"an_unknown_one": 1}, "an_unknown_one"),
    (CLAUDE, {"response_format": {"type": "json_object"}}, "response_format.type"),
    (CLAUDE, {"response_format": {"type": "json_schema"}}, "response_format"),
    (NOVA, {"tools": [{"type": "function", "function": {"name": "answer"}}], "response_format": {
        "type": "json_schema", "json_schema": {"schema": {}}}}, "response_format.json_schema.name"),
    (CLAUDE, {"reasoning_effort": "immense"}, "reasoning_effort"),
    (LLAMA, {"reasoning_effort": "low"}, "reasoning_effort"),
    (OLD_CLAUDE, {"reasoning_effort": "low", "max_tokens": 1024}, "reasoning_effort"),
    (CLAUDE, {"reasoning_effort": "low", "tools": [TOOL], "tool_choice": "required"}, "tool_choice"),
    (OLD_CLAUDE, {"reasoning_effort": "low", "response_format": {
        "type": "json_schema", "json_schema": {"schema": {"type": "object"}}}}, "response_format"),
    (CLAUDE, {"service_tier": "scale"}, "service_tier"),
    (LLAMA, {"thinking": {"type": "enabled"}}, "thinking"),
    (LLAMA, {"top_k": 3}, "top_k"),
    (LLAMA, {"tools": [TOOL], "parallel_tool_calls": False}, "parallel_tool_calls"),
    (CLAUDE, {"tools": [TOOL], "parallel_tool_calls": False, "tool_choice": "required"}, "parallel_tool_calls"),
    (CLAUDE, {"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].type"),
    (CLAUDE, {"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    (CLAUDE, {"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
    (CLAUDE, {"messages": USED}, "tools"),
    (CLAUDE, {"messages": USED, "tools": [TOOL], "tool_choice": "none"}, "tool_choice"),
    (CLAUDE, {"messages": []}, "messages"),
    (CLAUDE, {"messages": [{"role": "user", "content": " "}]}, "messages[0].content"),
    (CLAUDE, {"messages": [{"role": "function", "content": "x"}]}, "messages[0].role"),
    (CLAUDE, {"messages": [{"role": "user", "name": "Ann", "content": "x"}]}, "messages[0].name"),
    (CLAUDE, {"messages": [{"role": "system", "content": [{"type": "image_url"}]}]}, f"{PART}.type"),
    (CLAUDE, image("https://a.example/b.png"), f"{PART}.image_url.url"),
    (CLAUDE, image("data:image/png;base64,§"), f"{PART}.image_url.url"),
    (CLAUDE, image("data:image/bmp;base64,AAAA"), f"{PART}.image_url.url"),
    (CLAUDE, part(type="file", file={"file_id": "file-1"}), f"{PART}.file"),
    (CLAUDE, part(type="file", file={"file_data": "data:a/b;base64,AAAA"}), f"{PART}.file.file_data"),
    (CLAUDE, part(type="input_audio", input_audio={"format": "midi"}), f"{PART}.input_audio.format"),
    (CLAUDE, part(type="video_url"), f"{PART}.type"),
    (CLAUDE, {"messages": [*USER, {"role": "assistant", "function_call": {"name": "f"}}]}, "messages[1].function_call"),
    (CLAUDE, {"messages": [*USER, {"role": "assistant", "tool_calls": [
        {"id": "c", "function": {"name": "f", "arguments": "[1]"}}]}]}, "messages[1].tool_calls[0].function.arguments"),
    (CLAUDE, {"messages": [*USER, {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]},
     "messages[1].tool_calls[0].id"),
    (CLAUDE, {"messages": [*USER, {"role": "tool", "content": "x"}]}, "messages[1].tool_call_id"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "fields", "param"), ROWS, ids=[f"{row[2]}-{at}" for at, row in enumerate(ROWS)])
def test_it_is_named(model, fields, param):
    with pytest.raises(InvalidRequest) as caught:
        asked({"messages": USER, **fields}, model)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize("prompt", [["a", "b"], [1, 2], "", None])
def test_prompts_are_one_text(prompt):
    with pytest.raises(InvalidRequest):
        asked({"prompt": prompt}, endpoint="text")


@pytest.mark.parametrize("field", ["suffix", "echo", "best_of"])
def test_fields_of_text_completions(field):
    with pytest.raises(InvalidRequest) as caught:
        asked({"prompt": "a", field: 2 if field == "best_of" else "x"}, endpoint="text")
    assert caught.value.param == field
