"""What the environment may say, and what it may not."""

import json
import re
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest

from subsecond.bootstrap import adapter
from subsecond.config import Settings
from subsecond.optimiser.plan import Level
from subsecond.routing.catalogue import Server
from subsecond.setting_values import ADAPTERS, BOUNDS, CHOICES, OPTIONAL, check_choice, module_of
from subsecond_local.cli.gateway_client import GatewayClient
from subsecond_local.deploy.deploy_tools import Sam
from subsecond_local.lambda_host.function import Function
from subsecond_local.lambda_host.wire import Request
from subsecond_local.run.children import Child
from subsecond_local.run.run_config import RunConfig
from subsecond_local.run.upstreams import Upstream

SHIPPED = Path(__file__).parents[2] / "shared" / "subsecond"


def refused(name, text):
    """What the start says of that setting."""
    with pytest.raises(ValueError, match=f"SUBSECOND_{name}") as caught:
        Settings.from_env({f"SUBSECOND_{name}": text})
    return str(caught.value)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-5", "1e999", "five", ""])
def test_no_time_is_negative_or_without_end(text):
    with pytest.raises(ValueError, match="SUBSECOND_TTL"):
        Settings.from_env({"SUBSECOND_TTL": text})


def test_a_size_is_whole_and_not_negative():
    assert Settings.from_env({"SUBSECOND_MEMORY_BYTES": "0"}).memory_bytes == 0
    for text in ("-1", "1.5"):
        with pytest.raises(ValueError, match="SUBSECOND_MEMORY_BYTES"):
            Settings.from_env({"SUBSECOND_MEMORY_BYTES": text})


@pytest.mark.parametrize(("slip", "meant"), [("TTLL", "TTL"), ("SEMATIC", "SEMANTIC"), ("MAXBODY", "MAX_BODY")])
def test_a_slip_in_a_name_is_told_once(caplog, slip, meant):
    for _ in range(2):
        Settings.from_env({f"SUBSECOND_{slip}": "5"})
    assert caplog.messages == [f"SUBSECOND_{slip} is no setting. Is SUBSECOND_{meant} meant?"]


@pytest.mark.parametrize("other", ["DATA", "URL", "PYTHON"])
def test_names_of_other_programs_are_none_of_our_business(caplog, other):
    Settings.from_env({f"SUBSECOND_{other}": "x"})
    assert not caplog.messages


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("OPTIMISE", "off, lossless, dedupe, fit, select"),
        ("CAUTION", "strict, balanced, bold"),
        ("CACHE_MARKERS", "off, openai, anthropic, bedrock"),
        ("PREFER", "latency, price"),
        ("DIFFICULTY", "off, default, file:PATH"),
        ("SEMANTIC", "off, guarded, shadow, threshold, verified"),
        ("FLIGHTS", "off, dynamodb, memory"),
        ("EXACT", "dynamodb, layered, memory"),
        ("EMBEDDER", "bedrock, hashing, minilm, openai, static"),
        ("UPSTREAM", "bedrock, openai, openai_package"),
        ("STORES", "memory, aws"),
    ],
)
@pytest.mark.parametrize("text", ["loose", "", "__init__", "../memory"])
def test_a_choice_that_there_is_not_ends_the_start_and_lists_the_choices(name, choices, text):
    assert refused(name, text) == f"SUBSECOND_{name}={text} is no choice. Choices: {choices}."


@pytest.mark.parametrize("field", [*ADAPTERS, *CHOICES])
def test_every_setting_with_choices_has_its_own_default_among_them(field):
    check_choice(field, getattr(Settings(), field))
    assert "is no choice" in refused(field.upper(), "nonesuch")


