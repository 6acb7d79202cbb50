"""Fills the missing sides of examples with what a model itself says.

Preference training works best on answers that the model could have given. So the rejected side of a harmful prompt is what the
target says today; the chosen side of a harmless one is the target's own answer, so that training keeps it as helpful as it was; and
the chosen side of a harmful one may be the answer that the target gives when it is told what kind of harm it is dealing with. A judge
decides what is usable. What it could not score is never used, and every example is counted under what became of it.
It finds refusal and harm, and not whether a reason is one: read a sample before a small model's refusals replace the composed ones.
Left out on purpose: writing better answers than the target's own for harmless prompts.

Source: wrapping unsafe prompts with their harm category, after NVIDIA's safety post-training recipe; the words are our own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from rai_kit.data.taxonomy import HarmCategory, taxonomy
from rai_kit.metrics.coherence import loops
from rai_kit.pool import bounded
from rai_kit.schema import Case, Example, InputError, Judge, Message, Model, RunStopped, digest

RUBRIC = "harm"
KEPT = "kept"
LEAST_WORDS = 15
"""A shorter on-policy refusal has no room for a reason and a way on: the composed answer is better."""
LEAST_LEFT = 8
"""Words that must be left of an answer that was cut off at the token limit."""

WRAPPED = """Here is a message: "{request}"

It asks for something harmful: {title}. {definition}

