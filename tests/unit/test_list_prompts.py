"""Calls that go to the model as one list: the seed's batcher hung, mixed up and delayed; this one may do none of it."""

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subsecond.errors import DeadlineExceeded, SubsecondError, UpstreamError, UpstreamUnreachable
from subsecond.model import Call
from subsecond.ports import Reply
from subsecond.upstreams.list_prompts import MOST_BYTES, REST, WINDOW, Lists, may_share
from tests.support import virtual_time as virtual

TAKES = 1.0
HEADERS = ((b"x-ratelimit-remaining-requests", b"9"),)
# What comes in place of an answer to a list.
WRONG = {
    "error": b'{"error": {"message": "CUDA out of memory"}}',
    "junk": b'{"choices": 5}',
    "page": b"<html>",
    "empty": b"",
    "nothing": b'{"choices": []}',
}


def now():
    return asyncio.get_running_loop().time()


def words(prompt):
    """What the model says to a prompt: as many words as its last digit says, and two."""
    return "".join(f" {prompt}.{n}" for n in range(2 + int(prompt[-1])))


class Server:
    """It answers the prompts of a list side by side. faults: what goes wrong with one list after the other, the last
    one from then on; `bad`: words in prompts that it refuses."""

    def __init__(self, *faults, bad=()):
        self.faults, self.bad = list(faults) or ["none"], bad
        self.calls, self.running = [], 0

    async def ask(self, call):
        prompts = call.body["prompt"]
        self.calls.append(prompts)
        self.running += 1
        try:
            fault = "none"
            if isinstance(prompts, list):
                fault = self.faults.pop(0) if len(self.faults) > 1 else self.faults[0]
            else:
                prompts = [prompts]
            await asyncio.sleep(TAKES)
            if any(word in prompt for prompt in prompts for word in self.bad):
                raise UpstreamError("A prompt is refused.", status=400)
            return self._answer(prompts, fault)
        finally:
            self.running -= 1

    def _answer(self, prompts, fault):
        if fault in ("400", "429", "503", "504", "529"):
            raise DeadlineExceeded("late") if fault == "504" else UpstreamError("no lists", status=int(fault))
        if fault == "break":
            raise UpstreamUnreachable("The connection died.")
        if fault == "stream":
            return Streaming()
        choices = [
            {"index": at, "text": words(prompt), "logprobs": None, "finish_reason": "stop"}
            for at, prompt in enumerate(prompts)
        ]
        indexes = {"same": lambda at: 0, "outside": lambda at: at + 1, "null": lambda at: None, "odd": lambda at: [at]}
        for choice in choices:
            choice["index"] = indexes.get(fault, lambda at: at)(choice["index"])
        choices = {"short": choices[:-1], "twice": [*choices, choices[-1]]}.get(fault, choices)
        usage = {"prompt_tokens": 999, "total_tokens": 999}
        # The order says nothing.
        body = {"id": "cmpl-1", "object": "text_completion", "model": "m", "choices": choices[::-1], "usage": usage}
        return Reply(WRONG.get(fault) or (b"" if fault == "empty" else json.dumps(body).encode()), headers=HEADERS)

    @property
    def lists(self):
        return [prompts for prompts in self.calls if isinstance(prompts, list)]

    @property
    def singles(self):
        return [prompts for prompts in self.calls if isinstance(prompts, str)]


class Streaming:
    headers = ()
    closed = 0

    def close(self):
        Streaming.closed += 1


def lists_of(server, most=8):
    return Lists(server, most, ticks=now)


def call(prompt, batch="b", deadline=None, model="m", form="whole", **fields):
    body = {"model": model, "prompt": prompt, "max_tokens": 9, **fields}
    return Call("text", model, body, form=form, batch=batch, deadline=deadline)


async def answered(lists, asked, partition="a:n"):
    """The reply's body, or the error."""
    try:
        reply = await lists.of(partition).ask(asked)
    except SubsecondError as error:
        return error
    assert reply.headers == HEADERS
    return json.loads(reply.body)


def text(found):
    (choice,) = found["choices"]
    assert (choice["index"], choice["finish_reason"]) == (0, "stop")
    return choice["text"]


def right(found, prompt):
    return isinstance(found, dict) and text(found) == words(prompt)


async def ask_all(lists, prompts, **more):
    return await asyncio.gather(*(answered(lists, call(prompt, **more)) for prompt in prompts))


def test_prompts_asked_together_are_one_call_and_each_caller_gets_its_own():
    async def main():
        server, prompts = Server(), [f"p{n}" for n in range(8)]
        found = await ask_all(lists_of(server), prompts)
        assert server.calls == [prompts]
        assert all(map(right, found, prompts))
        assert len({one["id"] for one in found}) == 8

    virtual.run(main())


