"""Whatever a client sends: a request that botocore would send, or a 400 that says where it is wrong."""

from hypothesis import given, settings
from hypothesis import strategies as st

from subsecond.errors import InvalidRequest
from subsecond.upstreams.converse.embeddings import embedding_requests
from subsecond.upstreams.converse.families import Families
from subsecond.upstreams.converse.request import CARRIED, NEUTRAL
from tests.support.bedrock import CLAUDE, LLAMA, NEW_CLAUDE, NOVA, OLD_CLAUDE, asked

ATOMS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 5000), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a", "auto", "none", "function", "text", "json_schema", "low", "high"]),
    st.just("data:image/png;base64,AAAA"),
)  # fmt: skip
KEYS = st.sampled_from(
    ["type", "role", "content", "text", "function", "name", "arguments", "id", "tool_calls", "image_url", "url", "file",
     "file_data", "input_audio", "cachePoint", "cache_control", "reasoning_details", "index", "signature", "data",
     "json_schema", "schema", "budget_tokens", "tool_call_id", "x"]
)  # fmt: skip
ANYTHING = st.recursive(
    ATOMS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)), max_leaves=12
)


def shaped(**members):
    """An object in which some members are wrong or missing."""
    return st.fixed_dictionaries({}, optional={name: st.one_of(one, ANYTHING) for name, one in members.items()})


WORD = st.just("word")
FUNCTION = shaped(name=WORD, description=WORD, parameters=st.just({"type": "object"}), strict=st.booleans())
TOOLS = st.lists(
    shaped(type=st.just("function"), function=FUNCTION, cache_control=shaped(ttl=st.just("1h"))), max_size=2
)
CALLS = st.lists(
    shaped(id=WORD, type=st.just("function"), function=shaped(name=WORD, arguments=st.just("{}"))), max_size=2
)
THOUGHTS = st.lists(
    shaped(type=st.sampled_from(["reasoning.text", "reasoning.encrypted"]), text=WORD, signature=WORD, index=st.just(0))
)
FORM = shaped(type=st.just("json_schema"), json_schema=shaped(name=WORD, schema=st.just({"type": "object"})))
SHAPED = st.fixed_dictionaries(
    {}, optional={"tools": TOOLS, "response_format": FORM, "tool_choice": st.just("required")}
)
TURN = shaped(role=st.just("assistant"), content=WORD, tool_calls=CALLS, reasoning_details=THOUGHTS)
RESULT = shaped(role=st.just("tool"), tool_call_id=WORD, content=WORD)
ROLES = st.sampled_from(["user", "assistant", "system", "developer", "tool"])
MESSAGE = st.one_of(
    ANYTHING,
    TURN,
    RESULT,
    st.dictionaries(KEYS, ANYTHING, max_size=4).flatmap(lambda more: ROLES.map(lambda role: {**more, "role": role})),
)
TOOL = {"type": "function", "function": {"name": "word"}}
USER = {"role": "user", "content": "Hi"}
FIELDS = st.dictionaries(st.sampled_from([*CARRIED, *NEUTRAL, "x"]), ANYTHING, max_size=4)
MODELS = st.sampled_from([CLAUDE, OLD_CLAUDE, NEW_CLAUDE, NOVA, LLAMA])


def refused(ask):
    """The error, None where there is none."""
    try:
        ask()
    except InvalidRequest as error:
        return error
    return None


# One at a time: the first thing that is wrong hides the others.
BODIES = st.one_of(
    FIELDS.map(lambda fields: {"messages": [USER], **fields}),
    SHAPED.map(lambda fields: {"messages": [USER], **fields}),
    st.lists(MESSAGE, min_size=1, max_size=3).map(lambda messages: {"messages": [USER, *messages], "tools": [TOOL]}),
)


@settings(max_examples=500, deadline=None)
@given(BODIES, MODELS)
def test_chat(body, model):
    error = refused(lambda: asked({**body, "model": model}, model))
    assert error is None or (error.status, bool(error.param)) == (400, True)


@settings(max_examples=100, deadline=None)
@given(FIELDS, ANYTHING)
def test_embeddings(fields, texts):
    model = "cohere.embed-v4:0"
    family = Families((), {}).find(model)
    error = refused(lambda: embedding_requests({**fields, "input": texts, "model": model}, family))
    assert error is None or error.param
