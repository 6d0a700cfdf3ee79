"""Cuts streamed text into sentences as it comes: for a voice that speaks them, for a page that shows them.

Every rule prefers a missed end to a false one: a missed end makes one longer sentence, a false one is heard as a break
in its middle. So "etc." and "U.S." never end a sentence by themselves; the next full stop or the line's end does.

The text is examined once, from left to right, in modes: the beginning of a line, where Markdown's marks stand; prose;
inline code; a fence. A mode's method moves on, or says where the sentence ends, or waits for more text, because what
it sees could still become something else ("3." may become "3.14"). What comes out never depends on how the text was
cut into pieces. Only an unfinished run (of blanks, dots, dashes, backticks) is looked at again; the limit bounds it.
"""
# ruff: noqa: RUF001 -- the marks of other scripts, on purpose

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

# A longer sentence is cut at the last blank before: a bound on memory, and on what a listener waits for.
LIMIT: Final = 4_000
# How far back a full stop looks for the word before it: further than any abbreviation is long.
LOOK_BACK: Final = 24

WAIT: Final = -1
GO_ON: Final = 0

_ABBREVIATIONS: Final = """
al approx apt assn asst ave b.sc bros bzw ca capt cf cmdr co corp dept dipl dr ed eds est etc ext gen gov hon inc incl
inst jr lt ltd m.sc maj messrs mfg mlle mme mr mrs ms mt mx ph.d pres prof rep resp rev sen sgt sr sra srta st tel univ
usw viz vs
"""
ABBREVIATIONS: Final = frozenset(_ABBREVIATIONS.split())
# Words or months otherwise: abbreviations only before a number, as in "No. 5" and "Oct. 3".
_BEFORE_NUMBER: Final = """
app apr art aug ch col dec eq eqs feb fig figs jan jul jun mar no nos nov nr oct op p para pp pt sec sep sept vol
"""
BEFORE_NUMBER: Final = frozenset(_BEFORE_NUMBER.split())
OPENING: Final = "([{<\"'“‘„«*_—–-/"
# A sentence does not begin with these, nor with a small letter.
NO_BEGINNING: Final = ".,;:!?…)]}»"

# Where prose may end or turn into something else. Wide (CJK) terminators need no blank behind them. A quotation mark
# that closes in German opens in Chinese, so the closing marks differ as well.
NARROW: Final = r".!?…؟۔।॥"
WIDE: Final = "。！？｡"
STOP: Final = re.compile(rf"[{NARROW}{WIDE}\n`]")
NARROW_END: Final = re.compile(rf"(?P<run>[{NARROW}]+)[\"'”“’‘»›)\]}}*_]*(?P<space>\s*)")
WIDE_END: Final = re.compile(rf"(?P<run>[{NARROW}{WIDE}]+)[\"'”’»›)\]}}*_」』）】》〉〕］]*(?P<space>\s*)")
BLANKS: Final = re.compile(r"\s*")
TICKS: Final = re.compile(r"`+")
TICKS_OR_LINE_END: Final = re.compile(r"`+|\n")

# What a line can begin with. MARK makes it a unit of its own: list item, heading, quotation, table row, rule.
_NUMBER = r"(?:\d{1,9}|[A-Za-z]|[ivxIVX]{2,5})"
FENCE: Final = re.compile(r"[ \t]*(?P<fence>`{3,}|~{3,})")
MARK: Final = re.compile(rf"[ \t]*(?:[>|]|(?:#{{1,6}}|[-*+•]|{_NUMBER}[.)]|-{{3,}}|\*{{3,}}|_{{3,}})(?=\s))")
# Too short yet to tell.
UNDECIDED: Final = re.compile(rf"[ \t]*(?:`+|~+|#{{1,6}}|-+|\*+|_+|[+•]|{_NUMBER}[.)]?)?")


