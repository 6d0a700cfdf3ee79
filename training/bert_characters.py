"""What BERT's normaliser makes of each character, asked of the `tokenizers` package, as the file that ships.

    python training/bert_characters.py shared/subsecond/semantic/embedders/data/characters.json

The package counts as the definition: its tables are of three releases of Unicode, and those of Python's own
`unicodedata` change with the interpreter, which would change an embedder's vectors.
"""

from __future__ import annotations

import argparse
import json
import unicodedata
from collections import defaultdict
from pathlib import Path
from typing import Any

from tokenizers import normalizers, pre_tokenizers

NORMALIZER, SPLITTER = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
SURROGATES, HANGUL = range(0xD800, 0xE000), range(0xAC00, 0xD7A4)
# Marks that stay, of a high and a low combining class: one of them changes places with any other mark.
HIGH, LOW = "\u08d4", "\U00011446"


def written(char: str) -> str:
    """The character as it is cut into words: blanks stand around what is a word by itself."""
    text: str = NORMALIZER.normalize_str(f"a{char}b")
    words = [word for word, _ in SPLITTER.pre_tokenize_str(text)]
    return " ".join(words)[1:-1]


def is_sorted(mark: str) -> bool:
    """Whether neighbouring marks are put in order around this one."""
    pairs = ((mark, LOW), (HIGH, mark))
    return any(NORMALIZER.normalize_str(f"a{one}{other}") == f"a{other}{one}" for one, other in pairs if one != other)


def ranges(codes: list[int]) -> list[tuple[int, int]]:
    """First and last of each run."""
    found: list[tuple[int, int]] = []
    for code in codes:
        if found and found[-1][1] == code - 1:
            found[-1] = (found[-1][0], code)
        else:
            found.append((code, code))
    return found


def table() -> dict[str, Any]:
    kinds: dict[str, list[int]] = defaultdict(list)
    pairs: dict[str, str] = {}
    classes: dict[str, str] = defaultdict(str)
    for code in range(0x110000):
        if code in SURROGATES or code in HANGUL:
            continue
        char = chr(code)
        text = written(char)
        kind = {"": "removed", " ": "blank", f" {char} ": "alone", char: "kept"}.get(text)
        if kind:
            kinds[kind].append(code)
        else:
            pairs[char] = text
        if kind == "kept" and (place := unicodedata.combining(char)) and is_sorted(char):
            classes[str(place)] += char
    return {
        **{kind: ranges(kinds[kind]) for kind in ("removed", "blank", "alone")},
        "written": pairs,
        "classes": dict(classes),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    made = json.dumps(table(), ensure_ascii=False, separators=(",", ":"))
    parser.parse_args().file.write_text(made + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
