"""Every parser of bytes from outside meets inputs that are nearly right: a moment in `make test`, a minute in `make
soak`. What fails names its input: put that into a test of the parser's own."""

from __future__ import annotations

from random import Random
from time import monotonic

import pytest

from tests.fuzz.targets import TARGETS

A_MOMENT = 1_000
A_MINUTE = 60.0


def try_one(name: str, number: int) -> None:
    target, random = TARGETS[name], Random(number)
    data = target.corpus().draw(random)
    try:
        target.check(data, random)
    except Exception as error:
        raise AssertionError(f"{name}, input {number}: {error!r} of {data[:2_000]!r}") from error


@pytest.mark.parametrize("name", TARGETS)
def test_nearly_right_inputs(name):
    for number in range(A_MOMENT):
        try_one(name, number)


@pytest.mark.soak
@pytest.mark.parametrize("name", TARGETS)
def test_nearly_right_inputs_for_a_minute(name, capsys):
    end, number = monotonic() + A_MINUTE, A_MOMENT
    while monotonic() < end:
        try_one(name, number)
        number += 1
    with capsys.disabled():
        print(f"\n{name}: {number - A_MOMENT} inputs in {A_MINUTE:.0f} s")
