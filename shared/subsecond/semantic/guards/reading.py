"""Reads a text for the guards: its words, each with its key, its numbers, names and kind of question."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from subsecond.semantic.guards import casing, numbers
from subsecond.semantic.guards.numbers import Amount
from subsecond.semantic.guards.tables import Tables, tables
from subsecond.semantic.guards.words import Token, tokens

# Texts remembered, and the longest: a question is compared with several stored ones, and popular ones come again.
# A reading of a question takes 2.3 KB: 1,024 of them 2.4 MB.
REMEMBERED, LONGEST_REMEMBERED = 1_024, 400
# Longer texts: one made from a template meets others of it, and is read once for all of its candidates. Half a
# millisecond and 13 KB for 800 characters; 35 KB for the longest (2,000): 2.2 MB at the most.
REMEMBERED_LONG = 64
# Words of the longest number in words.
LONGEST_NUMBER = 12
# Words in which a capital says nothing of the others: all count as they stand.
FEW_WORDS = 2


class Word(NamedTuple):
    """text: in lower case. key: the stem that stands for it and its synonyms. before: the preposition in front, if it
    gives a direction. joined: "and" joins it to the word before. name: it has a capital where only names have one.
    at: its place in `plain`. place: any preposition in front."""

    text: str
    key: str
    before: str
    joined: bool
    name: bool
    at: int = 0
    place: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """plain: all tokens with a meaning, in order, in lower case. words: the content words. kind: of question. amounts:
    the numbers in order; weak: "one", "first", "second" where they may be no numbers. negations: how many. code,
    quotes, signs: in order. function: the function words. keys: of the content words. compounds: the parts of what a
    hyphen joins. case: what capitals mean. kinds: all of question. number: whether "is" or "are" is asked with what.
    means: "by" tells a means ("pay by card"), not who does it."""

    plain: tuple[str, ...]
    words: tuple[Word, ...]
    kind: str
    amounts: tuple[Amount, ...]
    weak: tuple[str, ...]
    negations: int
    dates: frozenset[str]
    code: tuple[str, ...]
    quotes: tuple[str, ...]
    signs: tuple[str, ...]
    function: frozenset[str]
    keys: frozenset[str]
    compounds: frozenset[tuple[str, ...]]
    case: casing.Case
    kinds: frozenset[str]
    number: str
    means: bool


def read(text: str) -> Reading:
    return _remembered(text) if len(text) <= LONGEST_REMEMBERED else _remembered_long(text)


def _read(text: str) -> Reading:
    found = tokens(text)
    return _Reader(found).reading()


_remembered = lru_cache(REMEMBERED)(_read)
_remembered_long = lru_cache(REMEMBERED_LONG)(_read)


class _Reader:
    """One pass over the tokens. At each it takes the longest known phrase, else a number in words, else the word."""

    def __init__(self, found: list[Token]) -> None:
        self._found = found
        self._texts = [token.text for token in found]
        self._tables: Tables = tables()
        self._counts = numbers.counting()
        self._names = _capitals_tell(found)
        self.plain: list[str] = []
        self.words: list[Word] = []
        self.kinds: list[str] = []
        self.amounts: list[Amount] = []
        self.weak: list[str] = []
        self.literals: dict[str, list[str]] = {"code": [], "quote": [], "sign": []}
        self.function: set[str] = set()
        self.dates: set[str] = set()
        self.negations = 0
        self._before = self._place = ""
        self._joined = False

    def reading(self) -> Reading:
        position = 0
        while position < len(self._found):
            position += self._step(position)
        if not self.kinds and self.plain and self.plain[0] in self._tables.cues["asking"]:
            self.kinds.append("<is>")
        kind = next(
            (kind for kind in self.kinds if kind not in ("<want>", "<can>")), self.kinds[0] if self.kinds else ""
        )
        return Reading(
            plain=tuple(self.plain),
            words=tuple(self.words),
            kind=kind,
            amounts=tuple(self.amounts),
            weak=tuple(self.weak),
            negations=self.negations,
            dates=frozenset(self.dates),
            code=tuple(self.literals["code"]),
            quotes=tuple(self.literals["quote"]),
            signs=tuple(self.literals["sign"]),
            function=frozenset(self.function),
            keys=frozenset(word.key for word in self.words),
            compounds=_compounds(self._found),
            case=casing.case(self._found),
            kinds=frozenset(self.kinds),
            number=_number_asked(self._found),
            means="by" in self.function and _is_means(self._found),
        )

    def _step(self, position: int) -> int:
        """Read what begins here. Returns how many tokens that took."""
        token = self._found[position]
        if token.sort == "number":
            return self._number(position, token)
        if token.sort != "word":
            if token.sort != "stop":
                self.literals[token.sort].append(token.text)
                if token.sort != "quote":
                    self.plain.append(token.text)
            return 1
        if token.text in self._tables.lengths and (taken := self._phrase(position, token)):
            return taken
        if token.text in self._counts and (taken := self._spelled(position)):
            return taken
        self._word(position, token)
        return 1

    def _phrase(self, position: int, token: Token) -> int:
        for size in self._tables.lengths[token.text]:
            words = tuple(self._texts[position : position + size])
            becomes = self._tables.phrases.get(words)
            if becomes is None or (becomes == "^" and not self._at_head(position)):
                continue
            if becomes in ("", "^") and self._is_mentioned(position, size):
                continue
            if becomes.startswith("<"):
                self.kinds.append(becomes)
                self.plain.extend(words)
            elif becomes not in ("", "^"):
                self._content(becomes, name=any(map(self._is_name, range(position, position + len(words)))))
                self.plain.extend(words)
                self.negations += becomes in self._tables.cues["negation"]
            return len(words)
        return 0

    def _is_mentioned(self, position: int, size: int) -> bool:
        """Whether what is mostly polite is asked about: "say please in Turkish", "a thank-you note"."""
        before = self._texts[position - 1] if position else ""
        joined = any(token.hyphen for token in self._found[position + 1 : position + size + 1])
        return before in self._tables.cues["mention"] or joined

    def _at_head(self, position: int) -> bool:
        """Whether the text or a sentence begins here, but for tokens without a meaning."""
        before = self._found[position - 1] if position else None
        return before is None or not self.plain or (before.sort == "stop" and before.text not in "(,")

    def _number(self, position: int, token: Token) -> int:
        amount, taken = token.amount or Amount("", token.text), 1
        follows = self._texts[position + 1 : position + 3]
        if amount.unit == "" and follows:
            if times := numbers.multiplier(follows[0]):
                amount, taken = Amount("", numbers.text(float(amount.text) * times)), 2
                follows = self._texts[position + 2 : position + 3]
            if (
                follows
                and numbers.is_unit(follows[0])
                and (len(follows[0]) > 1 or self._found[position + taken].sort == "sign")
            ):
                amount, taken = numbers.typed(float(amount.text), follows[0]), taken + 1
        self.amounts.append(amount)
        self.plain.append(f"{amount.unit}:{amount.text}")
        return taken

    def _spelled(self, position: int) -> int:
        word = self._texts[position]
        if (amount := numbers.clock(word)) is not None:
            self.amounts.append(amount)
            self.plain.append(f"clock:{amount.text}")
            return 1
        found = numbers.spelled(self._texts[position : position + LONGEST_NUMBER])
        if found is None:
            return 0
        value, taken = found
        follows = self._texts[position + taken] if position + taken < len(self._texts) else ""
        if numbers.is_unit(follows) and len(follows) > 1:
            amount, taken = numbers.typed(value, follows), taken + 1
        elif taken == 1 and word in numbers.WEAK and not (word == "second" and follows.endswith("est")):
            self.weak.append(word)
            self.function.add(word)
            self.plain.append(word)
            return 1
        else:
            amount = Amount("", numbers.text(value))
        self.amounts.append(amount)
        self.plain.append(f"{amount.unit}:{amount.text}")
        return taken

    def _word(self, position: int, token: Token) -> None:
        word, cues = token.text, self._tables.cues
        if token.amount is not None:
            self.amounts.append(token.amount)
        if word in cues["negation"]:
            if word == "not" and self._asks_for_yes(position):
                return
            self.negations += 1
            self.plain.append("not" if word in ("no", "cannot", "nt") else word)
            self._content(word if word in cues["refusal"] or word == "without" else "not", name=False)
            return
        self.plain.append(word)
        if word in cues["function"] and not (word == "may" and self._is_month(position)):
            self.function.add(word)
            self._before = (
                word
                if word in cues["from"] or word in cues["goal"] or word == "than"
                else (self._before if word in cues["article"] else "")
            )
            self._place = word if word in cues["place"] else (self._place if word in cues["article"] else "")
            self._joined = word in cues["joint"] or (self._joined and word in cues["article"])
            return
        self._content(word, name=self._is_name(position))

    def _asks_for_yes(self, position: int) -> bool:
        """Whether it is the "n't" of "Isn't there", which asks the same as "Is there". "Can't log in" does not."""
        before = self._found[position - 1] if position else None
        if before is None or not before.first or "'" not in before.written:
            return False
        cues, follows = self._tables.cues, self._texts[position + 1 : position + 2]
        return (
            bool(follows)
            and (follows[0] in cues["subject"] or (before.text == "be" and follows[0] not in cues["function"]))
            and self._found[-1].text.startswith("?")
        )

    def _content(self, word: str, *, name: bool) -> None:
        key = self._tables.key(word)
        self.words.append(Word(word, key, self._before, self._joined, name, len(self.plain) - 1, self._place))
        kinds = self._tables.kinds.get(key)
        if kinds and any(kind in ("weekday", "month", "day") for kind, _ in kinds):
            self.dates.add(kinds[0][1])
        self._before, self._place, self._joined = "", "", False

    def _is_name(self, position: int) -> bool:
        token = self._found[position]
        return self._names and token.capital and not token.first and token.text not in self._tables.cues["function"]

    def _is_month(self, position: int) -> bool:
        token = self._found[position]
        before = self._found[position - 1] if position else None
        return before is not None and (
            (token.capital and self._names and not token.first)
            or before.sort == "number"
            or before.text in ("in", "of", "until", "by", "since", "last", "next")
        )


def _capitals_tell(found: list[Token]) -> bool:
    """Whether a capital means a name: not in a text in capitals, or with one on most words."""
    words = [token for token in found if token.sort == "word"]
    return sum(token.capital for token in words) <= 0.6 * len(words) or len(words) <= FEW_WORDS


def _compounds(found: list[Token]) -> frozenset[tuple[str, ...]]:
    """The parts of what hyphens join, but of what is a phrase anyway. A word with its prefix is one part."""
    some = [at for at, token in enumerate(found) if token.hyphen and token.sort == found[at - 1].sort == "word"]
    if not some:
        return _NONE
    parts = [
        (found[at].text,) if found[at].text != found[at].written.casefold() else (found[at - 1].text, found[at].text)
        for at in some
    ]
    counts = numbers.units().counts
    return frozenset(words for words in parts if words not in tables().phrases and words[0] not in counts)


_NONE: frozenset[tuple[str, ...]] = frozenset()


def _number_asked(found: list[Token]) -> str:
    """Whether one or several are asked for, by the verb close behind "what" or "which"."""
    texts = [token.text for token in found[:6]]
    for asking in ("what", "which"):
        if asking in texts:
            at = texts.index(asking)
            verbs = [token.written.casefold().rpartition("'")[2] for token in found[at : at + 3]]
            return next((_NUMBERS[verb] for verb in verbs if verb in _NUMBERS), "")
    return ""


_NUMBERS = {"is": "one", "was": "one", "has": "one", "s": "one", "are": "several", "were": "several", "have": "several"}


def _is_means(found: list[Token]) -> bool:
    """Whether no participle stands before "by", and it stands neither first nor last."""
    words = [token for token in found if token.sort in ("word", "number")]
    at = next(at for at, token in enumerate(words) if token.text == "by")
    if at in (0, len(words) - 1):
        return False
    before = words[at - 1]
    return not (before.text != before.written.casefold() or before.text.endswith(("ed", "en", "wn", "ung", "ught")))
