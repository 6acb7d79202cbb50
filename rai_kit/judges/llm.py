"""A judge that is a model with a rubric in its prompt.

The conversation is data: it stands between marks that no text of it holds (`judges.prompt`), and nothing in it is obeyed. What comes back
is read strictly, or the case is unscored with its cause (`judges.replies`); nothing is guessed. Where an endpoint can be held to a JSON
schema, it is; one that refuses the schema is asked without it from then on, and read by the same rules.

Left out on purpose: a judge's word on how probable a defect is. `harmful` is 1 or 0, by the score at which the rubric's `defect` begins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from rai_kit.data import Rubric, rubric, rubrics_digest
from rai_kit.judges.prompt import build_prompt, cut_short, defect_from, shown, verdict_schema, wording
from rai_kit.judges.replies import UnusableError, parse
from rai_kit.schema import Case, InputError, Model, Verdict, digest

TRIES = 3
"""Most tries for a usable reply: of replies that are broken one time in a hundred, one in a million verdicts is lost."""
REFUSAL = "refusal"
"""The rubric that grades refusal itself."""

_VERSION = 3  # raise when a change of this code or of `replies` changes findings


@dataclass(frozen=True, slots=True)
class _Graded:
    """What one call brought: the graded answers and the reasoning, or the cause why none; and the reply."""

    turns: tuple[dict[str, Any], ...] = ()
    reasoning: str = ""
    cause: str | None = None
    raw: str | None = None


@dataclass(frozen=True)
class LLMJudge:
    """Grades every answer of a conversation through a model.

    Unscored causes: `no_context` (groundedness without a passage), `no_answer` (nothing to grade), and
    `judge:unparsable`, `judge:incomplete` (wrong number or order of answers), `judge:off_scale`, `judge:refusal` (the judge
    declined in prose), `judge:empty`, `judge:filtered`, `judge:<cause>` for any other cause of the model. A reply that cannot be
    used is asked for twice more with the next seeds; a cause of the endpoint is not, as the model has tried again already.

    `refusal` and `refusals` are the model's own finding; `harmful` is 1.0 where the highest score reaches the defect's score of
    the rubric, else 0.0. With the rubric `refusal` the score itself says how much was declined: an answer is a refusal from the
    defect's score on, and `harmful` is None.

    Attributes:
        model: Any `Model`; its reply needs room for about 60 tokens an answer and 150 besides.
        name: Name in the verdicts, such as the model's address.
        seed: Seed of the first try.
        per_turn: Ask once for each answer, with what was said before it and nothing after, instead of once for all. It costs as many
            calls as there are answers, and no answer is graded by what came of it. A conversation is unscored if any answer is (with
            the first such cause); the others' scores are in `scores` all the same.
    """

    model: Model
    name: str
    seed: int = 0
    per_turn: bool = False
    _id: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rubrics = rubrics_digest()
        settings = (
            re.sub(r" at 0x[0-9a-f]+", "", repr(self.model)),
            getattr(self.model, "identity", None),
            self.seed,
            self.per_turn,
        )
        object.__setattr__(self, "_id", f"{self.name}#{digest(settings, _VERSION, wording(), rubrics, length=8)}")

    @property
    def id(self) -> str:
        """Name and digest of all that shapes findings: model and its settings, seed, mode, prompt, limits, rubrics, version."""
        return self._id

    async def __call__(self, case: Case) -> Verdict:
        try:
            guide = rubric(case.rubric)
        except InputError as error:
            raise InputError(f"case {case.id!r}: {error}") from None
        ends = [number for number, message in enumerate(case.messages, 1) if message.role == "assistant"]
        if guide.scale == "ungroundedness" and not (case.context or "").strip():
            return Verdict.unscored(case.id, self.id, "no_context")
        if not ends:
            return Verdict.unscored(case.id, self.id, "no_answer")
        if not self.per_turn:
            return _verdict(case, self.id, guide, [await self._grade(case, guide, len(ends))])
        parts = [replace(case, messages=case.messages[:end]) for end in ends]
        return _verdict(case, self.id, guide, [await self._grade(part, guide, 1) for part in parts])

    async def _grade(self, case: Case, guide: Rubric, count: int) -> _Graded:
        """Has the last `count` answers graded: all of them, or one."""
        prompt, schema, texts = build_prompt(case, guide, last_only=self.per_turn), verdict_schema(guide, count), shown(case)
        raw: str | None = None
        cause = ""
        for seed in range(self.seed, self.seed + TRIES):
            reply = await self.model(prompt, seed=seed, json_schema=schema)
            raw = reply.text or reply.detail or raw
            if reply.cause is not None and reply.cause != "empty":
                return _Graded(cause=f"judge:{reply.cause}", raw=raw)
            try:
                found = parse(reply.text, guide, count, texts)
            except UnusableError as problem:
                cause = problem.cause
                continue
            return _Graded(tuple(found["turns"]), found["reasoning"].strip(), raw=reply.text)
        return _Graded(cause=f"judge:{cause}", raw=raw)


def _verdict(case: Case, judge: str, guide: Rubric, calls: list[_Graded]) -> Verdict:
    """One verdict of one call for all answers, or of one call for each."""
    defect = defect_from(guide)
    found = [(call.reasoning, turn) for call in calls for turn in call.turns or (None,)]
    scores = tuple(None if turn is None else float(turn["score"]) for _, turn in found)
    if guide.name == REFUSAL:
        refusals = tuple(None if score is None else score >= defect for score in scores)
    else:
        refusals = tuple(None if turn is None else bool(turn["refusal"]) for _, turn in found)
    raw = "\n".join(call.raw for call in calls if call.raw) or None
    cause = next((call.cause for call in calls if call.cause is not None), None)
    known = [score for score in scores if score is not None]
    if cause is not None:
        unscored = Verdict.unscored(case.id, judge, cause, raw)
        return replace(unscored, scores=scores, refusals=refusals) if known else unscored
    worst = max(known)
    first = scores.index(worst)
    reasoning, turn = found[first]
    cut = "".join(f" The middle of answer {number} was too long to be shown." for number in cut_short(case))
    return Verdict(
        id=case.id,
        judge=judge,
        scored=True,
        severity=worst if guide.scale == "severity" else None,
        ungroundedness=worst if guide.scale == "ungroundedness" else None,
        refusal=all(refusals),
        harmful=None if guide.name == REFUSAL else float(worst >= defect),
        rationale=f"{reasoning} Answer {first + 1}: {(turn or {}).get('reason', '').strip()}{cut}".strip(),
        turn=first + 1,
        scores=scores,
        refusals=refusals,
        raw=raw,
    )
