"""Marks for the provider's prefix cache: where asked for, where they pay, never beside the caller's own."""

import pytest

from subsecond.config import Settings
from subsecond.errors import InvalidRequest
from subsecond.model import Call
from subsecond.optimiser import Level, Optimiser, OptimiserPlan, Tokens, cached_tokens, optimise, plan_for

LONG = "You are a helper." * 300
MESSAGES = [
    {"role": "system", "content": LONG},
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "Two?"},
]
TOOLS = [{"type": "function", "function": {"name": "f", "description": LONG}}]


def marked(kind, partition="t:n", **body):
    call = Call("chat", "m", {"model": "m", "messages": MESSAGES, **body})
    return optimise(call, OptimiserPlan(Level.LOSSLESS, markers=kind, partition=partition), Tokens())


def test_nothing_is_marked_unless_asked():
    made, report = marked("off")
    assert made.body == {"model": "m", "messages": MESSAGES}
    assert report.markers == ()


def test_openais_key_is_the_same_for_one_tenants_turns_and_another_for_another_tenant():
    key = marked("openai")[0].body["prompt_cache_key"]
    assert marked("openai", messages=[*MESSAGES, MESSAGES[2], MESSAGES[3]])[0].body["prompt_cache_key"] == key
    assert marked("openai", partition="other:n")[0].body["prompt_cache_key"] != key
    assert marked("openai", tools=TOOLS)[0].body["prompt_cache_key"] != key


def test_anthropics_marks_stand_on_tools_system_and_history_and_leave_the_text():
    made, report = marked("anthropic", tools=TOOLS)
    mark = {"cache_control": {"type": "ephemeral"}}
    assert set(report.markers) == {"system", "history", "tools"}
    assert made.body["messages"][0]["content"] == [{"type": "text", "text": LONG, **mark}]
    assert made.body["messages"][2]["content"] == [{"type": "text", "text": "Yes.", **mark}]
    assert made.body["messages"][3] == MESSAGES[3]
    assert made.body["tools"] == [{**TOOLS[0], **mark}]


def test_bedrocks_points_stand_behind_the_text():
    made, _ = marked("bedrock")
    assert made.body["messages"][0]["content"][-1] == {"cachePoint": {"type": "default"}}


@pytest.mark.parametrize("kind", ["openai", "anthropic", "bedrock"])
@pytest.mark.parametrize(
    "own",
    [
        {"prompt_cache_key": "mine"},
        {"cache_control": {"type": "ephemeral"}},
        {"tools": [{**TOOLS[0], "cache_control": {"type": "ephemeral"}}]},
        {"messages": [{"role": "system", "content": [{"type": "text", "text": LONG, "cachePoint": {}}]}, MESSAGES[3]]},
    ],
)
def test_the_callers_own_marks_stay_alone(kind, own):
    made, report = marked(kind, **own)
    assert made.body == {"model": "m", "messages": MESSAGES, **own}
    assert report.markers == ()


def test_the_prefix_is_another_where_it_was_edited_and_the_same_in_the_next_call():
    def sent(*later):
        messages = [{"role": "system", "content": "Be brief.   \n\n\n\nBe kind."}, *MESSAGES[1:2], *later]
        return optimise(
            Call("chat", "m", {"model": "m", "messages": messages}), OptimiserPlan(Level.LOSSLESS), Tokens()
        )[1]

    report = sent()
    assert report.prefix_before != report.prefix_after
    assert (report.public()["prefix_before"], report.public()["prefix_after"]) == report.prefixes()
    assert sent({"role": "user", "content": "And?"}).prefix_after != report.prefix_after
    assert sent().prefixes() == report.prefixes()
    assert "Be kind" not in repr(report)
    unchanged = marked("off")[1]
    assert unchanged.prefixes() == ("", "")
    assert unchanged.public()["prefix_after"] is None


def test_a_short_prefix_gets_no_breakpoint():
    assert marked("anthropic", messages=[{"role": "system", "content": "Short."}, MESSAGES[3]])[1].markers == ()


def test_a_prescribed_format_keeps_the_text_as_it_is():
    messages = [{"role": "system", "content": "One.   \n\n\n\nTwo."}, MESSAGES[3]]
    made, report = marked("off", messages=messages, response_format={"type": "json_object"})
    assert made.body["messages"] == messages
    assert report.skipped == "response_format"
    assert marked("off", messages=messages, response_format={"type": "text"})[1].edits == 1


def test_the_request_goes_before_the_model_and_the_model_before_the_rest():
    settings = Settings(optimise="dedupe", optimise_models="m=fit", context_windows="m=100", context_budget=7)
    assert plan_for(settings, "m", window=5) == OptimiserPlan(Level.FIT, window=100, budget=7)
    assert plan_for(settings, "n", window=5).window == 5
    asked = plan_for(settings, "m", "select; budget=2000; markers=openai", "t:n")
    assert asked == OptimiserPlan(Level.SELECT, window=100, budget=2000, markers="openai", partition="t:n")


@pytest.mark.parametrize(
    ("asked", "markers"), [("", "anthropic"), ("fit", "anthropic"), ("off", "off"), ("off; markers=openai", "openai")]
)
def test_markers_need_no_level_and_a_request_that_wants_nothing_gets_none(asked, markers):
    assert plan_for(Settings(cache_markers="anthropic"), "m", asked).markers == markers
    plan = OptimiserPlan(Level.OFF, markers="anthropic")
    assert optimise(Call("chat", "m", {"messages": MESSAGES}), plan, Tokens())[1].markers == ("system", "history")


@pytest.mark.parametrize(
    "asked", ["most", "fit; budget=-1", "fit; budget=x", "markers=mine", "fit; fit", "=", "budget"]
)
def test_a_request_that_is_not_understood_is_refused(asked):
    with pytest.raises(InvalidRequest):
        plan_for(Settings(), "m", asked)


def test_cached_tokens_are_the_providers_own_count():
    assert cached_tokens({"prompt_tokens_details": {"cached_tokens": 0}}) == 0
    assert cached_tokens({"cache_read_input_tokens": 7}) == 7
    assert cached_tokens({"prompt_tokens": 7}) is None
    assert cached_tokens(None) is None


def test_an_environment_learns_from_usage_and_fits_by_it():
    optimiser = Optimiser(Settings(optimise="fit", context_windows="m=6000"))
    call = Call(
        "chat", "m", {"model": "m", "messages": [{"role": "user", "content": LONG + "Why? " * 1500}], "max_tokens": 1}
    )
    _, report = optimiser.run(call)
    assert report.before == report.after
    for _ in range(20):
        optimiser.learn(report, "m", {"prompt_tokens": report.after * 2})
    with pytest.raises(InvalidRequest, match="too long"):
        optimiser.run(call)


def test_old_turns_go_in_blocks_so_that_the_cut_stays_for_a_while():
    turns = [
        {"role": role, "content": f"{role} says number {n} and then some more words to fill the line."}
        for n in range(60)
        for role in ("user", "assistant")
    ]
    starts = []
    for length in range(61, 119, 2):
        call = Call("chat", "m", {"model": "m", "messages": turns[:length], "max_tokens": 1})
        sent = optimise(call, OptimiserPlan(Level.FIT, window=1200), Tokens())[0].body["messages"]
        assert sent[0] == turns[0]
        assert sent[-1] == turns[length - 1]
        starts.append(turns.index(sent[2]))
    assert starts == sorted(starts)
    # Without blocks the cut would move in each of the 29 calls.
    assert len(set(starts)) <= 12
