"""Stream records as they come, in Lambda's form and in boto3's, and everything that they must not be."""

import base64
import copy
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.semantic.index.records import Poisoned, changes_of, sequence_of
from subsecond.semantic.index.segments import IndexId
from subsecond.semantic.index.vectors import pack

KEY, SCOPE = "ab" * 32, "cd" * 32


@pytest.fixture
def item(unit):
    return {
        "pk": {"S": f"acme:prod#{KEY}"},
        "scope": {"S": SCOPE},
        "text": {"S": "How?"},
        "whole": {"B": b"zip"},
        "whole_created": {"N": "1700000000.123457"},
        "whole_expires": {"N": "1700086400"},
        "vector": {"B": pack(unit(1)[0])},
        "embedder": {"S": "hashing-16"},
        "created": {"N": "1700000000.123457"},
        "expires": {"N": "1700086400"},
    }


def record(new=None, old=None):
    images = {name: image for name, image in (("NewImage", new), ("OldImage", old)) if image}
    name = "REMOVE" if not new else "MODIFY" if old else "INSERT"
    return {"eventName": name, "dynamodb": {"SequenceNumber": "7", "Keys": {}, **images}}


def test_an_insert_is_a_row(item, index_id, unit):
    ((where, change),) = changes_of(record(item))
    assert where == index_id
    assert (change.key.hex(), change.scope.hex()) == (KEY, SCOPE)
    assert (change.created, change.expires, change.used) == (1_700_000_000_123_457, 1_700_086_400, 0)
    assert change.row.tobytes() == pack(unit(1)[0])


def test_lambdas_base64_is_read(item):
    coded = {**item, "vector": {"B": base64.b64encode(item["vector"]["B"]).decode()}}
    assert changes_of(record(coded))[0][1].row.tobytes() == item["vector"]["B"]


def test_a_remove_is_a_deletion_of_that_version(item, index_id):
    ((where, change),) = changes_of(record(old=item))
    assert (where, change.row, change.used) == (index_id, None, 0)
    assert change.version == 2 * 1_700_000_000_123_457 + 1


def test_a_modify_in_the_same_place_is_a_row(item):
    newer = {**item, "created": {"N": "1700000001"}, "used": {"N": "1700000009"}}
    ((_, change),) = changes_of(record(newer, item))
    assert (change.created, change.used) == (1_700_000_001_000_000, 1_700_000_009)


def test_the_other_form_is_the_same_row_and_a_newer_one_dates_it_anew(item, index_id):
    """Both forms are one question: what the index knows of it is the item's."""
    beside = {**item, "stream": {"B": b"zip"}, "stream_created": {"N": "1600000000"}, "stream_expires": {"N": "5"}}
    ((where, change),) = changes_of(record(beside, item))
    assert (where, change.created, change.expires) == (index_id, 1_700_000_000_123_457, 1_700_086_400)
    newer = {**beside, "stream_created": {"N": "1700000001"}, "created": {"N": "1700000001"}}
    ((where, change),) = changes_of(record(newer, item))
    assert (where, change.created, change.row is None) == (index_id, 1_700_000_001_000_000, False)


def test_another_embedder_moves_the_row(item, index_id):
    moved = {**item, "embedder": {"S": "new"}}
    (added, removed) = changes_of(record(moved, item))
    assert added[0] == IndexId("acme:prod", "new", 16)
    assert added[1].row is not None
    assert (removed[0], removed[1].row) == (index_id, None)
    assert removed[1].created == added[1].created


def test_an_answer_that_is_no_longer_compared_is_deleted_up_to_its_own_date(item):
    plain = {name: value for name, value in item.items() if name not in ("vector", "embedder")}
    plain["created"] = {"N": "1700000005"}
    ((_, change),) = changes_of(record(plain, item))
    assert (change.row, change.created) == (None, 1_700_000_005_000_000)


def test_items_without_a_vector_are_not_for_the_index(item):
    plain = {name: value for name, value in item.items() if name != "vector"}
    assert changes_of(record(plain)) == []
    assert changes_of(record(old=plain)) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pk", {"S": "acme:prod"}),
        ("pk", {"S": f"acme:prod#{KEY[:-2]}"}),
        ("pk", {"S": f"#{KEY}"}),
        ("pk", {"N": "5"}),
        ("scope", {"S": "zz" * 32}),
        ("scope", None),
        ("vector", {"B": b""}),
        ("vector", {"B": b"\0" * 32}),
        ("vector", {"B": b"\1" * 33}),
        ("vector", {"B": "no base64!"}),
        ("vector", {"B": 5}),
        ("vector", {"B": [1, 2]}),
        ("vector", {"S": "x"}),
        ("embedder", {"S": ""}),
        ("embedder", {"S": "x" * 900}),
        ("created", {"N": "-1"}),
        ("created", {"N": "NaN"}),
        ("created", {"N": "Infinity"}),
        ("created", {"N": "1e300"}),
        ("created", {"N": "soon"}),
        ("expires", {"N": "-4"}),
        ("expires", {"N": "1e999999999"}),
        ("used", {"N": "x"}),
    ],
)
def test_a_poisoned_item_is_told_from_a_failure(item, field, value):
    with pytest.raises(Poisoned):
        changes_of(record({**item, field: value}))
    assert changes_of(record(old={**item, field: value})) == [], "what was never indexed needs no deletion"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("SNBpk"), inner, max_size=3),
)


@given(
    st.recursive(
        json_values,
        lambda inner: st.dictionaries(
            st.sampled_from(["dynamodb", "NewImage", "OldImage", "vector", "embedder", "pk", "SequenceNumber"]), inner
        ),
        max_leaves=12,
    )
)
def test_no_record_raises_anything_else(strange):
    for read in (changes_of, sequence_of):
        with suppress(Poisoned):
            read(strange)


def test_reading_changes_nothing(item):
    before = copy.deepcopy(item)
    changes_of(record(item, item))
    assert item == before
