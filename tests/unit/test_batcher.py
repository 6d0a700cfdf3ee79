"""Questions asked together: the seed's batcher hung for ever, made a lone caller wait, and let one call block all."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subsecond.aio.batcher import Batcher, ShortReply


class Doubling:
    """Answers 2 n; remembers its calls; holds them until `open` is set."""

    def __init__(self):
        self.calls = []
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, questions):
        self.calls.append(list(questions))
        await self.open.wait()
        if "bad" in questions:
            raise ValueError("bad question")
        return [question * 2 for question in questions if question != "short"]


async def turns(number=5):
    for _ in range(number):
        await asyncio.sleep(0)


async def test_what_is_asked_in_the_same_moment_is_one_call_and_the_replies_keep_their_order():
    doubling = Doubling()
    batcher = Batcher(doubling, most=10)
    assert await asyncio.gather(*(batcher.ask(n) for n in range(7))) == [0, 2, 4, 6, 8, 10, 12]
    assert doubling.calls == [[0, 1, 2, 3, 4, 5, 6]]


async def test_fault_61_a_lone_question_waits_for_no_window():
    doubling = Doubling()
    batcher = Batcher(doubling, most=10)
    asked = asyncio.create_task(batcher.ask(1))
    await turns(3)
    assert doubling.calls == [[1]]
    assert await asked == 2


async def test_a_call_holds_no_more_than_its_most():
    doubling = Doubling()
    batcher = Batcher(doubling, most=3)
    await asyncio.gather(*(batcher.ask(n) for n in range(7)))
    assert [len(call) for call in doubling.calls] == [3, 3, 1]


async def test_fault_62_a_call_that_takes_long_does_not_hold_up_the_next():
    doubling = Doubling()
    doubling.open.clear()
    batcher = Batcher(doubling, most=1, at_once=2)
    asked = [asyncio.create_task(batcher.ask(n)) for n in range(4)]
    await turns()
    assert doubling.calls == [[0], [1]]  # side by side, and not without a bound
    doubling.open.set()
    assert await asyncio.gather(*asked) == [0, 2, 4, 6]


async def test_fault_59_a_cancelled_caller_does_not_stop_the_others():
    doubling = Doubling()
    doubling.open.clear()
    batcher = Batcher(doubling, most=10)
    asked = [asyncio.create_task(batcher.ask(n)) for n in range(3)]
    await turns()
    asked[1].cancel()
    doubling.open.set()
    assert await asyncio.gather(asked[0], asked[2]) == [0, 4]
    assert await batcher.ask(5) == 10


async def test_who_is_cancelled_before_the_call_is_not_asked_for():
    doubling = Doubling()
    batcher = Batcher(doubling, most=10)
    asked = asyncio.create_task(batcher.ask(1))
    await asyncio.sleep(0)
    asked.cancel()
    assert await batcher.ask(2) == 4
    assert doubling.calls == [[2]]


async def test_fault_60_a_reply_too_short_is_an_error_for_all_and_no_wait_for_ever():
    batcher = Batcher(Doubling(), most=10)
    replies = await asyncio.gather(*(batcher.ask(q) for q in ("a", "short", "b")), return_exceptions=True)
    assert [type(reply) for reply in replies] == [ShortReply] * 3
    assert await batcher.ask("c") == "cc"


async def test_an_error_reaches_those_who_shared_the_call_and_nobody_later():
    batcher = Batcher(Doubling(), most=2)
    replies = await asyncio.gather(*(batcher.ask(q) for q in ("a", "bad", "b", "c")), return_exceptions=True)
    assert [type(reply) for reply in replies] == [ValueError, ValueError, str, str]


async def test_fault_63_an_error_in_one_place_is_for_that_caller_alone():
    async def together(questions):
        return [ValueError("bad") if question == "bad" else question for question in questions]

    batcher = Batcher(together, most=10)
    replies = await asyncio.gather(*(batcher.ask(q) for q in ("a", "bad", "b")), return_exceptions=True)
    assert [replies[0], type(replies[1]), replies[2]] == ["a", ValueError, "b"]


@pytest.mark.parametrize("late", [False, True])
async def test_when_the_call_itself_is_cancelled_the_callers_are_told(late):
    doubling = Doubling()
    doubling.open.clear()
    batcher = Batcher(doubling, most=10)
    asked = asyncio.create_task(batcher.ask(1))
    await turns()
    for task in list(batcher._running):
        task.cancel()
    with pytest.raises(ShortReply):
        await asked
    if late:
        doubling.open.set()
        assert await batcher.ask(2) == 4


@given(st.lists(st.sampled_from(["ask", "cancel", "turn", "hold", "free"]), max_size=40), st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_whatever_the_order_everybody_who_waits_is_answered_right(steps, most):
    async def run():
        doubling = Doubling()
        batcher = Batcher(doubling, most=most, at_once=2)
        asked = []
        for step in steps:
            if step == "ask":
                asked.append(asyncio.create_task(batcher.ask(len(asked))))
            elif step == "cancel" and asked:
                asked[len(asked) // 2].cancel()
            elif step == "turn":
                await asyncio.sleep(0)
            elif step in ("hold", "free"):
                doubling.open.clear() if step == "hold" else doubling.open.set()
        doubling.open.set()
        replies = await asyncio.gather(*asked, return_exceptions=True)
        for number, reply in enumerate(replies):
            assert isinstance(reply, asyncio.CancelledError) or reply == 2 * number
        assert max(map(len, doubling.calls), default=0) <= most

    asyncio.run(run())
