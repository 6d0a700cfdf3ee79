"""The default policy: rules refuse what is another question, a score decides on the rest, and doubt is a miss.

docs/guards.md tells what each guard does and how often it is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

from subsecond.cache.timebound import FRESH, timebound
from subsecond.config import Settings
from subsecond.ports import TOO_LONG, StoredQuestion, Verdict
from subsecond.semantic.guards import abroad, bare_numbers, language, lexicon, sameness, vetoes
from subsecond.semantic.guards.features import features
from subsecond.semantic.guards.matching import match
from subsecond.semantic.guards.reading import Reading, read
from subsecond.semantic.guards.score import ScoreModel, score_model
from subsecond.setting_values import check_choice

# Content words. Longer texts must be equal: the score was trained on questions.
LONGEST = 60
# Characters. Longer texts are not read (8,000 would take 25 ms) but compared as a whole.
LONGEST_READ = 2_000


@dataclass(frozen=True, slots=True)
class Guarded:
    """The port `Policy`: the same words, then the guards, then a score (docs/guards.md has the order)."""

    model: ScoreModel

    @property
    def floor(self) -> float:
        return self.model.floor

    @property
    def cut(self) -> float:
        return self.model.cut

    def judge(self, asked: str, candidate: StoredQuestion) -> Verdict:
        if candidate.age > FRESH and timebound(asked):
            return Verdict("miss", ("time-bound",), 0.0)
        if max(len(asked), len(candidate.text)) > LONGEST_READ:
            return _only(TOO_LONG, same=sameness.exactly(asked, candidate.text))
        if bare_numbers.differ(asked, candidate.text):
            return Verdict("miss", ("numbers differ",), 0.0)
        if sameness.coded(asked) or sameness.coded(candidate.text):
            return _only("code, and not the same words", same=sameness.same_around_code(asked, candidate.text))
        if not (language.english(asked) and language.english(candidate.text)):
            return _only("not English, and not the same words", same=abroad.same(asked, candidate.text))
        return self._read(asked, candidate)

    def _read(self, asked: str, candidate: StoredQuestion) -> Verdict:
        a = read(asked)
        if len(a.words) > LONGEST and sameness.surely_other(a, candidate.text):
            return Verdict("miss", (TOO_LONG,), 0.0)
        return self._compared(a, read(candidate.text), asked, candidate)

    def _compared(self, a: Reading, b: Reading, asked: str, candidate: StoredQuestion) -> Verdict:
        if sameness.same_words(a, b):
            return _SAME
        if not a.words or not b.words:
            same = not a.plain and not b.plain and abroad.same(asked, candidate.text)
            return _only("nothing to compare", same=same)
        if candidate.similarity < self.floor:
            return Verdict("miss", (f"similarity {candidate.similarity:.3f} is below {self.floor:.3f}",), 0.0)
        if max(len(a.words), len(b.words)) > LONGEST:
            return Verdict("miss", (TOO_LONG,), 0.0)
        if reason := vetoes.veto(a, b):
            return Verdict("miss", (reason,), 0.0)
        return self._scored(a, b, asked, candidate)

    def _scored(self, a: Reading, b: Reading, asked: str, candidate: StoredQuestion) -> Verdict:
        matching = match(a, b)
        if reason := vetoes.veto_matched(a, b, matching):
            return Verdict("miss", (reason,), 0.0)
        similarity = lexicon.cosine(asked, candidate.text) if self.model.own else candidate.similarity
        score = min(0.9999, self.model.score(features(a, b, matching, similarity)))
        if score >= self.model.cut:
            return Verdict("hit", (f"score {score:.3f} reaches {self.model.cut:.3f}",), score)
        return Verdict(
            "unsure" if score >= self.model.maybe else "miss",
            (f"score {score:.3f} is below {self.model.cut:.3f}",),
            score,
        )


def build(settings: Settings) -> Guarded:
    """ValueError: there is no such caution. Raises Unavailable when the static table is not the pinned one."""
    check_choice("caution", settings.caution)
    lexicon.table()
    return Guarded(score_model(settings.embedder, settings.caution))


_SAME = Verdict("hit", ("same words",), 1.0)


def _only(reason: str, *, same: bool) -> Verdict:
    return _SAME if same else Verdict("miss", (reason,), 0.0)
