"""Both forms of one answer are the same answer to who reads them with OpenAI's own package."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from subsecond.streaming.convert import converts, to_stream, to_whole
from subsecond.streaming.json_bytes import dump

FRAME = {"id": "c1", "created": 7, "model": "m"}
TEXT = st.text(max_size=12)
TOKEN = st.builds(lambda text: {"token": text, "logprob": -0.5, "bytes": None, "top_logprobs": []}, TEXT)
CALL = st.builds(
    lambda name, arguments: {"type": "function", "function": {"name": name, "arguments": arguments}},
    st.text(min_size=1, max_size=4),
    TEXT,
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.none() | TEXT},
    optional={
        "refusal": TEXT,
        "reasoning_content": TEXT,
        "reasoning": TEXT,
        "tool_calls": st.lists(CALL, min_size=1, max_size=3),
        "function_call": st.fixed_dictionaries({"name": st.just("f"), "arguments": TEXT}),
    },
)
CHOICE = st.fixed_dictionaries(
    {
        "message": MESSAGE,
        "finish_reason": st.sampled_from(["stop", "length", "tool_calls", "content_filter"]),
        "logprobs": st.none() | st.fixed_dictionaries({"content": st.lists(TOKEN, min_size=1, max_size=4)}),
    }
)
TOP = st.fixed_dictionaries(
    {},
    optional={
        "system_fingerprint": TEXT,
        "service_tier": st.just("default"),
        "usage": st.just({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}),
    },
)


@st.composite
def wholes(draw):
    """Whole replies, as objects."""
    choices = draw(st.lists(CHOICE, min_size=1, max_size=3))
    for index, choice in enumerate(choices):
        choice["index"] = index
        for at, call in enumerate(choice["message"].get("tool_calls", ())):
            call["id"] = f"call_{index}_{at}"
    return {**FRAME, "object": "chat.completion", "choices": choices, **draw(TOP)}


def cuts(draw, text):
    borders = [0, *sorted(draw(st.lists(st.integers(0, len(text)), max_size=3))), len(text)]
    return [text[begin:end] for begin, end in pairwise(borders)]


@st.composite
def streams(draw):
    """The same as streams, as lists of objects, however a server cuts and orders them."""
    whole = draw(wholes())
    usage, choices = whole.pop("usage", None), whole.pop("choices")
    frame = {**whole, "object": "chat.completion.chunk"}
    told = []
    for choice in choices:
        told += [({"role": "assistant", **opening(draw, choice)}, choice, None)]
        told += [(delta, choice, None) for delta in deltas(draw, choice["message"])]
        told += [({}, choice, choice["finish_reason"])]
    chunks = [
        {
            **frame,
            "choices": [{"index": choice["index"], "delta": delta, "finish_reason": finish, **beside(delta, choice)}],
        }
        for delta, choice, finish in told
    ]
    return chunks + ([{**frame, "choices": [], "usage": usage}] if usage else [])


def opening(draw, choice):
    """Servers differ in what stands beside the role; a text that was null stays null."""
    text = choice["message"]["content"]
    return {"content": None if text is None else ""} if draw(st.booleans()) or text == "" else {}


def beside(delta, choice):
    if delta.get("content") and choice["logprobs"]:
        return {"logprobs": choice["logprobs"]}
    return {}


def deltas(draw, message):
    for name in ("reasoning_content", "reasoning", "content", "refusal"):
        if message.get(name):
            yield from ({name: piece} for piece in cuts(draw, message[name]))
    for at, call in enumerate(message.get("tool_calls", ())):
        first, *rest = cuts(draw, call["function"]["arguments"])
        yield {"tool_calls": [{"index": at, **call, "function": {**call["function"], "arguments": first}}]}
        for piece in rest:
            yield {"tool_calls": [{"index": at, "function": {"arguments": piece}}]}
    if call := message.get("function_call"):
        yield {"function_call": call}


def accumulated(payloads):
    """What the package makes of a stream."""
    state = ChatCompletionStreamState()
    for payload in payloads:
        list(state.handle_chunk(ChatCompletionChunk.construct(**json.loads(payload))))
    return plain(state.current_completion_snapshot.to_dict())


def read(body):
    """What it makes of a whole reply."""
    return plain(ChatCompletion.construct(**json.loads(body)).to_dict())


def plain(value):
    """Without what says nothing, and what the package adds for itself."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: plain(item) for name, item in value.items() if name not in ("parsed", "parsed_arguments")}
    if "function" in kept:
        kept.pop("index", None)
    return {name: item for name, item in kept.items() if item is not None and item != []}


@given(wholes())
def test_a_whole_reply_streams_to_the_same(whole):
    body = dump(whole)
    stream = to_stream("chat", body)
    assert accumulated(stream) == read(body)
    assert read(to_whole("chat", stream)) == read(body)
    assert all(converts("chat", payload) for payload in stream)


@given(streams())
def test_a_stream_joins_to_the_same(chunks):
    payloads = [dump(chunk) for chunk in chunks]
    body = to_whole("chat", payloads)
    assert read(body) == accumulated(payloads)
    assert accumulated(to_stream("chat", body)) == accumulated(payloads)
    assert json.loads(to_whole("chat", to_stream("chat", body))) == json.loads(body)
    assert all(converts("chat", payload) for payload in payloads)


TEXT_CHOICE = st.fixed_dictionaries(
    {"text": st.text(max_size=30), "finish_reason": st.sampled_from(["stop", "length", None])},
    optional={
        "logprobs": st.fixed_dictionaries({"tokens": st.lists(TEXT, min_size=1, max_size=3)}),
        "stop_reason": st.just("x"),
    },
)


@given(st.lists(TEXT_CHOICE, min_size=1, max_size=3), TOP)
def test_a_text_completion_streams_to_the_same(choices, top):
    choices = [{"index": index, "logprobs": None, **choice} for index, choice in enumerate(choices)]
    body = {**FRAME, "object": "text_completion", "choices": choices, **top}
    assert json.loads(to_whole("text", to_stream("text", dump(body)))) == body


# fmt: off
NAMES = [
    "choices", "delta", "message", "content", "text", "index", "tool_calls", "id", "function", "arguments", "logprobs",
    "usage", "object", "x_groq", "name", "annotations", "finish_reason",
]
# fmt: on
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(st.lists(JSON | st.fixed_dictionaries({"choices": st.lists(JSON, max_size=2)}), min_size=1, max_size=3))
def test_no_shape_makes_it_fail(values):
    for endpoint in ("chat", "text"):
        payloads = [json.dumps(value).encode() for value in values]
        body = to_whole(endpoint, payloads)
        assert body is None or to_stream(endpoint, body) is not None
        for payload in payloads:
            converts(endpoint, payload)
            to_stream(endpoint, payload)
