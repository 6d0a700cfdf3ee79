"""Made questions by number, for timing: they must be many and alike; their meaning does not matter."""

from __future__ import annotations

from itertools import product
from math import gcd

OPENINGS = (
    "How do I {verb} the {noun} {where}?",
    "Can somebody explain how to {verb} the {noun} {where}?",
    "What is the best way to {verb} the {noun} {where}?",
    "Why is it so hard to {verb} the {noun} {where}?",
    "How long does it take to {verb} the {noun} {where}?",
    "Who is allowed to {verb} the {noun} {where}?",
    "What does it cost to {verb} the {noun} {where}?",
    "Which mistakes are common when people {verb} the {noun} {where}?",
)
# The same question as the one that the first opening asks.
REWORDED = "How can I {verb} the {noun} {where}?"


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.replace("\n", "|").strip("|").split("|"))


VERBS = _listed("""
repair|clean|install|replace|remove|test|describe|sell|rent|insure|paint|measure|store|ship|register|renew|cancel
upgrade|compare|design|protect|heat|cool|move|order|borrow|photograph|translate|organise|automate
""")
ADJECTIVES = _listed("old|new|large|small|broken|spare|public|private|shared|digital|wooden|electric|imported|used")
NOUNS = _listed("""
kitchen door|washing machine|passport|garden fence|bank account|guitar|database|bicycle|water pump|lease|telescope
phone line|solar panel|driving licence|engine|website|bookshelf|savings plan|coffee grinder|roof window|printer
health insurance|piano|greenhouse|fire alarm|spreadsheet|train ticket|wedding ring|aquarium|tax return
""")
PLACES = _listed("""
in a rented flat|on a farm in Spain|before winter comes|without special tools|at a small company|while travelling
for an elderly neighbour|with a tight budget|after a flood|in a school building|on a ship|during a power cut
in the mountains|close to the sea|for the first time|together with children|in the middle of the night|after moving
""")

WORDS = tuple(product(VERBS, ADJECTIVES, NOUNS, PLACES))
MOST = len(OPENINGS) * len(WORDS)
# Consecutive numbers give questions with little in common.
STRIDE = 1_000_003
assert gcd(STRIDE, MOST) == 1


def question(number: int) -> str:
    """The question of this number; each number below MOST has its own."""
    opening, words = divmod(number * STRIDE % MOST, len(WORDS))
    return _filled(OPENINGS[opening], words)


def reworded(number: int) -> str:
    """A paraphrase of that question: same words, another opening."""
    return _filled(REWORDED, number * STRIDE % MOST % len(WORDS))


def _filled(opening: str, words: int) -> str:
    verb, adjective, noun, where = WORDS[words]
    return opening.format(verb=verb, noun=f"{adjective} {noun}", where=where)
