"""What the environment may say, and what it may not."""

import pytest

from subsecond.config import Settings


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-5", "1e999", "five", ""])
def test_no_time_is_negative_or_without_end(text):
    with pytest.raises(ValueError, match="SUBSECOND_TTL"):
        Settings.from_env({"SUBSECOND_TTL": text})


def test_a_size_is_whole_and_not_negative():
    assert Settings.from_env({"SUBSECOND_MAX_BODY": "0"}).max_body == 0
    for text in ("-1", "1.5"):
        with pytest.raises(ValueError, match="SUBSECOND_MAX_BODY"):
            Settings.from_env({"SUBSECOND_MAX_BODY": text})


@pytest.mark.parametrize(("slip", "meant"), [("TTLL", "TTL"), ("SEMATIC", "SEMANTIC"), ("MAXBODY", "MAX_BODY")])
def test_a_slip_in_a_name_is_told(caplog, slip, meant):
    Settings.from_env({f"SUBSECOND_{slip}": "5"})
    assert caplog.messages == [f"SUBSECOND_{slip} is no setting. Is SUBSECOND_{meant} meant?"]


@pytest.mark.parametrize("other", ["DATA", "URL", "PYTHON"])
def test_names_of_other_programs_are_none_of_our_business(caplog, other):
    Settings.from_env({f"SUBSECOND_{other}": "x"})
    assert not caplog.messages
