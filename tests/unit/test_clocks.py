"""A time of asking in a system text is found in any zone and usual form; times that are content stay."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.cache.cacheability import CLOCK_LIFE, lifetime
from subsecond.cache.clock_misses import REMEMBERED, ClockMisses, told
from subsecond.cache.clocks import LONGEST, MASK, clocks_in, spans
from subsecond.cache.key import KeyPolicy, KeyTerms, prepare
from subsecond.config import Settings
from subsecond.model import Call, Tenant

ACME = Tenant("acme", "prod", "app")
# A Sunday, at a minute that no timetable has.
NOW = datetime(2026, 11, 29, 20, 23, 16, 451_000, UTC)
FORMS = [
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%dT%H:%M:%S.%f+00:00",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%A, %B %d, %Y at %I:%M %p",
    "%B %d, %Y, %I:%M:%S %p",
    "%b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)",
    "%a %b %d %H:%M:%S %Y",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%m/%d/%Y, %I:%M:%S %p",
    "%d/%m/%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d. November %Y um %H:%M",
    "%d de noviembre de %Y, %H:%M",
    "%d novembre %Y à %H:%M",
]


def shown(form, moment=NOW):
    return moment.strftime(form)


def masked(text, arrival=NOW):
    for start, end in reversed(spans(text, arrival.timestamp())):
        text = text[:start] + MASK + text[end:]
    return text


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("words", ["You are a helpful assistant. It is {}.", "{}\nYou are brief.", "Be kind.\n\n[{}]"])
def test_usual_forms_are_found(form, words):
    one, other = (masked(words.format(shown(form, moment)), moment) for moment in (NOW, NOW + timedelta(minutes=7)))
    assert MASK in one
    assert one == other
    assert "2026" in one


@pytest.mark.parametrize(
    "text",
    [
        "The current time is 20:23.",
        "Current time: 8:23 PM",
        "Current time: 08:23:16 p.m.",
        "It is now 20:23 in London.",
        "Today is November 29, 2026. The time is 20:23:15.",
        "Aktuelle Uhrzeit: 21:23",
        "Hora actual: 21:23:16",
        "Es ist jetzt 21:23 Uhr.",
        "Now: 20:23Z",
        "Server clock 20:23:16+00:00",
        "timestamp=1795983796",
        '{"now": 1795983796451}',
        "now=1795983796.451",
    ],
)
def test_a_time_alone_is_found_by_its_word_or_its_zone(text):
    assert MASK in masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "We are open from 20:23 to 22:00.",
        "Opening hours today: 9:00-20:23.",
        "Opening hours: 20:23\N{EN DASH}22:23. Today's special: soup.",
        "We are currently open until 20:23.",
        "The store opens at 20:23 and closes at 22:23.",
        "Lunch is at 20:23.",
        "The train leaves on 2026-11-28 at 20:23:16.",
        "The meeting is on November 29, 2026 at 9:00 PM.",
        "The meeting is on 2025-11-29 20:23:16.",
        "Founded on November 29, 2026.",
        "Today is 2026-11-29.",
        "The current time is 20:40.",
        "Read John 20:23.",
        "The ratio is 20:23.",
        "Order 1795983796451234, phone 1795983999",
        "2026-11-29T18:23:16Z request failed",
        "::1 and 20:23:16:ab",
        "The current time is 25:23.",
    ],
)
def test_what_is_content_stays(text):
    assert masked(text) == text


def test_a_round_time_with_todays_date_wants_a_word():
    nine = datetime(2026, 11, 29, 21, 0, 30, tzinfo=UTC)
    assert MASK not in masked("The meeting is on November 29, 2026 at 9:00 PM.", nine)
    assert MASK in masked("Current date and time: November 29, 2026 at 9:00 PM.", nine)


moments = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1))  # noqa: DTZ001 -- hypothesis wants naive ones
zones = st.sampled_from([-12, -9.5, -8, -5, -3.5, 0, 1, 2, 3.5, 5.5, 5.75, 8, 9.5, 12.75, 14])


@given(moments, zones, st.integers(-30, 100), st.sampled_from(FORMS[:14]))
def test_the_time_of_asking_is_found_in_any_zone(moment, zone, ago, form):
    arrival = moment.replace(tzinfo=UTC)
    local = (arrival - timedelta(seconds=ago)).astimezone(timezone(timedelta(hours=zone)))
    explicit = "Z" in form or "+00" in form or "GMT" in form
    said = f"Current date and time: {(local.astimezone(UTC) if explicit else local).strftime(form)}."
    assert MASK in masked(said, arrival)
    assert MASK in masked(f"It is {format_datetime(local)}", arrival)
    assert MASK in masked(f"It is {local.isoformat()}", arrival)


@given(moments, st.integers(181, 40_000), st.sampled_from(["%Y-%m-%dT%H:%M:%SZ", "%a, %d %b %Y %H:%M:%S GMT"]))
def test_another_instant_is_not(moment, ago, form):
    arrival = moment.replace(tzinfo=UTC)
    for other in (arrival - timedelta(seconds=ago), arrival + timedelta(seconds=ago)):
        assert MASK not in masked(f"Now: {other.strftime(form)}", arrival)


@given(moments, st.integers(4, 26))
def test_another_minute_is_not_in_any_zone(moment, ago):
    """Zones lie half an hour apart, but for three."""
    arrival = moment.replace(tzinfo=UTC, second=30)
    other = arrival - timedelta(minutes=ago)
    found = masked(f"Now: {other.strftime('%Y-%m-%d %H:%M:%S')}", arrival)
    assert (MASK in found) <= (12 <= ago <= 19)


def test_only_system_texts_are_looked_at_and_a_text_of_parts_is_one_by_one():
    said = f"Now: {shown(FORMS[0])}"
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}, {"type": "text", "text": said}]},
        {"role": "user", "content": said},
        {"role": "system", "content": "x" * 100 + said},
        {"role": "assistant", "content": said},
    ]
    found = clocks_in("chat", {"messages": messages}, NOW.timestamp())
    assert [(one.where, one.start, one.place) for one in found] == [
        ("messages[0]", 16, "end"),
        ("messages[2]", 116, "end"),
    ]
    assert clocks_in("text", {"prompt": said}, NOW.timestamp()) == []
    assert clocks_in("chat", {"messages": [{"role": "system", "content": None}]}, NOW.timestamp()) == []


def test_a_long_text_is_read_at_both_ends():
    said, filler = f" Now: {shown(FORMS[0])} ", "a" * LONGEST
    assert len(spans(said + filler + said + filler + said, NOW.timestamp())) == 2


def asked(moment=NOW, *, volatile=True, system="It is {}.", **fields):
    said = {"role": "system", "content": system.format(shown(FORMS[0], moment))}
    call = Call("chat", "m", {"messages": [said, {"role": "user", "content": "Hi?"}], **fields})
    return prepare(call, ACME, KeyTerms(arrival=moment.timestamp() if volatile else None))


def test_the_time_is_masked_in_key_and_scope_where_the_owner_says_so():
    later = NOW + timedelta(minutes=7)
    assert asked() == asked(later)
    assert asked().clocks
    assert asked(volatile=False).key != asked(later, volatile=False).key
    assert asked(volatile=False).scope != asked(later, volatile=False).scope
    assert asked(system=f"It is {MASK}.").key not in {asked().key, asked(volatile=False).key}
    assert asked(system="No time.") == asked(volatile=False, system="No time.")


def test_what_is_sent_keeps_its_time():
    messages = [{"role": "system", "content": shown(FORMS[0])}, {"role": "user", "content": "Hi?"}]
    body = {"messages": messages}
    prepare(Call("chat", "m", body), ACME, KeyTerms(arrival=NOW.timestamp()))
    assert messages[0]["content"] == shown(FORMS[0])


def test_such_an_answer_lives_for_an_hour_at_most():
    call = Call("chat", "m", {})
    assert lifetime(Settings(), call, asked()) == CLOCK_LIFE == 3_600
    assert lifetime(Settings(ttl=60), call, asked()) == 60
    assert lifetime(Settings(), call, asked(volatile=False)) == Settings().ttl
    assert lifetime(Settings(), call, asked(system="No time.")) == Settings().ttl


def test_a_key_has_a_word_of_its_own():
    words = [("off", "clock", True), ("clock", "off", False), ("clock", "", True), ("off", "", False)]
    for policy, own, masks in words:
        terms = KeyPolicy(volatile=policy).terms("m", replace(ACME, volatile=own))
        assert (terms.arrival is not None) == masks


def test_misses_that_the_time_alone_made_are_counted():
    seen = ClockMisses()
    assert [seen.is_repeated("a", at) for at in (0, 10, CLOCK_LIFE + 10, 3 * CLOCK_LIFE)] == [False, True, True, False]
    for n in range(REMEMBERED):
        assert not seen.is_repeated(f"k{n}", 3 * CLOCK_LIFE)
    assert not seen.is_repeated("a", 3 * CLOCK_LIFE)


def test_the_statistics_say_what_it_costs_and_where_it_stands():
    counts = {"clock_misses": 3, "clock_at_end": 4, "clock_at_middle": 1}
    assert told(counts, 12) == {"misses": 3, "share_of_misses": 0.25, "at": {"middle": 1, "end": 4}}
    assert told({}, 0) == {"misses": 0, "share_of_misses": None, "at": {}}