class Sentences:
    """Feed it text as it comes; what it returns, joined, is exactly what it was fed.

    A sentence carries its closing quotes and brackets and the blanks behind it. A code fence is one unit; so is a list
    item, a heading, a quotation's or table's line. Inline code is never cut. `limit`: characters.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._start()

    def feed(self, text: str) -> list[str]:
        """The sentences that this text completes."""
        found: list[str] = []
        fed = 0
        while fed < len(text):
            # At most the limit at a time: a long text costs and gives what its pieces would.
            until = fed + self._limit + 1 - len(self._text)
            self._text += text[fed:until]
            fed = until
            self._examine(found)
        return found

    def finish(self) -> str | None:
        """The rest, if there is one. Then it is as new."""
        rest = self._text
        self._start()
        return rest or None

    def _start(self) -> None:
        self._text = ""
        self._begin = 0  # of the sentence that is still open
        self._at = 0  # examined up to here
        self._mode: Callable[[Sentences], int] = Sentences._line
        self._block = False  # this line is a unit of its own
        self._closing = ""  # what ends the code that we are in

    def _examine(self, found: list[str]) -> None:
        while True:
            cut = self._mode(self)
            if cut == WAIT:
                if len(self._text) - self._begin <= self._limit:
                    break
                cut = self._forced()
            if cut != GO_ON:
                found.append(self._text[self._begin : cut])
                self._begin = cut
        self._text = self._text[self._begin :]
        self._at -= self._begin
        self._begin = 0

    def _forced(self) -> int:
        text, begin, end = self._text, self._begin, self._begin + self._limit
        cut = text.rfind("\n", begin, end) + 1 if self._mode is Sentences._fence else 0
        cut = cut or max(text.rfind(" ", begin, end), text.rfind("\n", begin, end)) + 1 or end
        self._at = max(self._at, cut)
        return cut

    def _line(self) -> int:
        """At a line's beginning, or behind one of its marks: "1. ```python" has two."""
        text, at = self._text, self._at
        if UNDECIDED.fullmatch(text, at):
            return WAIT
        if fence := FENCE.match(text, at):
            self._closing, self._at, self._mode = fence["fence"], fence.end(), Sentences._opening
        elif mark := MARK.match(text, at):
            self._block, self._at = True, mark.end()
        else:
            self._mode = Sentences._prose
        return GO_ON

    def _opening(self) -> int:
        """Behind the marks of a fence, which may yet be inline code: a fence's first line has no further backtick."""
        end = self._text.find("\n", self._at)
        tick = self._text.find("`", self._at) if self._closing[0] == "`" else -1
        if tick >= 0 and (end < 0 or tick < end):
            self._mode = Sentences._code
        elif end < 0:
            return WAIT
        else:
            self._at, self._mode = end + 1, Sentences._fence
        return GO_ON

    def _fence(self) -> int:
        """At the beginning of a line inside."""
        end = self._text.find("\n", self._at)
        if end < 0:
            return WAIT
        line = self._text[self._at : end].strip(" \t\r>")
        if len(line) >= len(self._closing) and not line.strip(self._closing[0]):
            self._at, self._block, self._mode = end, True, Sentences._prose
        else:
            self._at = end + 1
        return GO_ON

    def _code(self) -> int:
        """Inside inline code. A line's end gives it up: then the backtick was only a backtick."""
        found = TICKS_OR_LINE_END.search(self._text, self._at)
        self._at = found.start() if found else len(self._text)
        if found is None or (found.end() == len(self._text) and found[0] != "\n"):
            return WAIT
        if found[0] == "\n":
            self._mode = Sentences._prose
            return GO_ON
        self._at = found.end()
        if found[0] == self._closing:
            self._mode = Sentences._prose
        return GO_ON

    def _prose(self) -> int:
        stop = STOP.search(self._text, self._at)
        self._at = stop.start() if stop else len(self._text)
        if stop is None:
            return WAIT
        if stop[0] == "\n":
            return self._line_end()
        if stop[0] == "`":
            return self._ticks()
        return self._terminator(wide=stop[0] in WIDE)

    def _ticks(self) -> int:
        ticks = TICKS.match(self._text, self._at)
        assert ticks
        if ticks.end() == len(self._text):
            return WAIT
        self._closing, self._at, self._mode = ticks[0], ticks.end(), Sentences._code
        return GO_ON

    def _line_end(self) -> int:
        """A blank line ends a sentence, and so does a line that is a unit or stands before one."""
        text, at = self._text, self._at
        after = _end(BLANKS, text, at)
        if after == len(text):
            return WAIT
        beginning = text.rfind("\n", at, after) + 1
        ends = self._block or text.count("\n", at, after) > 1
        if not ends:
            if UNDECIDED.fullmatch(text, beginning):
                return WAIT
            ends = bool(MARK.match(text, beginning) or FENCE.match(text, beginning))
        blank = _end(BLANKS, text, self._begin) >= at
        self._at, self._block, self._mode = beginning, False, Sentences._line
        return beginning if ends and not blank else GO_ON

    def _terminator(self, *, wide: bool) -> int:
        text = self._text
        found = (WIDE_END if wide else NARROW_END).match(text, self._at)
        assert found
        if found.end() == len(text):
            return WAIT
        if not wide and not self._ends(found["run"], found["space"], text[found.end()]):
            self._at = found.start("space")
            return GO_ON
        self._at = found.end()
        if "\n" in found["space"]:
            # The next line keeps its indentation.
            self._at = text.rfind("\n", 0, found.end()) + 1
            self._block, self._mode = False, Sentences._line
        return self._at

    def _ends(self, run: str, space: str, following: str) -> bool:
        """Whether a narrow terminator at `_at` ends the sentence. Dots alone end it only when there is one."""
        if not space or (run != "." and not run.strip(".…")):
            return False
        if run == "." and self._abbreviates(following):
            return False
        return "\n" in space or not (following.islower() or following in NO_BEGINNING)

    def _abbreviates(self, following: str) -> bool:
        """Whether the full stop at `_at` belongs to an abbreviation, an initial or a number in a list."""
        back = max(self._begin, self._at - LOOK_BACK)
        before, word = _last_word(self._text[back : self._at])
        if word.isdigit():
            alone = back == self._begin and not before.strip(OPENING + " ")
            return alone or before.endswith((":", ";"))
        low = word.lower()
        if low in ABBREVIATIONS or (following.isdigit() and low in BEFORE_NUMBER):
            return True
        # J. Smith, U.S., e.g., z. B.: single letters that have a case.
        return all(len(part) == 1 and part.lower() != part.upper() for part in word.split("."))


def _last_word(text: str) -> tuple[str, str]:
    """The word that the text ends with, bare of opening marks, and what stands before it."""
    words = text.split()
    if not words or text[-1].isspace():
        return text, ""
    return text[: -len(words[-1])].rstrip(), words[-1].lstrip(OPENING)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    """The end of a match of a pattern that always matches."""
    found = pattern.match(text, at)
    assert found
    return found.end()
