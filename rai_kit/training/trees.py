"""Sequences of token ids as prefix trees: what several begin with is computed once, and nothing is padded.

A chosen and a rejected answer share their prompt, and all prompts share the template's beginning. Under causal attention no token depends
on what comes after it, so each has the score that it would have alone, given a mask that shows it the tokens before it on its own path.
Left out on purpose: sharing over steps, for the weights change between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Tree:
    """Some sequences of a batch.

    Attributes:
        ids: Token ids, a parent always before its children.
        places: Position of each token within its sequences, from 0.
        paths: Number of a sequence in the batch -> where its tokens are in `ids`.
    """

    ids: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    paths: dict[int, list[int]] = field(default_factory=dict)


def grow(sequences: Sequence[list[int]], most: int) -> list[Tree]:
    """Prefix trees that hold all sequences, each of at most `most` tokens, or of one sequence that is longer."""
    trees: list[Tree] = []
    before: list[int] = []
    # In the order of their tokens, each shares with the one before it at least what it shares with any earlier one.
    for number in sorted(range(len(sequences)), key=lambda number: sequences[number]):
        sequence = sequences[number]
        same = next(
            (at for at, (a, b) in enumerate(zip(before, sequence, strict=False)) if a != b), min(len(before), len(sequence))
        )
        if not trees or len(trees[-1].ids) + len(sequence) - same > most:
            trees.append(Tree())
            path: list[int] = []
            same = 0
        tree = trees[-1]
        path = [*path[:same], *range(len(tree.ids), len(tree.ids) + len(sequence) - same)]
        tree.ids += sequence[same:]
        tree.places += range(same, len(sequence))
        tree.paths[number], before = path, sequence
    return trees
