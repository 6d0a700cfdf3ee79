"""Splits a text into tokens: words, numbers with their units, identifiers, and signs with a meaning. Takes linear
time."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, NamedTuple

from subsecond.cache.normal_form import normal
from subsecond.semantic.guards import numbers
from subsecond.semantic.guards.tables import tables

Sort = Literal["word", "number", "code", "quote", "sign", "stop"]

_TOKEN = re.compile(
    r"""
    (?P<plain>[A-Za-z]+(?=[\s?!,;]|[.:]\s|[.:]?$))          # most words
  | (?P<quote>"[^"\n]{1,200}"|`[^`\n]{1,200}`)
  # A name begins where no letter, digit or "_" stands before it: each run of those is gone through once, and not again
  # for each "_" in it.
  | (?P<code>(?:https?://|www\.)[^\s<>"]+                  # an address
      | [\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{1,64}                         # of mail
      | (?<!\w)(?:[A-Za-z_]\w*)?[A-Za-z0-9]_\w+(?:\(\))?   # snake_case
      | (?<!\w)[A-Za-z_]\w*(?:\.[A-Za-z_]\w+)+(?:\(\))?    # file.ext, module.name
      | (?<!\w)[A-Za-z_]\w*\(\)
      | (?<![\w-])--?[A-Za-z][\w-]{1,40}(?=[\s=]|$)        # --option
      | \.[a-z]{2,5}\b                                     # .ext
      | (?:[A-Za-z]:|~|\.{1,2})?(?:[/\\][\w.-]+){2,}/?)    # a path
  | (?P<number>"""
    + numbers.PATTERN
    + r""")
  | (?P<short>(?:[A-Za-z]\.){2,}[A-Za-z]?)                 # U.S.
  | (?P<word>[A-Za-z](?:\+\+|\#)(?!\w)|[^\W_]+(?:'[^\W_]+)*)
  | (?P<and>&)
  | (?P<stop>(?<=[^\W\d_])/(?=[^\W\d_])|[.?!:;,()\[\]{}\n"]|\s[-\u2013\u2014]\s)
  | (?P<sign>[^\s\w'\u2026*_-]|(?<=[\d\s])[-*](?=\s?[\d(]))
    """,
    re.VERBOSE,
)
_STRAIGHT = str.maketrans(
    "\u2018\u2019\u02bc\u00b4\u201c\u201d\u201e\u00ab\u00bb\u2010\u2011\u2013\u2014", '\'\'\'\'"""""----'
)
# "iphone15", "covid19": the word and its number.
_NUMBERED = re.compile(r"([a-z]{3,})([0-9]+)")
_ENDINGS = {"n't": "not", "'m": "am", "'re": "are", "'ve": "have", "'ll": "will", "'d": "would"}


class Token(NamedTuple):
    """text: in lower case, but for code. capital: it has one. first: it begins a sentence."""

    sort: Sort
    text: str
    capital: bool = False
    first: bool = False
    amount: numbers.Amount | None = None


def tokens(text: str) -> list[Token]:
    plain = text if text.isascii() else normal("NFC", text).translate(_STRAIGHT)
    found: list[Token] = []
    first = True
    for match in _TOKEN.finditer(plain):
        sort, piece = match.lastgroup, match[0]
        if sort == "stop":
            first = piece not in ",;()/"
            found.append(Token("stop", piece.strip()))
            continue
        if sort in ("plain", "word", "short"):
            _words(piece.replace(".", ""), found, first=first)
        elif sort == "number":
            _number(piece, found)
        elif sort == "quote":
            _quoted(piece, found, first=first)
        else:
            found += _literals(sort, piece)
        first = False
    return found


def _literals(sort: str | None, piece: str) -> list[Token]:
    """The tokens of a sign or an identifier. Punctuation of other scripts gives none."""
    if sort == "and":
        return [Token("word", "and")]
    if sort == "code":
        return [Token("code", piece.rstrip(".,"))]
    return [] if not piece.isascii() and unicodedata.category(piece)[0] == "P" else [Token("sign", piece)]


def _quoted(piece: str, found: list[Token], *, first: bool) -> None:
    """Append the quotation as a whole, and its words. Code keeps its case."""
    inside = piece[1:-1]
    found.append(Token("quote", " ".join((inside if piece[0] == "`" else inside.casefold()).split())))
    for match in _TOKEN.finditer(inside):
        if match.lastgroup in ("plain", "word"):
            _words(match[0], found, first=first)
        elif match.lastgroup == "number":
            _number(match[0], found)


def _words(piece: str, found: list[Token], *, first: bool) -> None:
    word = piece.casefold()
    capital = piece != word and word not in ("i", "i'm", "i've", "i'd", "i'll")
    if "'" in word:
        word, end = _apart(word)
    else:
        end = ""
    if capital and piece == "US":
        word = "usa"
    elif not word.isalpha() and (numbered := _NUMBERED.fullmatch(word)):
        found.append(Token("word", numbered[1], capital, first))
        _number(numbered[2], found)
        return
    read = tables().forms.get(word)
    if read is None:
        mixed = not word.isalpha() and any(map(str.isdigit, word))
        found.append(Token("word", word, capital, first, numbers.Amount(numbers.LABEL, word) if mixed else None))
    else:
        found += [Token("word", part, capital, first) for part in read]
    if end:
        found.append(Token("word", end))


def _apart(word: str) -> tuple[str, str]:
    """Take a contraction apart: "can't" is "can", "not"; "what's" is "what", "is". A possessive 's is dropped:
    "Anna's"."""
    if word in ("can't", "won't", "shan't", "ain't"):
        return {"can't": "can", "won't": "will", "shan't": "shall", "ain't": "be"}[word], "not"
    for ending, meant in _ENDINGS.items():
        if word.endswith(ending):
            return word.removesuffix(ending), meant
    if word.endswith("'s"):
        root = word.removesuffix("'s")
        return (root, "is") if root in _BEFORE_IS else (root, "")
    return word.replace("'", ""), ""


_BEFORE_IS = frozenset(("what", "where", "who", "when", "how", "why", "that", "there", "it", "he", "she", "here"))


def _number(piece: str, found: list[Token]) -> None:
    found.extend(Token("number", amount.text, amount=amount) for amount in numbers.parse(piece))