def test_usage_is_estimated_for_each_because_the_upstreams_is_a_sum():
    async def main():
        server = Server()
        for found in await ask_all(lists_of(server), ["one word or two 1", "3"]):
            usage = found["usage"]
            assert usage["estimated"] is True
            assert 0 < usage["prompt_tokens"] < 20
            assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"] < 60

    virtual.run(main())


def test_a_lone_request_waits_for_nobody_and_goes_as_it_is():
    async def main():
        server, begun = Server(), now()
        assert right(await answered(lists_of(server), call("p0", batch="")), "p0")
        assert server.calls == ["p0"]
        assert now() - begun == pytest.approx(TAKES)

    virtual.run(main())


def test_streams_go_alone_and_so_their_first_words_wait_for_nobody():
    async def main():
        server = Server()
        await asyncio.gather(*(lists_of(server).of("a:n").ask(call(prompt, form="stream")) for prompt in ("p0", "p1")))
        assert server.calls == ["p0", "p1"]

    virtual.run(main())


def test_requests_of_no_batch_share_what_is_asked_in_the_same_moment():
    async def main():
        server = Server()
        assert all(map(right, await ask_all(lists_of(server), ["p0", "p1"], batch=""), ["p0", "p1"]))
        assert server.calls == [["p0", "p1"]]

    virtual.run(main())


def test_those_of_a_batch_that_come_within_the_window_share_a_call_and_the_others_do_not_wait():
    async def main():
        server = Server()
        lists = lists_of(server)

        async def later(seconds, prompt):
            await asyncio.sleep(seconds)
            return await answered(lists, call(prompt))

        coming = [(0, "p0"), (WINDOW / 2, "p1"), (2 * WINDOW, "p2")]
        found = await asyncio.gather(*(later(*one) for one in coming))
        assert all(map(right, found, ["p0", "p1", "p2"]))
        assert server.calls == [["p0", "p1"], "p2"]

    virtual.run(main())


def test_a_full_list_does_not_wait_for_the_window_and_holds_no_more_than_its_most():
    async def main():
        server = Server()
        await ask_all(lists_of(server, most=3), [f"p{n}" for n in range(7)])
        assert server.calls == [["p0", "p1", "p2"], ["p3", "p4", "p5"], "p6"]

    virtual.run(main())


def test_the_list_after_a_full_one_has_a_window_of_its_own():
    async def main():
        server = Server()
        lists = lists_of(server, most=2)

        async def later(seconds, prompt):
            await asyncio.sleep(seconds)
            return await answered(lists, call(prompt))

        coming = [(0, "p0"), (0, "p1"), (WINDOW / 2, "p2"), (WINDOW * 1.2, "p3")]
        await asyncio.gather(*(later(*one) for one in coming))
        assert server.calls == [["p0", "p1"], ["p2", "p3"]]

    virtual.run(main())


