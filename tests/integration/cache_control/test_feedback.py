"""Report and explain: by one gateway, and seen by another one over the same tables."""

import asyncio
from dataclasses import replace

from subsecond.cache.false_hits import MOST
from subsecond.stores.memory.hits import MemoryHits
from tests.support.cache_control import (
    ANOTHER,
    ASKED,
    MODEL,
    PARAPHRASE,
    SETTINGS,
    answered,
    both,
    chat,
    entry_of,
    in_memory,
    unstored,
)


@both
async def test_a_reported_false_hit_is_not_repeated_by_any_environment(pair):
    _, key = await pair.teach()
    hit = await unstored(pair.there, PARAPHRASE)
    assert answered(hit) == "semantic"
    assert entry_of(hit) == key
    report = {"request_id": hit.headers["x-request-id"], "verdict": "wrong"}
    # Reported to one environment, held to by the other at once: its next read is past its memory.
    seen = await pair.here.post("/v1/cache/feedback", report)
    assert (seen.status, seen.json["changed"], seen.json["negatives"]) == (200, True, 1)
    for client in (pair.there, pair.here):
        again = await unstored(client, PARAPHRASE.lower(), x_subsecond_trace="1")
        assert answered(again) == "fwd=miss"
        (judged,) = again.json["subsecond"]["judged"]
        assert judged["entry"] == key
        assert judged["says"] == "miss"
        assert judged["reasons"][0] == "reported as wrong"
        assert answered(await unstored(client, ANOTHER)) == "semantic"
        assert answered(await unstored(client, ASKED)) == "exact"


@both
async def test_a_new_answer_to_the_entrys_question_does_not_bring_the_false_hit_back(pair):
    _, key = await pair.teach()
    await pair.here.post("/v1/cache/feedback", {"entry": key, "question": PARAPHRASE, "verdict": "wrong"})
    assert answered(await pair.there.chat(ASKED, cache_control="no-cache")) == "fwd=bypass"
    for client in (pair.there, pair.here):
        assert answered(await unstored(client, PARAPHRASE)) == "fwd=miss"
    # Nor does invalidating the entry, which would otherwise delete what is known of it.
    invalidated = await pair.here.post("/v1/cache/invalidate", {"by": "entry", "value": key})
    assert invalidated.json["deleted"] is False
    assert answered(await pair.here.chat(ASKED)) == "fwd=miss"
    assert answered(await unstored(pair.here, PARAPHRASE)) == "fwd=miss"


async def test_a_report_can_be_taken_back_and_counts_once(pair):
    _, key = await pair.teach()
    await unstored(pair.here, PARAPHRASE)
    pairs = {"entry": key, "messages": chat(PARAPHRASE)["messages"]}
    for verdict, changed, rate in (("wrong", True, 1.0), ("wrong", False, 1.0), ("right", True, 0.0)):
        seen = await pair.here.post("/v1/cache/feedback", {**pairs, "verdict": verdict})
        assert seen.json["changed"] is changed
        stats = (await pair.here.send("GET", "/v1/cache/stats")).json
        assert stats["false_hit_rate_reported"] == stats["false_hits_reported"] == rate
    assert answered(await unstored(pair.there, ASKED)) == "exact"
    assert answered(await unstored(pair.here, PARAPHRASE)) == "semantic"


async def test_an_entry_that_was_reported_too_often_serves_its_own_question_alone(pair):
    _, key = await pair.teach()
    for n in range(MOST + 2):
        body = {"entry": key, "question": f"another {n}", "verdict": "wrong"}
        seen = await pair.here.post("/v1/cache/feedback", body)
        assert seen.json["negatives"] == min(n + 1, MOST)
    assert answered(await unstored(pair.there, PARAPHRASE)) == "fwd=miss"
    assert answered(await unstored(pair.there, ASKED)) == "exact"


