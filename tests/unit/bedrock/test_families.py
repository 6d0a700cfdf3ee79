import pytest

from subsecond.config import Settings
from subsecond.upstreams.converse.families import Families

PROFILE = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc123"
FAMILIES = Families.of(Settings(bedrock_profiles=f"{PROFILE}=anthropic.claude-sonnet-4-5-20250929-v1:0"))
CLAUDES = [
    ("anthropic.claude-3-haiku-20240307-v1:0", (3, 0)),
    ("us.anthropic.claude-3-5-sonnet-20241022-v2:0", (3, 5)),
    ("anthropic.claude-3-7-sonnet-20250219-v1:0", (3, 7)),
    ("global.anthropic.claude-sonnet-4-20250514-v1:0", (4, 0)),
    ("apac.anthropic.claude-sonnet-4-5-20250929-v1:0", (4, 5)),
    ("us-gov.anthropic.claude-opus-4-6-v1", (4, 6)),
    ("anthropic.claude-opus-5", (5, 0)),
    ("anthropic.claude-mythos-preview", (99, 0)),
    ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-6-v1", (4, 6)),
    ("arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-4-6-v1", (4, 6)),
    (PROFILE, (4, 5)),
    ("amazon.nova-pro-v1:0", None),
    ("mistral.mistral-large-2407-v1:0", None),
]


@pytest.mark.parametrize(("model", "version"), CLAUDES)
def test_a_claude_s_version(model, version):
    assert FAMILIES.find(model).claude == version


OPENAI = [
    "openai.gpt-oss-120b-1:0", "us.openai.gpt-oss-20b-1:0", "qwen.qwen3-32b-v1:0", "deepseek.v3.2", "zai.glm-4.7",
    "moonshotai.kimi-k2.5",
]  # fmt: skip
CONVERSE = [
    "us.anthropic.claude-opus-4-6-v1", "amazon.nova-lite-v1:0", "us.deepseek.r1-v1:0", "x",
    "mistral.pixtral-large-2502-v1:0", "us.meta.llama4-scout-17b-instruct-v1:0",
]  # fmt: skip


@pytest.mark.parametrize("model", [*OPENAI, *CONVERSE])
def test_who_speaks_openai_s(model):
    assert FAMILIES.find(model).openai == (model in OPENAI)


def test_the_operator_decides_who_speaks_openai_s():
    assert Families.of(Settings(bedrock_openai="amazon.*")).find("us.amazon.nova-pro-v1:0").openai
