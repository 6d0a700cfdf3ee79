// Everything that is shown came from somebody: it becomes text, never markup. The page's Content-Security-Policy
// (Trusted Types) forbids the ways in which text could become more.
const EVERY = 5000; // ms between two looks at the figures
const RARELY = 300000; // as EVERY, for a month: a look then reads a few MB of the table
const MOST_POINTS = 120;
const FEW = 5; // recent hits that are shown unfolded
const STEPS = ["authenticate", "parse", "prepare", "exact", "flight", "embed", "semantic", "route", "optimise", "upstream", "store", "record"];
const $ = (id) => document.getElementById(id);
const base = document.querySelector("meta[name=subsecond-base]").content || location.origin;
let key = sessionStorage.getItem("subsecond-key") || "";
let paused = false, last = null, before = null, points = [], asking = null, timer = 0;

// Elements.

function put(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "on") for (const [event, work] of Object.entries(value)) node.addEventListener(event, work);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat()) if (child !== null && child !== undefined) node.append(child);
  return node;
}
const make = (tag, attributes, ...children) => put(document.createElement(tag), attributes, children);
const draw = (tag, attributes, ...children) =>
  put(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
// What is open stays open when the figures come anew.
function fill(node, ...children) {
  const open = [...node.querySelectorAll("details")].map((one) => one.open);
  node.replaceChildren(...children.flat().filter((child) => child !== null));
  node.querySelectorAll("details").forEach((one, at) => { one.open = open[at] || false; });
}

function table(heads, rows, none) {
  if (!rows.length) return make("p", { class: "hint" }, none || "Nothing yet.");
  const cell = (value) => (value instanceof HTMLTableCellElement ? value : make("td", {}, value));
  return make("table", {},
    make("thead", {}, make("tr", {}, heads.map((head) => make("th", { scope: "col" }, head)))),
    make("tbody", {}, rows.map((row) => make("tr", {}, row.map(cell)))));
}
const folded = (title, content) => make("details", {}, make("summary", {}, title), content);

// Numbers.

const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const NONE = "\u2013";
const number = (n) => (n === null || n === undefined ? NONE : n < 10000 ? plain.format(n) : short.format(n));
const percent = (n) => (n === null || n === undefined ? NONE : `${(100 * n).toFixed(1)} %`);
function ms(n) {
  if (n === null || n === undefined) return NONE;
  return n >= 1000 ? `${(n / 1000).toFixed(n < 10000 ? 2 : 1)} s` : `${n.toFixed(n < 10 ? 2 : n < 100 ? 1 : 0)} ms`;
}
const bytes = (n) => (n < 1024 ? `${n} B` : n < 1048576 ? `${(n / 1024).toFixed(1)} KB` : `${(n / 1048576).toFixed(1)} MB`);
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString();
function price(money, n) {
  try { return new Intl.NumberFormat("en", { style: "currency", currency: money.currency, maximumFractionDigits: n && Math.abs(n) < 1 ? 4 : 2 }).format(n); }
  catch { return `${number(n)} ${money.currency}`; } // no ISO code
}
const sum = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);

// The gateway.

async function call(url, options) {
  const reply = await fetch(url, { ...options, headers: { authorization: `Bearer ${key}`, ...(options || {}).headers } });
  if (reply.ok) return reply;
  let words = `${reply.status} ${reply.statusText}`;
  try { words = (await reply.json()).error.message; } catch { /* not ours */ }
  throw Object.assign(new Error(words), { status: reply.status });
}
const get = async (path, from) => (await call((from || base) + path)).json();
const post = async (path, body) => (await call(base + path, {
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })).json();

// Charts.

