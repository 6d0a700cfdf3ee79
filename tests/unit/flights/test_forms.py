"""Whole and streamed requests for the same answer at the same time."""

import asyncio

import pytest

from subsecond.errors import UpstreamUnreachable
from subsecond.model import Chunk, Done, Head


def run(worlds, story):
    return worlds.virtually(story())


def test_a_whole_request_joins_a_running_stream(worlds):
    async def story():
        world = worlds.World()
        made, _ = world.environment()
        stream = asyncio.create_task(world.ask(made))
        await asyncio.sleep(1.2)
        whole = await world.ask(made, form="whole")
        assert (await stream).done
        assert (world.model.calls, world.model.forms) == (1, ["stream"])
        assert [type(event) for event in whole.events] == [Head, Done]
        assert (whole.trace.source, whole.events[-1].recording.form, whole.text) == ("coalesced", "whole", worlds.whole)

    run(worlds, story)


def test_a_stream_never_joins_a_whole_call(worlds):
    async def story():
        world = worlds.World()
        made, _ = world.environment()
        whole = asyncio.create_task(world.ask(made, form="whole"))
        await asyncio.sleep(0.2)
        stream = await world.ask(made)
        assert sorted(world.model.forms) == ["stream", "whole"]
        assert stream.streamed == (await whole).text == worlds.whole
        assert stream.trace.source == "upstream"

    run(worlds, story)


@pytest.mark.parametrize("at", [0, 3, 7])
def test_a_whole_request_asks_for_itself_at_the_first_event_that_does_not_convert(worlds, at):
    class Odd(worlds.Model):
        def steps(self, number):
            said = 0
            for step in super().steps(number):
                odd = isinstance(step, bytes) and (said := said + 1) == at + 1
                yield step.replace(b'"index"', b'"unheard_of": 1, "index"') if odd else step

    async def story():
        world = worlds.World(Odd())
        made, _ = world.environment()
        stream = asyncio.create_task(world.ask(made))
        await asyncio.sleep(0.5)
        whole = await world.ask(made, form="whole")
        assert (await stream).done
        assert world.model.forms == ["stream", "whole"]
        # Not at the stream's end: at the event.
        assert whole.times[-1] < 0.5 + 1.0 + (at + 1) * 0.1 + 1.9
        assert (whole.head.source, whole.text) == ("upstream", worlds.whole)

    run(worlds, story)


def test_several_whole_requests_share_one_whole_call(worlds):
    async def story():
        world = worlds.World()
        made, _ = world.environment()
        found = await asyncio.gather(*(world.ask(made, form="whole") for _ in range(9)))
        assert world.model.forms == ["whole"]
        assert {told.text for told in found} == {worlds.whole}
        assert {tuple(event.data for event in told.events if isinstance(event, Chunk)) for told in found} == {
            found[0].events[-1].recording.payloads
        }

    run(worlds, story)


def test_whole_and_stream_wait_for_leases_of_their_own(worlds):
    async def story():
        world = worlds.World()
        (one, _), (other, _) = world.environment("one"), world.environment("other")
        found = await asyncio.gather(
            *(world.ask(made, form=form) for made in (one, other) for form in ("whole", "stream"))
        )
        # In one environment the whole request may find the stream's flight only where that was there first.
        assert sorted(set(world.model.forms)) == ["stream", "whole"]
        assert all(told.done for told in found)

    run(worlds, story)


def test_a_stream_that_fails_leaves_the_whole_request_to_ask_for_itself(worlds):
    async def story():
        world = worlds.World(worlds.Model(failures=1, after=2))
        made, _ = world.environment()
        stream = asyncio.create_task(world.ask(made))
        await asyncio.sleep(0.5)
        whole = await world.ask(made, form="whole")
        assert isinstance((await stream).error, UpstreamUnreachable)
        assert (world.model.forms, whole.text) == (["stream", "whole"], worlds.whole)

    run(worlds, story)
