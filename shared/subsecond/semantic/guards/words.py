"""Splits a text into tokens: words, numbers with their units, identifiers, and signs with a meaning. Takes linear
time."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from subsecond.cache.normal_form import normal
from subsecond.semantic.guards import lexicon, numbers
from subsecond.semantic.guards.tables import tables

# Words remembered, and the longest: each takes 5 µs, and some hundred make up most of what is asked. 0.8 MB in all.
REMEMBERED, LONGEST_REMEMBERED = 2_048, 24

Sort = Literal["word", "number", "code", "quote", "sign", "stop"]

_TOKEN = re.compile(
    r"""
    (?P<plain>[A-Za-z]+(?=[\s?!,;]|[.:]\s|[.:]?$))\x20?     # most words, with the blank, at which all else would fail
  | (?P<quote>(?<!\w)"{1,2}[^"\n]{1,200}"{1,2}|`[^`\n]{1,200}`|(?<!\w)'[^'\n]{1,200}'(?!\w))
  # A name begins where no letter, digit or "_" stands before it: each run of those is gone through once, and not again
  # for each "_" in it.
  | (?P<code>(?:https?://|www\.)[^\s<>"]+                  # an address
      | [\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{1,64}                         # of mail
      | (?<!\w)(?:[A-Za-z_]\w*)?[A-Za-z0-9]_\w+(?:\(\))?   # snake_case
      | (?<!\w)[A-Za-z_]\w*(?:\.[A-Za-z_]\w+)+(?:\(\))?    # file.ext, module.name
      | (?<!\w)[A-Za-z_]\w*\(\)
      | (?<![\w-])--?[A-Za-z][\w-]{0,40}(?=[\s=?,;]|[.!:]?(?:\s|$)) # -o, --option
      | \.[a-z]{2,5}\b                                     # .ext
      | (?:[A-Za-z]:|~|\.{1,2})?(?:[/\\][\w.-]+){2,}/?)    # a path
  | (?P<number>"""
    + numbers.PATTERN
    + r""")
  | (?P<short>(?:[A-Za-z]\.){2,}[A-Za-z]?)                 # U.S.
  | (?P<word>[A-Za-z](?:\+\+|\#)(?!\w)|[^\W_]+(?:'[^\W_]+)*)
  | (?P<and>(?<=\w\w\s)&(?=\s\w\w))                       # between two letters it may be an operator
  # What ends a sentence stands at a word, or by itself at the end. Elsewhere it means something: "rm .".
  | (?P<stop>(?<=[\w"')\]}%])(?:[.,;:!?\u2026]{1,9}(?=[\s"']|$)|[.!?](?=\)))|[?!]{1,3}(?=\s{0,3}$)
      |(?<=\s)[:;]-?[()](?=\s|$)|\n|(?<=[^\W\d_]{2}\s)[-/]\s(?=[^\W\d_]{2})|(?<=[^\W\d_]{2})/(?=[^\W\d_]{2})|\(e?s\)
      |[\u00bf\u00a1\u3001\u3002\uff0c\uff01\uff1f\uff1a\uff1b\u060c\u061b\u061f\u0964\u300c\u300d])
  | (?P<hyphen>(?<=[^\W\d_])-(?=[^\W_])|(?<=\d)-(?=[^\W\d_]))
  | (?P<call>(?<=\w)\()
  | (?P<sign>[^\s\w']|(?<=\d)')
    """,
    re.VERBOSE,
)
_STRAIGHT = str.maketrans(
    "\u2018\u2019\u02bc\u00b4\u201c\u201d\u201e\u00ab\u00bb\u2010\u2011\u2013\u2014", '\'\'\'\'"""""----'
)
# Tokens of a sentence in which a comma at a word's side may turn the sense: "Eat, grandma". "In Lima, Peru" is longer.
SHORTEST, LONGEST = 3, 6
# What a quotation of prose has not.
_MARKED = re.compile(r"[^\w\s.,;:!?'-]")
# "iphone15", "covid19": the word and its number.
_NUMBERED = re.compile(r"([a-z]{3,})([0-9]+)")
_ORDINALS = {"1st": "first", "2nd": "second"}
_ENDINGS = {"n't": "not", "'m": "am", "'re": "are", "'ve": "have", "'ll": "will", "'d": "would"}


class Token(NamedTuple):
    """text: in lower case, but for code. written: as it came, of a word or a number. first: it begins a sentence.
    hyphen: one joins it to the word before."""

    sort: Sort
    text: str
    written: str = ""
    capital: bool = False
    first: bool = False
    amount: numbers.Amount | None = None
    hyphen: bool = False


def straight(text: str) -> str:
    """In one normal form, with plain quotation marks and dashes."""
    return text if text.isascii() else normal("NFC", text).translate(_STRAIGHT)


def tokens(text: str) -> list[Token]:
    plain = straight(text)
    found: list[Token] = []
    _scan(plain, found, first=True)
    return _with_vocatives(found) if "," in plain else found


def _scan(plain: str, found: list[Token], *, first: bool) -> None:
    """Append the tokens of a text, or of what stands between quotation marks."""
    joined = False
    for match in _TOKEN.finditer(plain):
        sort, piece = match.lastgroup or "", match[match.lastgroup or 0]
        if sort == "hyphen":
            joined = True
            continue
        before = len(found)
        if sort == "stop":
            piece = piece.strip(" ") or piece
            first = piece[-1] not in ",;()/-"
            found.append(Token("stop", piece))
            continue
        if sort in ("plain", "word", "short"):
            _words(piece.replace(".", "") if sort == "short" else piece, found, first=first)
        elif sort == "number":
            found += _number(piece)
        elif sort == "quote":
            _quoted(piece, found, first=first)
        else:
            found += _literals(sort, piece)
        if joined:
            _join(found, before)
        first = joined = False


def _join(found: list[Token], at: int) -> None:
    """Join the token there to the word before it. With a prefix it is one word: "pre-paid" is "prepaid"."""
    word, prefix = found[at], found[at - 1]
    if word.sort == prefix.sort == "word" and (prefix.text in _PREFIXES or _one_word(prefix.text, word.text)):
        own = prefix.text in ("re", "co") and word.text.startswith(_OTHERWISE)
        found[at - 1 : at + 1] = [
            prefix._replace(
                text=f"{prefix.text}-{word.text}" if own else prefix.text + word.text,
                written=prefix.written + word.written,
                hyphen=True,
            )
        ]
    else:
        found[at] = word._replace(hyphen=True)


def _one_word(first: str, second: str) -> bool:
    """Whether the two are mostly written as one word: "on-line"."""
    return (first, second) not in tables().phrases and lexicon.known(first + second)


_PREFIXES = frozenset(
    (
        "un", "anti", "pre", "post", "semi", "multi", "sub", "inter", "over", "under", "mis", "dis", "de", "re", "co",
        "bi", "tri", "ultra", "super",
    )
)  # fmt: skip
# "re-sign" is not "resign", nor is a "co-op" a "coop".
_OTHERWISE = (
    "sign", "cover", "form", "creat", "sent", "leas", "press", "mark", "sort", "count", "solv", "serv", "tire", "op",
)  # fmt: skip


def _literals(sort: str | None, piece: str) -> list[Token]:
    """The tokens of a sign or an identifier."""
    if sort == "and":
        return [Token("word", "and")]
    if sort == "code":
        return [Token("code", piece.rstrip(".,"))]
    return [Token("sign", "call" if sort == "call" else piece)]


def _quoted(piece: str, found: list[Token], *, first: bool) -> None:
    """Append the quotation as a whole, and its words. Code keeps its case; one character, or signs, their marks."""
    inside = piece.strip('"') if piece[0] == '"' else piece[1:-1]
    whole = inside if piece[0] == "`" else inside.casefold()
    marked = len(inside) == 1 or _MARKED.search(inside) is not None
    found.append(Token("quote", piece[0] + whole if marked else whole))
    _scan(inside, found, first=first)


def _with_vocatives(found: list[Token]) -> list[Token]:
    """With each comma that sets one word apart as a sign: "No, stop it" is not "No stop it"."""
    sentence: list[int] = []
    commas: list[int] = []
    for at, token in enumerate((*found, Token("stop", "."))):
        if token.sort == "stop" and token.text[-1] not in ",;:()":
            commas += _lonely(found, sentence)
            sentence = []
        else:
            sentence.append(at)
    for at in reversed(commas):
        found.insert(at, Token("sign", ","))
    return found


def _lonely(found: list[Token], sentence: list[int]) -> list[int]:
    """The commas of a sentence behind its first word, or before its last one; not beside a greeting."""
    if not SHORTEST <= len(sentence) <= LONGEST:
        return []
    ends = {sentence[1]: sentence[0], sentence[-2]: sentence[-1]}
    return [
        at
        for at, beside in ends.items()
        if found[at].text == ","
        and found[at].sort == "stop"
        and found[beside].sort == "word"
        and (found[beside].text,) not in tables().phrases
    ]


def _words(piece: str, found: list[Token], *, first: bool) -> None:
    found += _remembered(piece, first) if len(piece) <= LONGEST_REMEMBERED else _parts(piece, first)


def _parts(piece: str, first: bool) -> tuple[Token, ...]:  # noqa: FBT001 -- a cache is slow with keywords
    word = piece.casefold()
    capital = piece != word and word not in ("i", "i'm", "i've", "i'd", "i'll")
    if "'" in word:
        word, end = _apart(word)
    else:
        end = ""
    if capital and piece == "US":
        word = "usa"
    elif word[0] == "v" and word[1:].isdecimal():
        return _number(word[1:])
    elif not word.isalpha() and (numbered := _NUMBERED.fullmatch(word)):
        return Token("word", numbered[1], piece, capital, first), *_number(numbered[2])
    read = tables().forms.get(word)
    behind = tables().forms.get(end, (end,)) if end else ()
    if read is None:
        mixed = not word.isalpha() and any(map(str.isdigit, word))
        label = numbers.Amount(numbers.LABEL, word) if mixed else None
        return Token("word", word, piece, capital, first, label), *(Token("word", part) for part in behind)
    parts = (Token("word", part, piece, capital, first) for part in read)
    return *parts, *(Token("word", part) for part in behind)


_remembered = lru_cache(REMEMBERED)(_parts)


def _apart(word: str) -> tuple[str, str]:
    """Take a contraction apart: "can't" is "can", "not"; "what's" is "what", "is". A possessive 's is dropped:
    "Anna's"."""
    if word in ("can't", "won't", "shan't", "ain't"):
        return {"can't": "can", "won't": "will", "shan't": "shall", "ain't": "be"}[word], "not"
    for ending, meant in _ENDINGS.items():
        if word.endswith(ending) and word != ending:
            return word.removesuffix(ending), meant
    if word.endswith("'s"):
        root = word.removesuffix("'s")
        return (root, "is") if root in _BEFORE_IS else (root, "")
    return word.replace("'", ""), ""


_BEFORE_IS = frozenset(("what", "where", "who", "when", "how", "why", "that", "there", "it", "he", "she", "here"))


def _number(piece: str) -> tuple[Token, ...]:
    if word := _ORDINALS.get(piece.casefold()):
        return (Token("word", word, piece),)
    return tuple(Token("number", amount.text, piece, amount=amount) for amount in numbers.parse(piece))