async def test_a_hit_is_explained_by_its_request_id(pair):
    _, key = await pair.teach()
    hit = await unstored(pair.there, PARAPHRASE, x_subsecond_trace="1")
    request_id = hit.headers["x-request-id"]
    seen = (await pair.here.send("GET", f"/v1/cache/explain?request_id={request_id}")).json
    assert seen["source"] == "semantic"
    assert seen["judged"] == hit.json["subsecond"]["judged"]
    assert seen["entry"]["entry"] == key
    assert seen["entry"]["question"] == ASKED
    assert seen["reported"] is False
    await pair.here.post("/v1/cache/feedback", {"request_id": request_id, "verdict": "wrong"})
    seen = (await pair.here.send("GET", f"/v1/cache/explain?request_id={request_id}")).json
    assert seen["reported"] is True
    # An exact hit needs no note: it is its own explanation.
    exact = await unstored(pair.here, ASKED)
    missing = await pair.here.send("GET", f"/v1/cache/explain?request_id={exact.headers['x-request-id']}")
    assert (missing.status, missing.json["error"]["code"]) == (404, "hit_not_found")


async def test_who_reports_at_once_waits_for_the_note(served):
    """It is written after the answer's last byte."""

    class Late(MemoryHits):
        async def note(self, partition, hit):
            await asyncio.sleep(0.15)
            await super().note(partition, hit)

    hits = Late()
    # On one connection the server would answer the next request after the note.
    here, there = [await served(SETTINGS, gateway=replace(made, hits=hits)) for made in in_memory()]
    await here.chat(ASKED)
    hit = await here.chat(PARAPHRASE)
    report = {"request_id": hit.headers["x-request-id"], "verdict": "wrong"}
    assert (await there.post("/v1/cache/feedback", report)).status == 200


async def test_an_entry_is_explained_and_judged_for_a_question(pair):
    await pair.here.chat(ASKED, subsecond={"tags": ["accounts", "help"], "ttl": 600})
    key = entry_of(await pair.here.chat(ASKED))
    seen = (await pair.here.send("GET", f"/v1/cache/explain?entry={key}")).json
    assert (seen["entry"], seen["question"], seen["tags"]) == (key, ASKED, ["accounts", "help"])
    assert (seen["asked_model"], seen["negatives"], seen["invalidated"]) == (MODEL, 0, False)
    assert 0 <= seen["age"] < 60
    assert 500 < seen["expires_in"] <= 600
    assert "verdict" not in seen

    async def verdict(question):
        path = f"/v1/cache/explain?entry={key}&question={question}"
        return (await pair.here.send("GET", path)).json["verdict"]

    near, far = await verdict(PARAPHRASE), await verdict("Why is the sky blue?")
    assert near["says"] == "hit"
    assert near["similarity"] > 0.9
    assert near["reasons"]
    assert far["says"] == "miss"
    assert far["similarity"] < 0.8
    other = chat(PARAPHRASE, temperature=0.5)
    seen = (await pair.here.post(f"/v1/cache/explain?entry={key}", other)).json["verdict"]
    assert (seen["says"], seen["same_scope"]) == ("hit", False)
    seen = (await pair.here.post(f"/v1/cache/explain?entry={key}", chat(PARAPHRASE))).json["verdict"]
    assert seen["same_scope"] is True


async def test_a_question_is_explained_without_asking_the_model_or_storing(pair):
    async def explained(text, **fields):
        seen = await pair.here.post("/v1/cache/explain", chat(text, **fields))
        assert seen.status == 200
        return seen.json

    before = await explained(ASKED)
    assert (before["source"], before["entry"], before["stored_for"]) == ("upstream", None, 86_400)
    await pair.here.chat(ASKED)
    calls = (await pair.here.send("GET", "/v1/cache/stats")).json["upstream_calls"]
    exact = await explained(ASKED)
    assert exact["source"] == "exact"
    assert exact["entry"]["entry"] == exact["key"] == before["key"]
    similar = await explained(PARAPHRASE)
    assert similar["source"] == "semantic"
    assert similar["entry"]["question"] == ASKED
    assert similar["judged"][0]["says"] == "hit"
    assert similar["reasons"] == similar["judged"][0]["reasons"]
    far = await explained("Why is the sky blue?")
    assert far["source"] == "upstream"
    assert far["judged"] == []
    assert far["nearest"][0]["similarity"] < 0.8
    for fields, word in (({"subsecond": {"similar": False}}, "similar"), ({"use_cache": False}, "forbids")):
        refused = await explained(PARAPHRASE, **fields)
        assert refused["source"] == "upstream"
        assert word in refused["reasons"][0]
    stats = (await pair.here.send("GET", "/v1/cache/stats")).json
    assert (stats["upstream_calls"], stats["hits"]["semantic"]) == (calls, 0)
    text = await pair.here.post("/v1/cache/explain", {"prompt": "Hi"})
    assert text.json["source"] == "upstream"
