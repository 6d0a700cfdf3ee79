"""A condition that does not hold is an answer; whatever else goes wrong is raised."""

from types import SimpleNamespace

import pytest

from subsecond.aws.conditional import ConditionalWrite


class RefusedError(Exception):
    pass


CLIENT = SimpleNamespace(exceptions=SimpleNamespace(ConditionalCheckFailedException=RefusedError))


def test_a_write_is_done_unless_its_condition_does_not_hold():
    with ConditionalWrite(CLIENT) as done:
        pass
    with ConditionalWrite(CLIENT) as refused:
        raise RefusedError
    assert (done.done, refused.done) == (True, False)


def test_every_other_error_is_raised():
    with pytest.raises(ConnectionError), ConditionalWrite(CLIENT) as write:
        raise ConnectionError
    assert not write.done
