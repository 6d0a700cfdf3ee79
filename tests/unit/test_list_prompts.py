"""Calls that go to the model as one list: the seed's batcher hung, mixed up and delayed; this one may do none of it."""

import asyncio
import json
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subsecond.errors import DeadlineExceeded, SubsecondError, UpstreamError, UpstreamUnreachable
from subsecond.model import Call
from subsecond.streaming.transcript import Transcript
from subsecond.upstreams.list_prompts import MOST_BYTES, REST, WINDOW, Lists, may_share
from tests.support import virtual_time as virtual

FIRST, GAP = 1.0, 0.1
WRONG = {"error": b'{"error": {"message": "overloaded_model"}}', "junk": b'{"choices": 5}'}


def now():
    return asyncio.get_running_loop().time()


def words(prompt):
    """What the model says to a prompt: as many words as its last digit says, and two."""
    return [f" {prompt}.{n}" for n in range(2 + int(prompt[-1]))]


def piece(index, text, finish=None, **more):
    choice = {"index": index, "text": text, "logprobs": None, "finish_reason": finish}
    return json.dumps({"id": "cmpl-1", "object": "text_completion", "model": "m", "choices": [choice], **more}).encode()


class Server:
    """It answers the prompts of a list side by side. faults: what goes wrong with one list after the other, the last
    one from then on; `bad`: words in prompts that it refuses."""

    def __init__(self, *faults, bad=()):
        self.faults, self.bad = list(faults) or ["none"], bad
        self.calls, self.running = [], 0

    async def stream(self, call):
        prompts = call.body["prompt"]
        self.calls.append(prompts)
        self.running += 1
        try:
            fault = "none"
            if isinstance(prompts, list):
                fault = self.faults.pop(0) if len(self.faults) > 1 else self.faults[0]
            else:
                prompts = [prompts]
            await asyncio.sleep(FIRST)
            if any(word in prompt for prompt in prompts for word in self.bad):
                raise UpstreamError("A prompt is refused.", status=400)
            for at, payload in enumerate(self._payloads(prompts, fault)):
                await asyncio.sleep(GAP / len(prompts))
                if fault == f"break{at}":
                    raise UpstreamUnreachable("The connection died.")
                yield payload
        finally:
            self.running -= 1

    def _payloads(self, prompts, fault):
        if fault in ("400", "429", "504"):
            raise DeadlineExceeded("late") if fault == "504" else UpstreamError("no lists", status=int(fault))
        if fault in WRONG:
            yield WRONG[fault]
        answers = {at: words(prompt) for at, prompt in enumerate(prompts)}
        if fault == "short":
            del answers[len(prompts) - 1]
        for n in range(max(map(len, answers.values()), default=0)):
            for at, said in answers.items():
                index = {"same": 0, "outside": at + 1, "null": None}.get(fault, at)
                yield from (piece(index, word) for word in said[n : n + 1])
                if n == len(said) - 1:
                    yield piece(index, "", "stop")
                    yield from (piece(index, word) for word in [" again"] * (fault == "twice"))
        yield json.dumps({"id": "cmpl-1", "choices": [], "usage": {"prompt_tokens": 999, "total_tokens": 999}}).encode()

    @property
    def lists(self):
        return [prompts for prompts in self.calls if isinstance(prompts, list)]

    @property
    def singles(self):
        return [prompts for prompts in self.calls if isinstance(prompts, str)]


def lists_of(server, most=8):
    return Lists(server, most, ticks=now)


def call(prompt, batch="b", deadline=None, model="m", **fields):
    body = {"model": model, "prompt": prompt, "max_tokens": 9, **fields}
    return Call("text", model, body, batch=batch, deadline=deadline)


async def answered(lists, asked, partition="a:n"):
    """The whole answer, or the error."""
    transcript = Transcript("text")
    try:
        async with aclosing(lists.of(partition).stream(asked)) as payloads:
            async for payload in payloads:
                transcript.add(payload)
    except SubsecondError as error:
        return error
    return json.loads(transcript.answer().body)


def text(found):
    (choice,) = found["choices"]
    assert (choice["index"], choice["finish_reason"]) == (0, "stop")
    return choice["text"]


def right(found, prompt):
    return isinstance(found, dict) and text(found) == "".join(words(prompt))


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
        assert now() - begun == pytest.approx(FIRST + 4 * GAP)

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
    assert not may_share(call([1, 2]))
    assert not may_share(Call("chat", "m", {"messages": []}))


def test_the_words_come_as_they_are_said_once_every_prompt_has_begun():
    async def main():
        server, came = Server(), {}

        async def listen(prompt):
            begun = now()
            async with aclosing(lists.of("a:n").stream(call(prompt))) as payloads:
                async for _ in payloads:
                    came.setdefault(prompt, []).append(round(now() - begun, 2))

        lists = lists_of(server)
        await asyncio.gather(listen("p0"), listen("p9"))
        assert came["p0"][0] == pytest.approx(FIRST + GAP, abs=0.02)
        assert len(set(came["p9"])) > 8
        # A short answer does not wait for a long one.
        assert came["p0"][-1] < came["p9"][-1] - 5 * GAP

    virtual.run(main())


@pytest.mark.parametrize("fault", ["400", "short", "same", "outside", "null", "error", "junk", "break0", "break1"])
def test_a_list_that_fails_before_anybody_was_given_anything_is_asked_for_one_by_one(fault):
    async def main():
        server, prompts = Server(fault), ["p3", "p1", "p2"]
        assert all(map(right, await ask_all(lists_of(server), prompts), prompts))
        assert server.lists == [prompts]
        assert sorted(server.singles) == sorted(prompts)

    virtual.run(main())


@pytest.mark.parametrize("fault", ["429", "504"])
def test_an_upstream_that_is_busy_or_late_is_not_asked_again_for_each(fault):
    async def main():
        server = Server(fault)
        found = await ask_all(lists_of(server), ["p0", "p1", "p2"])
        assert [one.status for one in found] == [int(fault)] * 3
        assert len({id(one) for one in found}) == 3  # each has its own
        assert server.singles == []

    virtual.run(main())


@pytest.mark.parametrize("fault", ["break5", "twice"])
def test_what_breaks_off_after_its_first_word_is_an_error_and_never_half_an_answer(fault):
    async def main():
        server, prompts = Server(fault), ["p0", "p5", "p5"]
        for found, prompt in zip(await ask_all(lists_of(server), prompts), prompts, strict=True):
            assert isinstance(found, UpstreamUnreachable) or right(found, prompt)
            if prompt == "p5":
                assert isinstance(found, UpstreamUnreachable)

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


@pytest.mark.parametrize("moment", [0.0, WINDOW / 2, FIRST / 2, FIRST + 3 * GAP])
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
        await asyncio.sleep(FIRST + 3 * GAP)
        for task in tasks:
            task.cancel()
        left = now()
        await asyncio.wait(tasks)
        assert (server.running, now()) == (0, left)

    virtual.run(main())


FAULTS = [
    "none",
    "none",
    "400",
    "429",
    "short",
    "same",
    "outside",
    "twice",
    "junk",
    "error",
    "break0",
    "break4",
    "break9",
]
steps = st.lists(
    st.tuples(
        st.sampled_from([0.0, WINDOW / 3, WINDOW, 0.3, FIRST, 3.0]), st.sampled_from(["ask", "ask", "lone", "cancel"])
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
