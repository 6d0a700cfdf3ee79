"""`subsecond eval routing` and `subsecond route fit`: figures on rows made by hand, and the refusal."""

import json
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from subsecond.routing.difficulty import load
from subsecond_local.cli.main import main
from subsecond_local.evaluate.routing_figures import measured


def figures(scores, weak, strong):
    return measured(*(np.array(one, float) for one in (scores, weak, strong)))


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_figures_of_a_perfect_a_useless_and_a_reversed_score():
    gains = [1] * 5 + [0] * 5
    weak = [0] * 10
    perfect, flat, wrong = (
        figures(scores, weak, gains) for scores in (list(range(10, 0, -1)), [1] * 10, list(range(10)))
    )
    # All the gain is in the first half of the calls: the area is that of a ramp up to 50 %, then 1.
    assert (perfect.apgr, perfect.cpt50, perfect.cpt80) == pytest.approx((0.75, 25.0, 40.0))
    assert (flat.apgr, flat.low, flat.high, flat.cpt50, flat.cpt80) == pytest.approx((0.5, 0.5, 0.5, 50, 80))
    assert wrong.apgr == pytest.approx(0.25)


def test_the_best_score_may_recover_more_than_all():
    found = figures([3, 2, 1, 0], [0, 0, 0, 1], [1, 1, 0, 0])
    assert max(found.gain) == pytest.approx(2.0)
    assert found.apgr > 1


def test_where_the_strong_model_is_no_better_there_are_no_figures():
    assert figures([1, 2], [1, 1], [1, 0]).report() == {
        "n": 2,
        "apgr": None,
        "apgr_low": None,
        "apgr_high": None,
        "cpt50": None,
        "cpt80": None,
    }


def rows_of(count, *, learnable):
    """Prompts of which the word `proof` says, or does not say, that only the strong model can."""
    random = np.random.default_rng(3)
    for at in range(count):
        hard = bool(random.integers(2))
        shown = hard if learnable else bool(random.integers(2))
        word = "proof" if shown else "colour"
        yield {"prompt": f"Question {at} of the {word} of thing {at}", "weak": 0.0 if hard else 1.0, "strong": 1.0}


def test_eval_prints_what_was_asked_for_and_leaves_out_the_contaminated(tmp_path, capsys):
    rows = [*rows_of(40, learnable=True), {"prompt": "x", "weak": 0, "strong": 1, "contaminated": True}]
    picture = tmp_path / "curve.svg"
    assert main(["eval", "routing", str(write(tmp_path / "a.jsonl", rows)), "--json", "--picture", str(picture)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["n"] == 40
    assert {"apgr", "apgr_low", "apgr_high", "cpt50", "cpt80"} <= set(report)
    assert report["rivals"]["random"]["apgr"] == 0.5
    assert set(report["rivals"]) == {"words", "phrases", "random"}
    lines = ET.parse(picture).getroot().findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 4


@pytest.mark.parametrize("row", [{"prompt": 1, "weak": 0, "strong": 1}, {"prompt": "a", "weak": "0", "strong": 1}, []])
def test_a_row_that_does_not_fit_is_named_by_its_line(tmp_path, capsys, row):
    assert main(["eval", "routing", str(write(tmp_path / "a.jsonl", [row]))]) == 1
    assert "line 1" in capsys.readouterr().err


def test_a_log_that_can_be_learned_makes_a_scorer_that_can_be_loaded(tmp_path, capsys):
    log, out = write(tmp_path / "log.jsonl", rows_of(300, learnable=True)), tmp_path / "route.json"
    assert main(["route", "fit", str(log), "--out", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["accepted"]
    assert report["apgr_low"] > 0.5
    assert report["n"] + report["fitted_rows"] == 300
    scorer = load(f"file:{out}")
    assert scorer.score("the proof of this") > scorer.score("the colour of this")


def test_a_log_that_cannot_be_learned_is_refused_and_nothing_is_written(tmp_path, capsys):
    log, out = write(tmp_path / "log.jsonl", rows_of(300, learnable=False)), tmp_path / "route.json"
    picture = tmp_path / "curve.svg"
    assert main(["route", "fit", str(log), "--out", str(out), "--picture", str(picture)]) == 1
    assert "Refused" in capsys.readouterr().out
    assert not out.exists()
    assert picture.exists()


def test_too_short_a_log_is_not_fitted(tmp_path, capsys):
    log = write(tmp_path / "log.jsonl", rows_of(60, learnable=True))
    assert main(["route", "fit", str(log)]) == 1
    assert "held out" in capsys.readouterr().err