def test_a_list_is_bounded_in_bytes_and_what_is_larger_goes_alone():
    async def main():
        server = Server()
        half, large = "é" * (MOST_BYTES // 5) + "0", "x" * MOST_BYTES + "1"
        found = await ask_all(lists_of(server), [half, large, half, half, half])
        assert [one for one in found if isinstance(one, SubsecondError)] == []
        assert sorted(len(prompts) for prompts in server.lists) == [2, 2]
        assert server.singles == [large]

    virtual.run(main())


@pytest.mark.parametrize(
    "other",
    [{"max_tokens": 5}, {"model": "other"}, {"deadline": 1e9}, {"partition": "b:n"}, {"user": "u"}, {"batch": ""}],
)
def test_what_differs_in_more_than_the_prompt_goes_apart(other):
    async def main():
        server = Server()
        lists = lists_of(server)
        partition = other.pop("partition", "a:n")
        found = await asyncio.gather(
            answered(lists, call("p0")), answered(lists, call("p1", **other), partition=partition)
        )
        assert all(map(right, found, ["p0", "p1"]))
        assert sorted(server.calls) == ["p0", "p1"]

    virtual.run(main())


@pytest.mark.parametrize(
    "field",
    [
        {"n": 2},
        {"best_of": 3},
        {"stop": ["\n"]},
        {"echo": True},
        {"seed": 1},
        {"logprobs": 2},
        {"suffix": "."},
        {"x": 0},
    ],
)
def test_what_a_list_could_answer_otherwise_passes_by(field):
    assert may_share(call("p0", n=1, stop=None))
    assert not may_share(call("p0", **field))
    assert not may_share(call("p0", form="stream"))
    assert not may_share(call([1, 2]))
    assert not may_share(Call("chat", "m", {"messages": []}))


@pytest.mark.parametrize(
    "fault", ["400", "short", "twice", "same", "outside", "null", "odd", "break", "stream", *WRONG]
)
def test_a_list_that_fails_has_harmed_nobody_and_is_asked_for_one_by_one(fault):
    async def main():
        server, prompts = Server(fault), ["p3", "p1", "p2"]
        assert all(map(right, await ask_all(lists_of(server), prompts), prompts))
        assert server.lists == [prompts]
        assert sorted(server.singles) == sorted(prompts)

    virtual.run(main())


@pytest.mark.parametrize("fault", ["429", "503", "504", "529"])
def test_an_upstream_that_is_busy_or_late_is_not_asked_again_for_each(fault):
    async def main():
        server = Server(fault)
        found = await ask_all(lists_of(server), ["p0", "p1", "p2"])
        assert [one.status for one in found] == [int(fault)] * 3
        assert len({id(one) for one in found}) == 3  # each has its own
        assert server.singles == []

    virtual.run(main())


def test_a_list_that_was_streamed_all_the_same_is_closed():
    async def main():
        closed = Streaming.closed
        assert all(map(right, await ask_all(lists_of(Server("stream")), ["p0", "p1"]), ["p0", "p1"]))
        assert Streaming.closed == closed + 1

    virtual.run(main())


def test_a_prompt_that_is_refused_fails_alone_and_lists_go_on():
    async def main():
        server, lists = Server(bad=["poison"]), None
        lists = lists_of(server)
        found = await ask_all(lists, ["p0", "poison1", "p2"])
        assert right(found[0], "p0")
        assert isinstance(found[1], UpstreamError)
        assert found[1].status == 400
        assert right(found[2], "p2")
        await ask_all(lists, ["p3", "p4"])
        assert server.lists == [["p0", "poison1", "p2"], ["p3", "p4"]]

    virtual.run(main())


def test_an_upstream_that_takes_no_lists_is_spared_them_for_a_while():
    async def main():
        server = Server("400")
        lists = lists_of(server)
        for _ in range(3):
            assert all(map(right, await ask_all(lists, ["p0", "p1"]), ["p0", "p1"]))
        assert len(server.lists) == 1
        assert len(server.singles) == 6
        await asyncio.sleep(REST)
        await ask_all(lists, ["p0", "p1"])
        assert len(server.lists) == 2

    virtual.run(main())


@pytest.mark.parametrize("moment", [0.0, WINDOW / 2, TAKES / 2])
def test_a_caller_who_leaves_takes_nobody_along(moment):
    async def main():
        server, prompts = Server(), ["p5", "p6", "p7"]
        lists = lists_of(server)
        tasks = [asyncio.create_task(answered(lists, call(prompt))) for prompt in prompts]
        await asyncio.sleep(moment)
        tasks[1].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert right(found[0], "p5")
        assert isinstance(found[1], asyncio.CancelledError)
        assert right(found[2], "p7")
        assert server.lists == [["p5", "p7"] if moment < WINDOW else prompts]

    virtual.run(main())


def test_when_the_last_one_leaves_the_upstreams_call_has_ended():
    async def main():
        server = Server()
        lists = lists_of(server)
        tasks = [asyncio.create_task(answered(lists, call(prompt))) for prompt in ("p8", "p9")]
        await asyncio.sleep(TAKES / 2)
        for task in tasks:
            task.cancel()
        left = now()
        await asyncio.wait(tasks)
        assert (server.running, now()) == (0, left)

    virtual.run(main())


FAULTS = ["none", "none", "400", "429", "short", "same", "outside", "twice", "junk", "error", "break"]
steps = st.lists(
    st.tuples(
        st.sampled_from([0.0, WINDOW / 3, WINDOW, 0.3, TAKES, 3.0]), st.sampled_from(["ask", "ask", "lone", "cancel"])
    ),
    max_size=30,
)


@given(steps, st.lists(st.sampled_from(FAULTS), max_size=8), st.integers(1, 5))
@settings(deadline=None, max_examples=150)
def test_whatever_the_order_everybody_who_stays_gets_its_own_answer_whole_or_an_error(taken, faults, most):
    async def main():
        server = Server(*faults, bad=["poison"])
        lists = lists_of(server, most=most)
        asked, prompts, left = [], [], set()
        for number, (seconds, what) in enumerate(taken):
            await asyncio.sleep(seconds)
            if what == "cancel" and asked:
                left.add(number % len(asked))
                asked[number % len(asked)].cancel()
            elif what != "cancel":
                prompts.append(f"{'poison' if number % 11 == 5 else 'p'}{number}")
                batch = "" if what == "lone" else "b"
                asked.append(asyncio.create_task(answered(lists, call(prompts[-1], batch=batch))))
        found = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 1000)
        for number, (one, prompt) in enumerate(zip(found, prompts, strict=True)):
            if isinstance(one, asyncio.CancelledError):
                assert number in left
            elif isinstance(one, SubsecondError):
                assert "poison" in prompt or set(faults) - {"none"}
            else:
                assert right(one, prompt)
        assert server.running == 0
        assert all(1 < len(listed) <= most for listed in server.lists)

    virtual.run(main())
