"""The sentences that the static table is fitted to: their licence allows a table made from them to be distributed.

WordNet's definitions and examples (Princeton's licence, which goes along), and questions and orders made from
`templates.txt` (this project's own) and WordNet's words and phrases. The sets that judge the result are not among them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

TEMPLATES = Path(__file__).parent / "templates.txt"
MADE = 120_000
SEED = 5
# Numbers for the slot {D}.
NUMBERS = (2, 3, 4, 5, 7, 10, 12, 15, 18, 20, 24, 25, 30, 50, 90, 100, 500, 1000, 2019, 2020, 2023)
# One slot in three is filled from all of WordNet's words, the others from those that are one word piece.
COMMON = 2 / 3
PARTS = {"noun": "N", "verb": "V", "adj": "A"}


def sentences(wordnet: Path, vocabulary: dict[str, int]) -> list[str]:
    """wordnet: the folder of `data.noun` and its like. The same list every time."""
    found = [*_told(wordnet), *_made(wordnet, vocabulary)]
    return list(dict.fromkeys(found))


def _entries(wordnet: Path, part: str) -> Iterator[tuple[list[str], str]]:
    """The words and the gloss of each synset."""
    for line in (wordnet / f"data.{part}").read_text("latin-1").splitlines():
        if line.startswith("  "):
            continue  # the licence stands in the first lines
        head, gloss = line.split(" | ", 1)
        fields = head.split()
        words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
        yield [re.sub(r"\(.*\)", "", word).replace("_", " ") for word in words], gloss


def _told(wordnet: Path) -> list[str]:
    definitions, examples = [], []
    for part in ("noun", "verb", "adj", "adv"):
        for _, gloss in _entries(wordnet, part):
            definitions += _definition(gloss)
            examples += _examples(gloss)
    return definitions + examples


def _definition(gloss: str) -> list[str]:
    """The gloss without its examples, in a list; empty where it has none."""
    definition = gloss.split('; "', maxsplit=1)[0].strip().strip(";")
    return [definition] if definition and not definition.startswith('"') else []


def _examples(gloss: str) -> list[str]:
    return [example for example in re.findall(r'"([^"]+)"', gloss) if len(example) > 8]  # noqa: PLR2004


def _slots(wordnet: Path) -> dict[str, list[str]]:
    """What may fill the slots: N, V, A and P (names) words; n and v definitions of nouns and verbs; x examples."""
    found: dict[str, set[str]] = {slot: set() for slot in "NVAPnvx"}
    for part, slot in PARTS.items():
        for words, gloss in _entries(wordnet, part):
            found[slot].update(words)
            # A definition's first clause, as long as people ask.
            clauses = [re.split(r"[;:(]", definition)[0].strip() for definition in _definition(gloss)]
            if slot != "A":
                found[slot.lower()].update(clause for clause in clauses if clause.count(" ") in range(1, 10))
            found["x"].update(example.rstrip(".?!") for example in _examples(gloss))
    found["P"] = {word for word in found["N"] if word[0].isupper()}
    found["N"] -= found["P"]
    return {slot: sorted(words) for slot, words in found.items()}


def _made(wordnet: Path, vocabulary: dict[str, int]) -> list[str]:
    rng = random.Random(SEED)
    every = _slots(wordnet)
    common = {slot: [word for word in every[slot] if word.lower() in vocabulary and len(word) > 2] for slot in "NVAP"}  # noqa: PLR2004

    def fill(slot: re.Match[str]) -> str:
        if slot[1] == "D":
            return str(rng.choice(NUMBERS))
        return rng.choice(common[slot[1]] if slot[1] in common and rng.random() < COMMON else every[slot[1]])

    templates = TEMPLATES.read_text().splitlines()
    made = []
    for _ in range(MADE):
        sentence = re.sub(r"\{(.)\}", fill, rng.choice(templates))
        made.append(sentence[0].upper() + sentence[1:] if rng.random() < 0.4 else sentence)  # noqa: PLR2004
    return made
