"""`subsecond run` with a judge: a simulator model, also where the function `Verify` asks it, and the small real one."""

import time

import pytest

from subsecond_local.run import model_server
from tests.integration.test_runner import PATIENCE, ask, end, ready, running

SIMULATED = "sim-t0-i0-n8", "sim-t0-i0-n1-fjudge"
REAL = model_server.MODEL, model_server.MODEL
ASKED, AGAIN = "How do I reset my password?", "How can I reset my password?"
CHECKED = {
    "SUBSECOND_SEMANTIC": "verified",
    "SUBSECOND_CHECK_TEXTS": "on",
    "SUBSECOND_CHECK_SHARE": "1",
}
small = pytest.mark.skipif(model_server.missing() is not None, reason=str(model_server.missing()))


@pytest.mark.parametrize(
    ("upstream", "models", "run"),
    [
        ("simulator", SIMULATED, {"STORES": "memory"}),
        ("simulator", SIMULATED, {"MODE": "lambda"}),
        pytest.param("model", REAL, {"STORES": "memory"}, marks=small),
    ],
)
def test_what_would_be_a_hit_is_checked_by_the_judge_of_the_run(tmp_path, upstream, models, run):
    model, judge = models
    environ = CHECKED | run | {"UPSTREAM": upstream, "SUBSECOND_JUDGE": judge}
    with running(tmp_path, **environ) as child:
        base, key, _ = ready(child)
        for text in ("Does anybody load the stage?", ASKED, AGAIN):
            said = {"messages": [{"role": "user", "content": text}], "model": model, "stop": [".", "\n"]}
            assert ask(base, "/v1/chat/completions", key, said)[0] == 200
        told = checked(base, key)
        assert (told["shadow"]["checked"], told["judge_calls"], told["state"]) == (1, 1, "on trial")
        assert told["judge_tokens"] > 0
        assert end(child)[0] == 0


def checked(base, key):
    """What was learned, once a check is noted."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        _, _, stats = ask(base, "/v1/cache/stats", key)
        if (told := stats["semantic"]["accuracy"]) and told["judge_calls"]:
            return told
        time.sleep(0.5)
    raise AssertionError("nothing was checked")