@pytest.mark.parametrize("field", ADAPTERS)
def test_every_choice_of_an_adapter_can_be_built_and_no_other(field):
    place = ADAPTERS[field]
    found = [
        path.parent.name if "stores/" in place else path.stem for path in SHIPPED.glob(place) if path.name[0] != "_"
    ]
    built = {name for name in found if hasattr(import_module(module_of(field, name)), "build")}
    assert built
    for name in found:
        if name in built:
            check_choice(field, name)
        else:
            with pytest.raises(ValueError, match="is no choice"):
                check_choice(field, name)
    if field in OPTIONAL:
        check_choice(field, "off")
    with pytest.raises(ValueError, match="is no choice"):
        adapter(field, Settings(**{field: "support"}))


def test_the_choices_are_those_of_the_code_that_they_are_for():
    assert CHOICES["optimise"] == tuple(level.name.lower() for level in Level)
    weights = json.loads((SHIPPED / "semantic" / "guards" / "data" / "weights.json").read_text())["embedders"]
    assert all(set(CHOICES["caution"]) == set(of["cautions"]) for of in weights.values())


def test_a_choice_with_a_free_part_wants_that_part():
    assert Settings.from_env({"SUBSECOND_DIFFICULTY": "file:mine.json"}).difficulty == "file:mine.json"
    assert "file:PATH" in refused("DIFFICULTY", "file:")


@pytest.mark.parametrize("field", BOUNDS)
def test_a_number_past_its_bounds_ends_the_start(field):
    least, most = BOUNDS[field]
    name, default = field.upper(), getattr(Settings(), field)
    assert least <= default <= most
    kind = type(default)
    assert getattr(Settings.from_env({f"SUBSECOND_{name}": str(kind(least or most))}), field) == least or most
    if least:
        assert "number from" in refused(name, "0")
    else:
        assert "number from 0 to 1" in refused(name, "1.01")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("OPTIMISE_MODELS", "gpt-*=max", "gpt-*=max is no choice. Choices: off, lossless"),
        ("OPTIMISE_MODELS", "small=fit, gpt", "'gpt' is not PATTERN=VALUE"),
        ("OPTIMISE_MODELS", "gpt=", "'gpt=' is not PATTERN=VALUE"),
        ("TOKENIZER_FILES", "gpt-*=/none/o200k.tiktoken", "'/none/o200k.tiktoken' is no file"),
        ("CONTEXT_WINDOWS", "gpt-*=8k", "gpt-*='8k' is not a whole number"),
    ],
)
def test_what_is_set_for_single_models_is_checked_too(name, text, said):
    assert said in refused(name, text)


def test_what_fits_single_models_is_taken():
    text = "big-*=dedupe, small=select,"
    assert Settings.from_env({"SUBSECOND_OPTIMISE_MODELS": text}).optimise_models == text
    assert Settings.from_env({"SUBSECOND_CONTEXT_WINDOWS": "m=100"}).context_windows == "m=100"
    files = f"m={__file__}, n={__file__}"
    assert Settings.from_env({"SUBSECOND_TOKENIZER_FILES": files}).tokenizer_files == files


# What holds a secret goes by one of these names.
SECRET = re.compile(r"(^|_)(key|token|password|secret|environ|environment|headers)$")
# Where a secret lies, and what is as good as one.
TOLD = {"upstream_secret", "secret"}
MAY_HOLD_ONE = {"upstream_url", "embedder_url", "catalogue", "prices"}


def test_the_settings_show_no_secret():
    texts = [one.name for one in fields(Settings) if isinstance(one.default, str) and one.name != "stores"]
    shown = repr(Settings(**{name: f"<{name}>" for name in texts}))
    for name in texts:
        hidden = bool(SECRET.search(name) or name in MAY_HOLD_ONE) and name not in TOLD
        assert (f"<{name}>" not in shown) is hidden, name


@pytest.mark.parametrize("kind", [Server, RunConfig, Upstream, GatewayClient, Child, Sam, Function, Request])
def test_no_other_value_that_holds_a_secret_shows_it(kind):
    hidden = {one.name for one in fields(kind) if SECRET.search(one.name)} - TOLD
    assert hidden
    assert not [one.name for one in fields(kind) if one.name in hidden and one.repr]