function frame(width, height, label, children) {
  return draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, children);
}
function legend(entries) {
  return make("div", { class: "key" }, entries.map(([style, text]) => make("span", {},
    draw("svg", { width: 18, height: 8, "aria-hidden": "true" }, draw("path", { class: style, d: "M0 4H18" })), text)));
}
const GAP = { left: 44, right: 8, top: 8, bottom: 20 };
function scales(node, height, low, high, log) {
  const width = Math.max(220, node.clientWidth);
  const to = log ? Math.log : (n) => n;
  const y = (n) => height - GAP.bottom - (height - GAP.top - GAP.bottom) * (to(n) - to(low)) / (to(high) - to(low) || 1);
  return { width, y, x: (share) => GAP.left + share * (width - GAP.left - GAP.right) };
}
function grid(at, values, words) {
  return values.map((value) => [
    draw("line", { class: "axis", x1: GAP.left, x2: at.width - GAP.right, y1: at.y(value), y2: at.y(value) }),
    draw("text", { x: GAP.left - 6, y: at.y(value) + 4, "text-anchor": "end" }, words(value))]).flat();
}
// The hours (or days) of the window, the oldest first, with what is known of each.
function hours(found) {
  const known = Object.fromEntries(found.series.map((one) => [one.hour, one])), daily = found.series_of === "day";
  const length = daily ? 86400000 : 3600000, first = Math.floor((Date.now() - (found.hours - 1) * 3600000) / length);
  return Array.from({ length: Math.floor(Date.now() / length) - first + 1 }, (_, at) => {
    const hour = new Date((first + at) * length).toISOString().replace(".000", "");
    return { requests: 0, hits: {}, misses: 0, hit_rate: null, errors: 0, ttft_ms: {}, ...known[hour], hour, daily };
  });
}
const hourName = (one) => one.daily ? new Date(one.hour).toLocaleDateString("en", { day: "numeric", month: "short", timeZone: "UTC" })
  : `${String(new Date(one.hour).getHours()).padStart(2, "0")}:00`;
const unit = (found) => (found.series_of === "day" ? "day" : "hour");
function hourTicks(at, all, height) {
  return all.map((one, n) => (n % 6 === all.length % 6 || n === all.length - 1) && n !== all.length - 2
    ? draw("text", { x: at.x((n + .5) / all.length), y: height - 4, "text-anchor": "middle" }, hourName(one)) : null);
}

function rateChart(found) {
  const node = $("rate"), height = 170, all = hours(found), at = scales(node, height, 0, 1);
  const bars = all.map((one, n) => {
    if (one.hit_rate === null) return null;
    const words = `${hourName(one)}: ${percent(one.hit_rate)} of ${sum(one.hits) + one.misses}`;
    return draw("rect", { class: "first", x: at.x((n + .12) / all.length), width: (at.x(1) - at.x(0)) / all.length * .76,
      y: at.y(one.hit_rate) - 1, height: at.y(0) - at.y(one.hit_rate) + 1, rx: 2 }, draw("title", {}, words));
  });
  const rows = all.filter((one) => one.requests).reverse().map((one) => [hourName(one), percent(one.hit_rate), number(one.requests),
    number(one.hits.exact), number(one.hits.semantic), number(one.hits.coalesced), number(one.misses), number(one.errors)]);
  fill(node, frame(at.width, height, `Hit rate by ${unit(found)}; ${percent(found.hit_rate)} in all`,
    [...grid(at, [0, .5, 1], (n) => `${100 * n} %`), ...bars, ...hourTicks(at, all, height)]),
    folded("As a table", make("div", { class: "scroll" },
      table([unit(found) === "day" ? "Day" : "Hour", "Hit rate", "Requests", "Exact", "Semantic", "Joined", "Misses", "Errors"], rows))));
}

