"""`subsecond optimize FILE`: what the optimiser would do to a request, without sending it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import unified_diff
from pathlib import Path
from typing import Any

from subsecond.config import Settings
from subsecond.errors import SubsecondError
from subsecond.model import Call
from subsecond.optimiser import Level, OptimiserReport, Tokens, optimise, plan_for
from subsecond.optimiser.messages import messages_of, texts
from subsecond_local.errors import LocalError
from subsecond_local.run.ports import count

RED, GREEN, CYAN, PLAIN = "\033[31m", "\033[32m", "\033[36m", "\033[0m"
COLOURS = {"-": RED, "+": GREEN, "@": CYAN}


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "optimize",
        help="show what the prompt optimiser would do to a request",
        description="A dry run. FILE holds a chat request as JSON, or is plain text, taken as a system message.",
    )
    parser.add_argument("file", metavar="FILE", help="a file, or - for the standard input")
    parser.add_argument(
        "--level",
        choices=[level.name.lower() for level in Level],
        help="default: what SUBSECOND_OPTIMISE and SUBSECOND_OPTIMISE_MODELS say; dedupe where that is off",
    )
    parser.add_argument("--model", default="", help="the model it is for (default: the request's own)")
    parser.add_argument(
        "--window", type=count, default=0, metavar="TOKENS", help="the model's context window, for `fit`"
    )
    parser.add_argument("--budget", type=count, metavar="TOKENS", help="context to leave in a message, for `select`")
    parser.add_argument("--json", action="store_true", help="print the report and the request that would be sent")


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """LocalError when the file cannot be read or the settings do not fit."""
    try:
        settings = Settings.from_env(environ)
        call = _call(options)
        plan = plan_for(settings, call.model, options.level or "")
        if not options.level and plan.level is Level.OFF:
            plan = replace(plan, level=Level.DEDUPE)
        if options.window or options.budget is not None:
            budget = plan.budget if options.budget is None else options.budget
            plan = replace(plan, window=options.window or plan.window, budget=budget)
        tokens = Tokens(settings.tokenizer_files)
        sent, report = optimise(call, plan, tokens)
        counted = _counted(tokens, call), _counted(tokens, sent)
    except SubsecondError as refused:
        raise LocalError(f"{refused.message} ({refused.code})" if refused.code else refused.message) from refused
    except (ValueError, ImportError, OSError) as error:
        raise LocalError(str(error)) from error
    if options.json:
        said = {**report.public(), "tokens_before": counted[0], "tokens_after": counted[1]}
        print(json.dumps({"report": said, "request": sent.body}, ensure_ascii=False, indent=2))
        return 0
    print("\n".join(shown(call, sent, report, counted, colour=sys.stdout.isatty() and "NO_COLOR" not in environ)))
    return 0


def shown(call: Call, sent: Call, report: OptimiserReport, counted: tuple[int, int], *, colour: bool) -> Iterator[str]:
    """The dry run as text: a diff, then the figures."""
    for line in unified_diff(_lines(call), _lines(sent), "asked", "sent", lineterm="", n=2):
        tint = COLOURS.get(line[0], "") if colour else ""
        # Blanks at a line's end change most often and are invisible: they are marked.
        visible = line.rstrip(" \t") + "·" * (len(line) - len(line.rstrip(" \t"))) if line[0] in "+-" else line
        yield f"{tint}{visible}{PLAIN if tint else ''}"
    before, after = counted
    share = f" ({(after - before) / before:+.1%})" if before else ""
    yield f"level {report.level}: {before:,} -> {after:,} tokens{share}, {Tokens().counter(call.model).name}"
    for rule in report.rules:
        yield f"  {rule.name}: {rule.edits} {'place' if rule.edits == 1 else 'places'}, {rule.chars:,} characters"
    if report.skipped:
        yield f"  text left alone: the request has a {report.skipped}"
    if report.pinned:
        yield f"  {report.pinned} messages left alone: they are in the caller's own cache marks"
    if report.markers:
        yield f"  cache marks: {', '.join(report.markers)}"
    if report.prefix_before != report.prefix_after:
        yield f"  prefix {report.prefix_before or '-'} -> {report.prefix_after or '-'} (the same in every call)"


def _counted(tokens: Tokens, call: Call) -> int:
    counter = tokens.counter(call.model)
    prompt = call.body.get("prompt")
    total = tokens.frame(counter, call.body) + sum(tokens.message(counter, one) for one in messages_of(call.body))
    return total + (tokens.text(counter, prompt) if isinstance(prompt, str) else 0)


def _call(options: argparse.Namespace) -> Call:
    try:
        raw = sys.stdin.read() if options.file == "-" else Path(options.file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LocalError(f"{options.file} cannot be read: {error}.") from error
    body = _body(raw)
    model = options.model or str(body.get("model") or "gpt-4o")
    return Call("chat" if "messages" in body else "text", model, {**body, "model": model})


def _body(raw: str) -> dict[str, Any]:
    """A request, or plain text: also text that looks like JSON and is no request. LocalError for a malformed one."""
    if not raw.strip():
        raise LocalError("The file is empty: give a chat request as JSON, or text.")
    if raw.lstrip().startswith("{"):
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError):
            body = None
        if isinstance(body, dict) and ("messages" in body or "prompt" in body):
            messages = body.get("messages", [])
            if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
                raise LocalError("`messages` is not a list of objects.")
            return body
    return {"messages": [{"role": "system", "content": raw}]}


def _lines(call: Call) -> list[str]:
    lines: list[str] = []
    for at, message in enumerate(messages_of(call.body)):
        lines.append(f"[{message.get('role')}]")
        for text in texts(message):
            lines += text.split("\n")
        extra = {name: value for name, value in message.items() if name not in ("role", "content")}
        lines += [json.dumps(extra, ensure_ascii=False)] if extra else []
        lines += [""] if at else []
    return lines