Write a polite refusal, addressed to the person, in three or four sentences. Begin with words such as "I'm sorry, but I can't help with \
that, because", say who would be harmed, and then offer something helpful and harmless that you can do instead."""

_WRAPPER_SHOWS = re.compile(
    r"\b(?:this message|this category|the sender|the user)\b|polite (?:refusal|response)|^\W*(?:reply|refusal|response|subject|dear)\b",
    re.I,
)
_SENTENCE_END = re.compile(r"[^\W\d_][\"')\]*]*[.!?][\"')\]*]*(?=\s|$)")

Outcome = tuple[Example, str]
Accept = Callable[[Example, str, bool, float], Outcome]
"""Takes an example, an answer, whether that refuses, and its severity; gives the example, filled or not, and `kept` or why not."""


@dataclass(frozen=True)
class Filled:
    """What came of a pass.

    Attributes:
        examples: All that were given, in their order, filled where that was possible.
        tally: Kind of example to outcome to count; every example is counted once. `kept` was filled; `present` had that side already;
            `refused`, `not_refused`, `harmless`, `harmful` (by the judge), `babble`, `cut_short`, `bare` and `wrapper_shows` were not
            usable; `judge:...` could not be scored; everything else is the cause why the model gave no answer.
    """

    examples: tuple[Example, ...]
    tally: dict[str, dict[str, int]]


@dataclass(frozen=True)
class OnPolicy:
    """A target whose own answers fill the missing sides.

    Attributes:
        model: The target.
        judge: Finds refusals and harm; it sees only prompt and answer.
        name: The target's address, for `chosen_by` and `rejected_by`.
        seed: Seed of the calls, with the example's id.
        samples: Most calls for each example; they end with the first usable answer. Where there is none, the last cause is counted.
        concurrency: Most examples in flight.
        rejected_if: What an answer to a harmful prompt must be to become its rejected side: `harmful`, or at least `not_refused`.
        harmful_from: Severity (0-7) from which an answer is harmful; by default as in the suite `taxonomy`.
        beginnings: Take answers that were cut off as they are, for training that teaches no more than beginnings; otherwise up to their
            last whole sentence.
    """

    model: Model
    judge: Judge
    name: str
    seed: int = 0
    samples: int = 1
    concurrency: int = 16
    rejected_if: Literal["harmful", "not_refused"] = "not_refused"
    harmful_from: float = 3
    beginnings: bool = False

    def __post_init__(self) -> None:
        for name, value in {"samples": self.samples, "concurrency": self.concurrency}.items():
            if value < 1:
                raise InputError(f"{name} is {value}; give 1 or more.")
        if self.rejected_if not in ("harmful", "not_refused"):
            raise InputError(f"rejected_if is {self.rejected_if!r}; give 'harmful' or 'not_refused'.")

    async def answers(self, examples: Sequence[Example], progress: Callable[[str], None] | None = None) -> Filled:
        """Asks the prompts as they are: rejected sides of harmful examples, chosen sides of look-alikes and ordinary ones.

        An answer to a harmless prompt is kept when it neither refuses nor is harmful; it may be imitated then.

        Args:
            examples: Those of kind `unknown`, and those that have the side in question, are passed through.
            progress: Is told each outcome, in the order of finishing.

        Raises:
            InputError: The model or the judge said what no repetition would mend.
        """

        async def one(example: Example) -> Outcome:
            if example.kind == "unknown":
                return example, "unknown_kind"
            harmful = example.kind == "harmful"
            if (example.rejected if harmful else example.chosen) is not None:
                return example, "present"
            return await self._ask(example, example.prompt, self._rejected if harmful else self._chosen)

        return await self._all(examples, one, progress)

    async def mistakes(self, examples: Sequence[Example], progress: Callable[[str], None] | None = None) -> Filled:
        """Asks prompts whose right answer is known, and keeps what the model gets wrong as the rejected side.

        To a harmful prompt that is an answer that goes along with it, to a harmless one a refusal. Any other rejected side goes.

        Args:
            examples: Those of kind `unknown`, and those without a chosen answer, are passed through.
            progress: Is told each outcome, in the order of finishing.

        Returns:
            Of the tally `kept` are the mistakes, and `right` is what needs no correction.

        Raises:
            InputError: The model or the judge said what no repetition would mend.
        """

        async def one(example: Example) -> Outcome:
            if example.kind == "unknown" or example.chosen is None:
                return example, "unknown_kind" if example.kind == "unknown" else "no_right_answer"
            bare = replace(example, rejected=None, rejected_by=None, rejected_safe=None)
            return await self._ask(bare, bare.prompt, self._willing if bare.kind == "harmful" else self._shy)

        return await self._all(examples, one, progress)

    async def safe_answers(
        self,
        examples: Sequence[Example],
        categories: Sequence[HarmCategory] | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> Filled:
        """Asks harmful prompts wrapped with their harm category; where a safe answer comes, it takes the place of the chosen side.

        Args:
            examples: Others than harmful ones are passed through (`not_harmful`), as are those without a known category (`no_category`).
            categories: Harm categories with their definitions; all active ones when None.
            progress: Is told each outcome, in the order of finishing.

        Raises:
            InputError: The model or the judge said what no repetition would mend.
        """
        known = {one.id: one for one in (taxonomy().categories if categories is None else categories)}

        async def one(example: Example) -> Outcome:
            if example.kind != "harmful":
                return example, "not_harmful"
            category = next((known[id] for id in example.harm_categories if id in known), None)
            if category is None:
                return example, "no_category"
            return await self._ask(example, wrapped(example.prompt, category), self._safe)

        return await self._all(examples, one, progress)

    async def _ask(self, example: Example, messages: Sequence[Message], accept: Accept) -> Outcome:
        """Asks and judges until an answer is usable, `samples` times at most."""
        outcome = ""
        for sample in range(self.samples):
            try:
                filled, outcome = await self._once(example, messages, accept, sample)
            except (InputError, RunStopped):
                raise
            except Exception as error:  # one call of thousands; it is counted under its name
                filled, outcome = example, f"error:{type(error).__name__}"
            if outcome == KEPT:
                return filled, KEPT
        return example, outcome

    async def _once(self, example: Example, messages: Sequence[Message], accept: Accept, sample: int) -> Outcome:
        seed = int(digest(self.seed, example.source, example.id, sample), 16) % 2**31
        reply = await self.model(messages, seed=seed)
        if reply.cause is not None:
            return example, reply.cause
        if not reply.text.strip():
            return example, "empty"
        cut = reply.finish_reason == "length" and not self.beginnings
        answer = whole(reply.text) if cut else reply.text.strip()
        if answer is None:
            return example, "cut_short"
        if loops(answer):
            return example, "babble"
        asked = (*example.prompt, Message("assistant", answer))
        verdict = await self.judge(Case(id=example.id, messages=asked, rubric=RUBRIC))
        # earlier answers in the prompt are the template's, so only the last finding is the model's
        refused = verdict.refusals[-1] if verdict.refusals else verdict.refusal
        severity = verdict.scores[-1] if verdict.scores else verdict.score
        if not verdict.scored or refused is None or severity is None:
            return example, f"judge:{verdict.cause or 'no_finding'}"
        return accept(example, answer, refused, severity)

    def _rejected(self, example: Example, answer: str, refused: bool, severity: float) -> Outcome:
        harmful = severity >= self.harmful_from
        if not harmful and (refused or self.rejected_if == "harmful"):
            return example, "refused" if refused else "harmless"
        # that a judge found no harm in it does not make an answer that goes along safe
        return replace(example, rejected=answer, rejected_by=self.name, rejected_safe=False if harmful else None), KEPT

    def _willing(self, example: Example, answer: str, refused: bool, severity: float) -> Outcome:
        filled, outcome = self._rejected(example, answer, refused, severity)
        return filled, outcome if outcome == KEPT else "right"

    def _shy(self, example: Example, answer: str, refused: bool, severity: float) -> Outcome:
        if not refused:
            return example, "right"
        return replace(example, rejected=answer, rejected_by=self.name, rejected_safe=True), KEPT

    def _chosen(self, example: Example, answer: str, refused: bool, severity: float) -> Outcome:
        if refused or severity >= self.harmful_from:
            return example, "refused" if refused else "harmful"
        return replace(example, chosen=answer, chosen_by=self.name, chosen_safe=True, imitate=True), KEPT

    def _safe(self, example: Example, answer: str, refused: bool, severity: float) -> Outcome:
        if severity >= self.harmful_from or not refused:
            return example, "not_refused" if severity < self.harmful_from else "harmful"
        if len(answer.split()) < LEAST_WORDS:
            return example, "bare"
        if _WRAPPER_SHOWS.search(answer):
            return example, "wrapper_shows"
        return replace(example, chosen=answer, chosen_by=self.name, chosen_safe=True, imitate=True), KEPT

    async def _all(
        self,
        examples: Sequence[Example],
        one: Callable[[Example], Coroutine[Any, Any, Outcome]],
        progress: Callable[[str], None] | None,
    ) -> Filled:
        found: dict[int, Outcome] = {}

        async def ask(index: int) -> None:
            found[index] = await one(examples[index])
            if progress is not None:
                progress(found[index][1])

        await bounded(len(examples), ask, self.concurrency)
        tally: dict[str, Counter[str]] = {}
        for index, example in enumerate(examples):
            tally.setdefault(example.kind, Counter())[found[index][1]] += 1
        return Filled(
            tuple(found[index][0] for index in range(len(examples))),
            {kind: dict(sorted(counts.items())) for kind, counts in sorted(tally.items())},
        )


def wrapped(prompt: Sequence[Message], category: HarmCategory) -> tuple[Message, ...]:
    """The conversation with its last message wrapped: what harm it is about, and how to decline it."""
    request = WRAPPED.format(title=category.title.lower(), definition=category.definition.strip(), request=prompt[-1].content)
    return (*prompt[:-1], Message("user", request))


def whole(text: str) -> str | None:
    """A text that was cut off, up to its last whole sentence or line outside a code block; None where next to nothing is left."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    ends += [match.start() for match in re.finditer(r"(?<![:\n])\n", text)]
    fitting = [end for end in ends if text.count("```", 0, end) % 2 == 0]
    kept = text[: max(fitting, default=0)].strip()
    return kept if len(kept.split()) >= LEAST_LEFT else None
