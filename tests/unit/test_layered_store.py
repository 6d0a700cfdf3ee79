"""Memory before the table: what costs a read, and what another environment has recorded."""

import pytest

from subsecond.stores.layered.answers import LayeredStore
from subsecond.stores.memory.answers import MemoryStore


class Table(MemoryStore):
    """Counts its reads."""

    def __init__(self):
        super().__init__(1 << 20, clock=lambda: 0.0)
        self.reads = 0

    async def get(self, partition, key, form):
        self.reads += 1
        return await super().get(partition, key, form)


@pytest.fixture
def table():
    return Table()


@pytest.fixture
def environments(table):
    return [LayeredStore(MemoryStore(1 << 20, clock=lambda: 0.0), table) for _ in range(2)]


async def test_the_asked_form_in_memory_costs_no_read(environments, table, entry):
    here, there = environments
    await here.put(entry(created=0, expires=9))
    assert await here.get("acme:prod", "k", "whole")
    assert table.reads == 0
    assert [bool(await there.get("acme:prod", "k", "whole")) for _ in range(3)] == [True] * 3
    assert table.reads == 1


async def test_a_form_that_another_environment_recorded_is_found_behind_the_other_one_in_memory(
    environments, table, entry
):
    here, there = environments
    await here.put(entry(created=1, expires=9))
    await there.put(entry(created=0, expires=9, form="stream"))
    assert [(await here.get("acme:prod", "k", "stream")).recording.form for _ in range(3)] == ["stream"] * 3
    assert table.reads == 1, "then it is in memory, beside the first"
    assert (await here.get("acme:prod", "k", "whole")).recording.form == "whole"
    assert table.reads == 1


async def test_the_other_form_in_memory_serves_where_the_table_has_none(environments, table, entry):
    here, _ = environments
    await here.put(entry(created=0, expires=9))
    await table.drop("acme:prod", "k", 0)
    assert (await here.get("acme:prod", "k", "stream")).recording.form == "whole"


async def test_of_the_same_form_the_newer_one_is_got(environments, table, entry):
    """The table's reads lag behind; and a write to it may have failed."""
    here, there = environments
    await table.put(entry(created=0, expires=9, body=b"old"))
    await here._near.put(entry(created=1, expires=9, body=b"new"))
    assert (await here.get("acme:prod", "k", "stream")).recording.payloads == (b"new",)
    await there._near.put(entry(created=-1, expires=9, body=b"older"))
    assert (await there.get("acme:prod", "k", "stream")).recording.payloads == (b"old",)
