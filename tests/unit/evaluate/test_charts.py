"""The charts: valid, inside their frame, with the setting marked."""

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond_local.errors import LocalError
from subsecond_local.evaluate.line_chart import HEIGHT, WIDTH, svg, write
from subsecond_local.evaluate.sweep import Point
from subsecond_local.evaluate.trade_off_chart import Decider, TradeOff, chart_of

shares = st.floats(0, 1)


def chart(points, mark=(0.3, 0.05), title="t"):
    marked = Point(0.9, *mark)
    deciders = [Decider("one", points), Decider("two", points)]
    return chart_of(TradeOff(title, "s", "across", "up", deciders, ("mine", marked)))


def places(root):
    """All points of the lines, and the marks' centres."""
    for one in root.iter():
        if one.tag.endswith("polyline"):
            for place in one.get("points").split():
                yield tuple(map(float, place.split(",")))
        elif one.tag.endswith("circle"):
            yield float(one.get("cx")), float(one.get("cy"))


def test_names_that_look_like_markup_do_not_break_it():
    root = ET.fromstring(svg(chart([], title="<b> & 'c'.jsonl")))
    assert root.find("{*}title").text == "<b> & 'c'.jsonl"


def test_the_setting_is_marked_with_its_figures():
    assert "mine: 30 % served, 5 % wrong" in svg(chart([Point(0.9, 0.3, 0.05)]))


@given(st.lists(st.tuples(shares, shares), max_size=30), shares, shares)
def test_everything_lies_inside_the_frame(steps, served, wrong):
    ordered = zip(sorted(one for one, _ in steps), sorted(other for _, other in steps), strict=True)
    root = ET.fromstring(svg(chart([Point(0.5, *one) for one in ordered], (served, wrong))))
    found = list(places(root))
    assert found
    for x, y in found:
        assert 0 < x < WIDTH
        assert 0 < y < HEIGHT


def test_a_line_of_many_points_stays_small():
    points = [Point(1 - n / 30_000, n / 30_000, n / 60_000) for n in range(30_000)]
    text = svg(chart(points))
    assert len(text) < 100_000
    assert max(len(found.split()) for found in re.findall(r"points='([^']*)'", text)) <= 1_300


def test_a_picture_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(LocalError, match="cannot be written"):
        write(tmp_path / "none" / "a.svg", chart([]))