function latencyChart(found) {
  const node = $("latency"), height = 170, all = hours(found);
  const shapes = all.flatMap((one) => Object.values(one.ttft_ms));
  const low = Math.min(1, ...shapes.map((one) => one.p50)), high = Math.max(1000, ...shapes.map((one) => one.p99));
  const at = scales(node, height, low, high, true);
  const ticks = [.01, .1, 1, 10, 100, 1000, 10000, 100000].filter((n) => n >= low && n <= high);
  const lines = [["hit", "first"], ["upstream", "second"]].flatMap(([who, style]) => ["p50", "p99"].flatMap((quantile) => {
    const dots = all.map((one, n) => one.ttft_ms[who] && [at.x((n + .5) / all.length), at.y(one.ttft_ms[who][quantile]),
      `${hourName(one)}: ${who} ${quantile} ${ms(one.ttft_ms[who][quantile])}`]).filter(Boolean);
    const path = dots.map(([x, y], n) => `${n ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
    return [draw("path", { class: quantile === "p99" ? `${style} faint` : style, d: path }),
      ...dots.map(([cx, cy, words]) => draw("circle", { class: style, cx, cy, r: 3 }, draw("title", {}, words)))];
  }));
  const of = (one, who) => ["p50", "p90", "p99"].map((quantile) => ms((one.ttft_ms[who] || {})[quantile]));
  const rows = all.filter((one) => one.requests).reverse().map((one) => [hourName(one), ...of(one, "hit"), ...of(one, "upstream")]);
  fill(node, frame(at.width, height, `Time to the first byte by ${unit(found)}`, [...grid(at, ticks, ms), ...lines, ...hourTicks(at, all, height)]),
    legend([["first", "hits, p50"], ["first faint", "p99"], ["second", "model, p50"], ["second faint", "p99"]]),
    folded("As a table", make("div", { class: "scroll" },
      table([unit(found) === "day" ? "Day" : "Hour", "Hits p50", "p90", "p99", "Model p50", "p90", "p99"], rows))));
}

// What happened between two looks, from what the sums grew by.
function remember(found) {
  const now = { at: Date.now(), requests: found.requests, hits: sum(found.hits), misses: found.misses };
  if (before && now.requests >= before.requests && now.hits >= before.hits && now.misses >= before.misses) {
    const hits = now.hits - before.hits, looked = hits + now.misses - before.misses;
    points.push({ at: now.at, rate: (now.requests - before.requests) / (now.at - before.at) * 1000, hit: looked ? hits / looked : null });
    points = points.slice(-MOST_POINTS);
  }
  before = now;
}
function liveChart() {
  const node = $("live"), height = 110;
  if (points.length < 2) { fill(node, make("p", { class: "hint" }, "The first figures come in a few seconds.")); return; }
  const high = Math.max(1, ...points.map((one) => one.rate)), at = scales(node, height, 0, high);
  const x = (n) => at.x(n / (points.length - 1));
  const path = points.map((one, n) => `${n ? "L" : "M"}${x(n).toFixed(1)} ${at.y(one.rate).toFixed(1)}`).join("");
  const end = points[points.length - 1], seconds = Math.round((end.at - points[0].at) / 1000);
  const looked = points.filter((one) => one.hit !== null);
  fill(node, frame(at.width, height, `Requests a second, the last ${seconds} seconds`, [
    ...grid(at, [0, high / 2, high], (n) => n.toFixed(high < 10 ? 1 : 0)), draw("path", { class: "first", d: path }),
    draw("text", { x: GAP.left, y: height - 4 }, `${seconds} s ago`),
    draw("text", { x: at.width - GAP.right, y: height - 4, "text-anchor": "end" }, "now")]),
    make("p", { class: "hint" }, `Requests a second: ${end.rate.toFixed(1)}. Hit rate lately: ${
      looked.length ? percent(looked[looked.length - 1].hit) : NONE}.`));
}

// The figures.

// Misses that differ from an earlier one in a time in their system text alone.
function clocks(found) {
  if (!found || !found.misses) return "";
  const where = Object.entries(found.at).sort((one, other) => other[1] - one[1])[0];
  return `; ${percent(found.share_of_misses)} of misses for the time at the ${where ? where[0] : "end"} of the system text`;
}

const range = (found) => (found.hours === 720 ? "30 days" : `${found.hours} hours`);
function tiles(found) {
  const source = (name, what) => ((found.latencies[name] || { all: {} }).all.ttft_ms || {})[what];
  const errors = found.errors["4xx"] + found.errors["5xx"];
  const spent = sum(found.tokens.upstream), saved = sum(found.tokens.saved), money = found.money;
  const wrong = found.false_hits_reported ? `, ${number(found.false_hits_reported)} reported false` : "";
  const all = [
    [percent(found.hit_rate), "hit rate", `${number(sum(found.hits))} of ${number(sum(found.hits) + found.misses)}`],
    [number(found.requests), found.hours === 1 ? "requests this hour" : `requests in ${range(found)}`, `${number(found.bypassed)} past the cache${clocks(found.clocks)}`],
    [ms(source("exact", "p50")), "first byte of an exact hit, p50", `p99 ${ms(source("exact", "p99"))}`],
    [ms(source("upstream", "p50")), "first byte of a model, p50", `p99 ${ms(source("upstream", "p99"))}`],
    [number(found.hits.semantic), "semantic hits", `${number(found.hits.coalesced)} joined a call${wrong}`],
    money ? [price(money, money.saved), "saved, at today's prices", `${price(money, money.spent)} spent${
      money.unpriced_tokens ? `; ${number(money.unpriced_tokens)} tokens have no price` : ""}`]
      : [number(saved), "tokens saved", `${number(spent)} spent`],
    [number(found.exact_cache_size), "answers stored", [
      found.exact_cache_bytes ? `about ${bytes(found.exact_cache_bytes)}` : null, `${number(found.semantic_cache_size)} in the index`].filter(Boolean).join("; ")],
    [number(errors), "errors", `${number(found.shed)} refused under load, ${number(found.cold_starts)} cold starts`],
  ];
  fill($("tiles"), all.map(([value, name, more]) => make("div", { class: "tile" }, make("b", {}, value), make("span", {}, name), make("span", {}, more))));
}

const position = (step) => (STEPS.indexOf(step) + STEPS.length + 1) % (STEPS.length + 1);
function bars(steps) {
  const rows = Object.entries(steps).sort((a, b) => position(a[0]) - position(b[0])), high = Math.max(...rows.map((row) => row[1].mean), .001);
  return rows.map(([step, one]) => [step,
    make("td", { class: "bar" }, draw("svg", { width: "100%", height: 12, "aria-hidden": "true" },
      draw("rect", { class: "first", width: `${Math.max(.5, 100 * one.mean / high)}%`, height: 12, rx: 2 }))),
    number(one.mean), ...("p50" in one ? [number(one.p50), number(one.p99), number(one.count)] : [])]);
}
function stepTables(found) {
  const names = { hit: "Hits", miss: "Misses and what goes past the cache" };
  const made = Object.entries(names).map(([kind, title]) => make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title },
    make("h3", {}, title), table(["Step", "", "Mean", "p50", "p99", "Count"], bars(found.steps[kind] || {}))));
  fill($("steps"), made);
}

function models(found) {
  const rows = [], seen = new Set(), sources = Object.entries(found.latencies);
  const asked = ["upstream", "exact", "semantic", "coalesced"];
  const names = new Set([...sources.flatMap(([, one]) => Object.keys(one.models)), ...Object.keys(found.models)]);
  for (const name of [...names].sort()) for (const source of asked) {
    const shape = ((found.latencies[source] || {}).models || {})[name];
    const own = found.models[name];
    if (!shape && (source !== "upstream" || !own)) continue;
    const first = !seen.has(name), calls = own ? own.calls : { answered: 0, failed: 0 }, total = calls.answered + calls.failed;
    seen.add(name);
    const health = (found.health || {})[name];
    const words = source !== "upstream" ? "" : health && health.circuit_open ? "circuit open" : total ? `${percent(calls.failed / total)} of calls failed` : shape ? "answers" : NONE;
    const bad = (health && health.circuit_open) || (total && calls.failed / total > .1);
    const old = found.catalogue && !found.catalogue.includes(name) && name !== "other";
    rows.push([make("td", old ? { class: "old", title: "The catalogue names it no more." } : {}, first ? name : ""), source, number(shape && (shape.ttft_ms || {}).count), ms(shape && (shape.ttft_ms || {}).p50), ms(shape && (shape.ttft_ms || {}).p99),
      ms(shape && (shape.total_ms || {}).p50), ms(shape && (shape.total_ms || {}).p99),
      number(own && sum(own.tokens[source === "upstream" ? "upstream" : "saved"])), make("td", { class: bad ? "bad" : "good" }, words)]);
  }
  fill($("health"), table(["Model", "From", "Answers", "First p50", "p99", "Total p50", "p99", "Tokens", "Health"], rows),
    rows.some(([cell]) => cell.className) ? make("p", { class: "hint" }, "Faded: the catalogue names it no more.") : null);
}

function verdicts(judged) {
  return judged.map((one) => make("p", { class: "hint" }, `${one.says}, similarity ${one.similarity}: ${(one.reasons || []).join("; ")}`));
}
async function explained(path, into) {
  into.textContent = "...";
  try {
    const found = await get(path), entry = found.entry && found.entry.question !== undefined ? found.entry : found;
    into.replaceChildren(entry.question === undefined ? "That entry lives no more." : make("span", {}, "Stored for: ", make("q", {}, entry.question)));
  } catch (error) { into.textContent = error.message; }
}
// What the user did to a hit outlives the next look at the figures.
const reports = new Map(), shown = new Map();
function recent(found) {
  const hits = found.recent_hits;
  if (!hits) { fill($("recent"), make("p", { class: "hint" }, "Choose one namespace to see them.")); return; }
  if ($("recent").contains(document.activeElement) && document.activeElement.tagName === "BUTTON" && shown.size === hits.length) return;
  const nodes = hits.map((hit) => {
    if (!shown.has(hit.request_id)) shown.set(hit.request_id, hitNode(hit));
    return shown.get(hit.request_id);
  });
  for (const id of shown.keys()) if (!hits.some((hit) => hit.request_id === id)) shown.delete(id);
  const older = nodes.slice(FEW);
  fill($("recent"), nodes.length ? nodes.slice(0, FEW) : make("p", { class: "hint" }, "None in the last day."),
    older.length ? folded(`${older.length} more`, make("div", {}, older)) : null);
}
function hitNode(hit) {
  const question = make("p", {}), said = make("span", { role: "status" });
  const report = make("button", { type: "button" }, "Report as false");
  report.addEventListener("click", async () => {
    const verdict = reports.get(hit.request_id) === "wrong" ? "right" : "wrong";
    report.disabled = true;
    try {
      await post("/v1/cache/feedback", { verdict, request_id: hit.request_id });
      reports.set(hit.request_id, verdict);
      report.textContent = verdict === "wrong" ? "Take the report back" : "Report as false";
      said.textContent = verdict === "wrong" ? " Reported: it answers that question no more." : " Taken back.";
    } catch (error) { said.textContent = ` ${error.message}`; }
    report.disabled = false;
  });
  const show = make("button", { type: "button", on: { click: () => explained(`/v1/cache/explain?request_id=${encodeURIComponent(hit.request_id)}`, question) } }, "Explain");
  return make("div", { class: "hit" }, make("div", {}, make("p", {}, `${clock(hit.at)} \u00b7 ${hit.model || ""} \u00b7 similarity ${hit.similarity} \u00b7 first byte ${ms(hit.first_ms)} `, make("code", {}, hit.request_id)),
    verdicts(hit.judged || []), question), make("div", { class: "row" }, show, report, said));
}
// What checks have taught (docs/verified.md): over time, and the pairs that the judge called wrong.
function promise(one) {
  const range = `${percent(one.interval[0])} to ${percent(one.interval[1])}`, left = one.checks_left;
  if (one.state === "held") return `Kept: ${range} of the semantic hits are wrong, at most ${percent(one.bound)} may be.`;
  if (one.state === "exact only") return `At most ${percent(one.bound)} may be wrong, and that could not be kept: exact hits only.`;
  if (one.state === "on trial") return "On trial: similar questions are decided and checked, and not answered yet.";
  return `Of ${number(one.checked)} checked, ${number(one.wrong)} were called wrong: ${range}. ${left === null
    ? `At this rate ${percent(one.bound)} cannot be promised.` : `About ${number(left)} checks until ${percent(one.bound)} can be promised.`}`;
}
function accuracy(found) {
  const one = (found.semantic || {}).accuracy;
  $("checked").hidden = !one;
  if (!one) return;
  $("promise").textContent = promise(one) + (one.shadow.checked ? ` In shadow: ${number(one.shadow.wrong)} of ${number(one.shadow.checked)} called wrong.` : "");
  const node = $("accuracy"), height = 150, points = one.history, high = Math.max(2 * one.bound, ...points.map((point) => point.checked ? point.wrong / point.checked : 0));
  const at = scales(node, height, 0, high), x = (n) => at.x((n + .5) / points.length);
  const line = (value) => points.map((point, n) => `${n ? "L" : "M"}${x(n).toFixed(1)} ${at.y(Math.min(high, value(point))).toFixed(1)}`).join("");
  const dots = points.map((point, n) => draw("circle", { class: "first", cx: x(n), cy: at.y(point.wrong / (point.checked || 1)), r: 3 },
    draw("title", {}, `${new Date(point.hour * 1000).toLocaleString()}: ${point.wrong} of ${point.checked}`)));
  fill(node, points.length ? frame(at.width, height, "Share of wrong semantic hits by hour", [...grid(at, [0, one.bound, high], percent),
    draw("path", { class: "first", d: line((point) => point.wrong / (point.checked || 1)) }), draw("path", { class: "first faint", d: line((point) => point.high) }), ...dots]) : null,
    legend([["first", "called wrong, of all checked"], ["first faint", "at most, with 95 %"]]));
  if (!$("wrong").contains(document.activeElement)) fill($("wrong"), one.wrong_pairs.map(wrongPair).reverse());
}
function wrongPair(pair) {
  const said = make("span", { role: "status" });
  const button = (words, verdict, then) => make("button", { type: "button", on: { click: async () => {
    try {
      await post("/v1/cache/feedback", { verdict, entry: pair.entry, question: pair.asked });
      said.textContent = then;
    } catch (error) { said.textContent = ` ${error.message}`; }
  } } }, words);
  return make("div", { class: "hit" }, make("div", {}, make("p", {}, "Asked: ", make("q", {}, pair.asked)), make("p", {}, "Answered from: ", make("q", {}, pair.stored)),
    make("p", { class: "hint" }, `${clock(pair.at)} \u00b7 score ${pair.score.toFixed(3)}`)), make("div", { class: "row" },
    button("Wrong, indeed", "wrong", " Reported: it answers that question no more."), button("It was right", "right", " No report stands against it."), said));
}
const questions = new Map();
function top(found) {
  const rows = (found.top_entries || []).map((one) => {
    if (!questions.has(one.entry)) {
      const cell = make("td", { class: "text" });
      cell.append(make("button", { type: "button", on: { click: () => explained(`/v1/cache/explain?entry=${one.entry}`, cell) } }, "Show"));
      questions.set(one.entry, cell);
    }
    return [make("td", {}, make("code", { title: one.entry }, one.entry.slice(0, 12))), number(one.hits), number(one.tokens_saved), clock(one.at), questions.get(one.entry)];
  });
  if (!$("top").contains(document.activeElement) || document.activeElement === $("top"))
    fill($("top"), table(["Entry", "Hits", "Tokens saved", "Last", "Question"], rows, found.top_entries ? null : "Choose one namespace to see them."));
}
const FROM = { upstream: "model", exact: "exact hit", semantic: "semantic hit", coalesced: "joined call" };
function requests(found) {
  const heads = ["When", "Model", "From", "First byte", "Total", "Ended", "Key", "Request"];
  const row = (one) => [clock(one.at), one.model || NONE, FROM[one.source] || NONE, ms(one.first_ms), ms(one.total_ms),
    make("td", { class: one.error ? "bad" : "" }, one.error ? `${one.status || ""} ${one.error}` : "ok"), one.key || NONE,
    make("td", {}, make("code", {}, one.request_id))];
  for (const [id, kind] of [["last", "recent_requests"], ["failed", "recent_errors"], ["slowest", "slowest"]])
    fill($(id), found[kind] ? table(heads, found[kind].map(row), "None in the last day.") : make("p", { class: "hint" }, "Choose one namespace to see them."));
}
function keys(found) {
  const rows = Object.entries(found.keys).map(([name, one]) => [name, number(one.requests), number(one.hits), number(one.errors), number(one.tokens)]);
  fill($("keys"), table(["Key", "Requests", "Hits", "Errors", "Tokens spent"], rows));
}
function errors(found) {
  const rows = [...Object.entries(found.errors_by_code), ...Object.entries(found.fail_open).map(([name, n]) => [`${name} failed open`, n])];
  if (found.errors.closed) rows.push(["the client hung up", found.errors.closed]);
  if (found.namespaces) rows.push(...Object.entries(found.namespaces).map(([name, one]) => [`namespace ${name}: hit rate ${percent(one.hit_rate)}, requests`, one.requests]));
  fill($("errors"), table(["What", "Count"], rows.map(([name, n]) => [name, number(n)])));
}

function show(found) {
  tiles(found); rateChart(found); latencyChart(found); liveChart(); stepTables(found); models(found); recent(found); accuracy(found); top(found); errors(found); requests(found); keys(found);
  $("state").textContent = `${found.complete ? "" : "Not complete: the shared table could not be read. "}${found.hours === 1 ? "This hour" : `The last ${range(found)}`}, as of ${new Date().toLocaleTimeString()}. Subsecond ${found.version}${
    found.catalogue ? `, ${found.catalogue.length === 1 ? "1 model" : `${found.catalogue.length} models`} in the catalogue` : ""}.`;
}
async function look() {
  clearTimeout(timer);
  if (!key) return;
  try {
    if (!paused && !document.hidden) {
      const found = await get(`/v1/cache/stats?hours=${$("range").value}${$("scope").value === "tenant" ? "&of=tenant" : ""}`, location.origin);
      enter(true);
      last = found;
      remember(found);
      show(found);
    }
  } catch (error) {
    if (error.status === 401) { forget(error.message); return; }
    $("state").textContent = `The figures cannot be had now: ${error.message}`;
  }
  clearTimeout(timer);
  timer = setTimeout(look, $("range").value === "720" ? RARELY : EVERY);
}

// The key.

function enter(known) {
  const was = $("figures").hidden;
  $("enter").hidden = known; $("figures").hidden = $("controls").hidden = !known;
  if (known && was) listModels();
}
function forget(words) {
  key = ""; before = last = null; points = []; shown.clear(); questions.clear();
  sessionStorage.removeItem("subsecond-key");
  clearTimeout(timer);
  if (asking) asking.abort();
  enter(false);
  $("refused").textContent = words || "";
  $("state").textContent = "Not connected.";
  $("answer").textContent = $("outcome").textContent = "";
  $("trace").replaceChildren();
  $("key").focus();
}
async function listModels() {
  try {
    const found = await get("/v1/models");
    $("models").replaceChildren(...found.data.map((one) => make("option", { value: one.id })));
    if (!$("model").value && found.data.length) $("model").value = found.data[0].id;
  } catch { /* a name can be typed */ }
}

// The playground.

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const line of parts) if (line.startsWith("data:")) yield line.slice(5).trim();
  }
}
// Of each dialect: where it is asked, what is asked, the text of an event, and the event that ends it.
const DIALECTS = {
  chat: { path: "/v1/chat/completions", asked: (text) => ({ messages: [{ role: "user", content: text }] }),
    text: (event) => ((event.choices || [])[0] || { delta: {} }).delta.content, last: () => false },
  responses: { path: "/v1/responses", asked: (text) => ({ input: text, store: false }),
    text: (event) => (event.type === "response.output_text.delta" ? event.delta : ""), last: (event) => event.type === "response.completed" },
  messages: { path: "/v1/messages", asked: (text) => ({ max_tokens: 1024, messages: [{ role: "user", content: text }] }),
    text: (event) => (event.type === "content_block_delta" ? event.delta.text : ""), last: (event) => event.type === "message_stop",
    headers: { "anthropic-version": "2023-06-01" } },
};
async function ask(stop) {
  const begun = performance.now(), took = () => ms(performance.now() - begun), wish = $("cache").value;
  const spoken = DIALECTS[$("dialect").value], body = { model: $("model").value, stream: true, ...spoken.asked($("question").value) };
  if (wish === "exact") body.subsecond = { similar: false };
  const headers = { "content-type": "application/json", "x-subsecond-trace": "1", ...spoken.headers };
  if (wish && wish !== "exact") headers["cache-control"] = wish;
  const reply = await call(base + spoken.path, { method: "POST", headers, body: JSON.stringify(body), signal: stop.signal });
  let first = "", whole = false;
  for await (const line of lines(reply.body)) {
    if (line === "[DONE]") { whole = true; break; }
    const chunk = JSON.parse(line);
    if (chunk.error) throw new Error(chunk.error.message);
    whole = whole || spoken.last(chunk);
    const text = spoken.text(chunk);
    first = first || (text ? took() : "");
    if (text) $("answer").append(text);
    if (chunk.subsecond) traced(chunk.subsecond);
  }
  const source = reply.headers.get("cache-status") || "";
  $("outcome").textContent = `${whole ? "" : "It broke off. "}First text after ${first || NONE}, all of it after ${took()}, as this browser saw it. ${source}`;
}
function traced(trace) {
  const steps = Object.fromEntries(Object.entries(trace.steps_ms).map(([step, mean]) => [step, { mean }]));
  const source = { upstream: "asked the model", exact: "the same request was stored", semantic: "a similar question's answer", coalesced: "joined a call in flight" };
  fill($("trace"), make("h3", {}, `Trace: ${source[trace.source] || trace.source}`), verdicts(trace.judged || []),
    make("div", { class: "scroll" }, table(["Step", "", "ms"], bars(steps))), folded("The whole trace", make("pre", { tabindex: 0 }, JSON.stringify(trace, null, 1))));
}

$("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (asking) return;
  asking = new AbortController();
  $("send").disabled = true; $("stop").disabled = false;
  $("answer").textContent = ""; $("outcome").textContent = "Asked."; $("trace").replaceChildren();
  try { await ask(asking); } catch (error) { $("outcome").textContent = error.name === "AbortError" ? "Stopped." : error.message; }
  asking = null;
  $("send").disabled = false; $("stop").disabled = true;
  look();
});
$("stop").addEventListener("click", () => asking && asking.abort());
$("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  const typed = $("key").value.trim();
  $("key").value = "";
  // A header carries no other characters: the browser would refuse to send it, in words that tell nobody why.
  if (!/^[!-~]+$/.test(typed)) { $("refused").textContent = "That is no valid key: it has visible ASCII characters only, without spaces."; return; }
  key = typed;
  $("refused").textContent = "";
  sessionStorage.setItem("subsecond-key", key);
  look();
});
$("leave").addEventListener("click", () => forget());
for (const id of ["scope", "range"]) $(id).addEventListener("change", () => { before = null; points = []; look(); });
$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", paused);
  $("pause").textContent = paused ? "Go on" : "Pause";
  if (!paused) look();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden && key) look(); });
let resized = 0;
addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(() => last && show(last), 150); });
enter(false);
if (key) look();
