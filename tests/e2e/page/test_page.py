"""The page as a person sees it, in a headless Chromium against the gateway on a socket."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from dataclasses import replace

import pytest

from subsecond.bootstrap import checker, gateway
from subsecond.config import Settings
from subsecond.semantic.verification.accuracy import Accuracy
from subsecond.semantic.verification.learned import Learned
from subsecond.semantic.verification.queue import Queue

# One loop for the module, and one browser; each test has a tab with a storage of its own.
pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "sk-page"
SETTINGS = Settings(
    upstream="subsecond_local.simulator.adapter",
    api_key=KEY,
    semantic="threshold",
    similarity=0.5,
    embedder="hashing",
    upstream_retries=0,
)
MODEL = "sim-t20-i1-n16"
HOSTILE = '<img src=x onerror="window.hacked=1"> </script><script>window.hacked=1</script> how do I pay my bill?'
SEEN = "document.getElementById({id!r}).textContent"


def ask(base, text, model=MODEL):
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": text}]}).encode()
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(f"{base}/v1/chat/completions", body, headers), timeout=20) as reply:
        return reply.headers


async def asked(base, *texts):
    return [await asyncio.to_thread(ask, base, text) for text in texts]


async def enter(page, base, key=KEY):
    await page.open(f"{base}/dashboard")
    await page.until("document.activeElement !== null && !document.getElementById('enter').hidden")
    await page.run("document.getElementById('key').focus()")
    await page.type(key)
    await page.press("Enter")


async def shown(page, base):
    await enter(page, base)
    await page.until("document.querySelectorAll('#tiles .tile').length === 8")


def text(name):
    return SEEN.format(id=name)


async def test_the_page_shows_true_figures_and_asks_nobody_else(page, serve):
    async with serve(SETTINGS) as base:
        await asked(base, "one", "one", "one", "two of a kind")
        await shown(page, base)
        tiles = await page.run(text("tiles"))
        assert "50.0 %hit rate2 of 4" in tiles
        assert "4requests in 24 hours" in tiles
        last = await page.run(text("last"))
        assert last.count("req_") == 4
        assert "exact hit" in last
        assert "default" in await page.run(text("keys"))
        assert "Subsecond 0." in await page.run(text("state"))
        assert "0errors" in tiles
        assert MODEL in await page.run(text("health"))
        for step in ("exact", "upstream", "semantic"):
            assert step in await page.run(text("steps"))
        assert await page.run("document.querySelectorAll('#rate rect').length") == 1
        assert await page.run("document.querySelectorAll('#latency circle').length") == 4
        before = len(page.requests)
        for _ in range(4):  # each "Go on" looks at once
            await page.run("document.getElementById('pause').click()")
        await page.until("document.querySelectorAll('#live path').length")
        assert len(page.requests) > before
        assert {url.split("/", 3)[2] for url in page.requests if not url.startswith("data:")} == {base.split("/")[2]}
        assert page.complaints == []


async def test_wrong_pairs_stand_side_by_side_with_a_button_each_way(page, serve):
    chosen = replace(SETTINGS, semantic="verified", embedder="static", judge="sim-t0-i0-n1", check_texts="on")
    chosen = replace(chosen, max_error=0.3, check_share=1.0)
    stored, asked_as = "How do I reset my password?", "How can I reset my password?"
    made = gateway(chosen)
    # Past the trial, in which nothing would be served.
    await Queue(lambda: made.checks.objects).save("local:default", Learned(Accuracy(0.3, 0.8)), None)
    async with serve(chosen, made) as base:
        await asked(base, "Does anybody load the stage?", stored, asked_as)
        found = checker(made)
        while not found.counts["checked"]:  # the sample is written after the answer's last byte
            await found.run()
        await shown(page, base)
        assert "Of 1 checked, 1 were called wrong" in await page.run(text("promise"))
        pair = await page.run(text("wrong"))
        assert stored in pair
        assert asked_as in pair
        assert await page.run("document.querySelectorAll('#accuracy circle').length") == 1
        for number, words in enumerate(("Reported", "No report")):
            await page.run(f"document.querySelectorAll('#wrong button')[{number}].click()")
            await page.until(f"{text('wrong')}.includes({words!r})")
        assert page.complaints == []


async def test_a_wrong_key_is_told_and_none_is_kept(page, serve):
    async with serve(SETTINGS) as base:
        await enter(page, base, "sk-wrong")
        await page.until(f"{text('refused')}.includes('unknown')")
        assert await page.run("sessionStorage.length") == 0
        assert await page.run("document.activeElement.id") == "key"
        await page.type(KEY)
        await page.press("Enter")
        await page.until("document.querySelectorAll('#tiles .tile').length === 8")
        # The key is this tab's, and survives its reload.
        await page.send("Page.reload")
        await page.until("document.querySelectorAll('#tiles .tile').length === 8")
        await page.run("document.getElementById('leave').click()")
        assert await page.run("sessionStorage.length") == 0
        assert await page.run("document.getElementById('figures').hidden")


@pytest.mark.parametrize("key", ["sk-schlüssel", "sk-\u201cquoted\u201d", "two words", " "])
async def test_a_key_that_no_header_can_carry_is_told_and_sent_nowhere(page, serve, key):
    async with serve(SETTINGS) as base:
        await enter(page, base, key)
        await page.until(f"{text('refused')}.includes('no valid key')")
        assert await page.run("sessionStorage.length") == 0
        assert not [url for url in page.requests if "/v1/" in url]


async def test_the_playground_streams_and_shows_its_trace(page, serve):
    async with serve(SETTINGS) as base:
        await shown(page, base)
        await page.run(f"document.getElementById('model').value = '{MODEL}'")
        await page.run("document.getElementById('question').focus()")
        await page.type("What is slow?")
        await page.run(
            "window.lengths = []; const node = document.getElementById('answer');"
            "new MutationObserver(() => lengths.push(node.textContent.length)).observe(node, {childList: true}); 0"
        )
        for _ in range(5):
            await page.press("Tab")
            if await page.run("document.activeElement.id") == "send":
                break
        await page.press("Enter")
        await page.until(f"{text('outcome')}.includes('First text after')")
        lengths = await page.run("lengths.filter((n) => n > 0)")
        assert len(set(lengths)) > 2  # it grew before the eyes
        assert "asked the model" in await page.run(text("trace"))
        assert "fwd=miss" in await page.run(text("outcome"))
        await page.run("document.getElementById('send').click()")
        await page.until(f"{text('trace')}.includes('the same request was stored')")
        assert page.complaints == []


async def test_a_refusal_in_the_playground_is_told(page, serve):
    async with serve(SETTINGS) as base:
        await shown(page, base)
        for name, value in (("model", "nobody"), ("question", "x")):
            await page.run(f"document.getElementById('{name}').value = '{value}'")
        await page.run("document.getElementById('send').click()")
        await page.until(f"{text('outcome')}.includes('nobody')")
        assert not await page.run("document.getElementById('send').disabled")


async def test_a_false_hit_is_reported_from_the_page_and_hostile_text_stays_text(page, serve):
    async with serve(SETTINGS) as base:
        other = HOSTILE + " please"
        headers = await asked(base, HOSTILE, other)
        assert "detail=semantic" in headers[1]["cache-status"]
        await shown(page, base)
        await page.until("document.querySelectorAll('#recent .hit').length === 1")
        await page.run("document.querySelectorAll('#recent button')[0].click()")
        await page.until("document.querySelector('#recent q')")
        assert await page.run("document.querySelector('#recent q').textContent") == HOSTILE
        await page.run("document.querySelectorAll('#recent button')[1].click()")
        await page.until(f"{text('recent')}.includes('Reported')")
        assert "hit" not in (await asked(base, other))[0]["cache-status"].split(";")[1]
        await page.run("document.querySelectorAll('#recent button')[1].click()")
        await page.until(f"{text('recent')}.includes('Taken back')")
        assert await page.run("document.querySelectorAll('img').length") == 0
        assert await page.run("window.hacked === undefined")


async def test_the_policy_would_stop_what_slipped_through(page, serve):
    async with serve(SETTINGS) as base:
        await page.open(f"{base}/dashboard")
        refused = await page.run(
            "(() => { try { document.body.innerHTML = '<b>x</b>' } catch (e) { return e.name } })()"
        )
        assert refused == "TypeError"
        assert await page.run("fetch('http://127.0.0.1:9/').then(() => 'went', () => 'stopped')") == "stopped"
        assert any("Content Security Policy" in str(one) for one in page.complaints)


@pytest.mark.parametrize(("dark", "width"), [(False, 1120), (True, 1120), (False, 360), (True, 360)])
async def test_light_dark_and_on_a_phone(page, serve, dark, width):
    async with serve(SETTINGS) as base:
        await asked(base, "one", "one")
        await page.looks(dark=dark, width=width)
        await shown(page, base)
        await page.until("document.querySelector('#health table')")
        assert await page.run("document.documentElement.scrollWidth <= innerWidth")
        colour = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
        assert (sum(await page.run(colour)) < 200) == dark
        assert await page.run(CONTRASTS) == []


# Texts whose contrast with what lies behind them is below WCAG's 4.5:1.
CONTRASTS = """
(() => {
  const part = (c) => { c /= 255; return c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4 };
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => .2126 * part(r) + .7152 * part(g) + .0722 * part(b);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const found = numbers(getComputedStyle(node).backgroundColor);
      if (found[3] !== 0) return found;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const node of document.querySelectorAll("main *, header *")) {
    const own = [...node.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim());
    if (!own || !node.getClientRects().length || node.disabled) continue;
    const style = getComputedStyle(node), svg = node instanceof SVGElement;
    const [one, two] = [light(numbers(svg ? style.fill : style.color)), light(behind(node))];
    const ratio = (Math.max(one, two) + .05) / (Math.min(one, two) + .05);
    if (ratio < 4.5) bad.push(`${node.tagName} ${node.textContent.slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return bad;
})()
"""


async def test_the_range_changes_the_charts_and_what_is_asked(page, serve):
    async with serve(SETTINGS) as base:
        await asked(base, "one", "one")
        await shown(page, base)
        assert await page.run("document.querySelectorAll('#rate rect').length") == 1
        await page.run("document.getElementById('range').value = '720'")
        await page.run("document.getElementById('range').dispatchEvent(new Event('change'))")
        await page.until(f"{text('tiles')}.includes('requests in 30 days')")
        assert any("hours=720" in url for url in page.requests)
        assert "by day" in await page.run("document.querySelector('#rate svg').getAttribute('aria-label')")
        assert await page.run("document.querySelectorAll('#rate rect').length") == 1
        assert page.complaints == []


async def test_requests_that_failed_are_named_by_their_id(page, serve):
    async with serve(SETTINGS) as base:
        with pytest.raises(urllib.error.HTTPError) as refused:
            await asyncio.to_thread(ask, base, "x", "no-such-model")
        refused.value.close()
        await shown(page, base)
        failed = await page.run(text("failed"))
        assert refused.value.headers["x-request-id"] in failed
        assert "404" in failed
        assert page.complaints == []


@pytest.mark.parametrize("dialect", ["responses", "messages"])
async def test_the_playground_speaks_every_dialect(page, serve, dialect):
    async with serve(SETTINGS) as base:
        await shown(page, base)
        await page.run(f"document.getElementById('dialect').value = {dialect!r}")
        await page.run(f"document.getElementById('model').value = {MODEL!r}")
        await page.run("document.getElementById('question').value = 'Does it rain?'")
        await page.run("document.getElementById('send').click()")
        await page.until(f"{text('outcome')}.includes('First text after')")
        assert "broke off" not in await page.run(text("outcome"))
        assert len((await page.run(text("answer"))).split()) >= 8
        await page.until(f"{text('trace')}.includes('asked the model')")
        assert page.complaints == []
