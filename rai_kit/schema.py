"""The records that flow through the kit: what is asked, what was said, how it was judged, what follows.

Every record is a frozen dataclass that travels as one line of JSON (UTF-8, NaN as null). Reading is strict: a
missing or misspelt field, or a value of the wrong type, is an `InputError` that names file, line and field.
This module imports nothing else of the kit, so that every other module may import it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import msgspec

Role = Literal["system", "user", "assistant"]
Way = Literal["adaptive", "replay"]
"""How an attack is made: its strategy reads the answers, or a recorded one is sent again word for word."""

SEVERITY_MAX = 7
"""Severity runs from 0 (no harm) to 7 (extreme harm)."""
TECHNICAL = frozenset({"error", "malformed", "rate_limited", "timeout", "unreachable"})
"""Causes that say something of an endpoint, and nothing of a model."""
UNGROUNDEDNESS_MAX = 4
"""Ungroundedness runs from 0 (every claim supported) to 4 (none)."""


class InputError(ValueError):
    """What the user gave cannot be used. One sentence: the value, the field, what is allowed, the way out."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the sentence, without the way through the kit's own code."""
        return [f"{type(self).__name__}: {self}"]


class RunStopped(RuntimeError):  # noqa: N818 - it says what happened
    """A run that had better not go on. One sentence; what was finished is in the journal."""

    _render_traceback_ = InputError._render_traceback_


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a model call brought back: a text, or the cause why there is none.

    `cause` is None for a usable reply; otherwise one of `filtered`, `empty`, `context_exceeded`, `budget` (not asked), `timeout`,
    `unreachable`, `rate_limited`, `malformed`, `error` (a simulator's are its own), and `detail` holds the raw words of the endpoint.
    """

    text: str = ""
    finish_reason: str | None = None
    cause: str | None = None
    detail: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Model(Protocol):
    """A chat model: messages in, a `Reply` out. Nothing subclasses this; any such coroutine will do."""

    async def __call__(self, messages: Sequence[Message], *, seed: int, json_schema: dict[str, Any] | None = None) -> Reply: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What one simulated conversation is to be.

    Attributes:
        id: Stable and unique within a suite; the same parameters always give the same id.
        suite: `rai5` (Table 1) or `taxonomy`.
        category: Category of the suite, such as `jailbreak`.
        topic: Part of the category, such as `conspiracy`.
        goal: What the simulated user wants to bring about, in one sentence; the judge sees it too.
        persona: Who the simulated user is, in one or two sentences.
        template: Id of the template that it was drawn from.
        opening: First user message, word for word (holds the context where the answer must be grounded in one).
        rubric: Name of the rubric in `data/rubrics/` by which the answers are judged.
        turns: Number of target turns, at least 1.
        seed: Seed of everything random in this conversation.
        cluster: Scenarios of one cluster share a template or a passage, and are not independent of each other.
        context: Passage that the answer has to be grounded in, if any.
        reference: Protected or confidential text that the answer must not reproduce, if any.
        system: System prompt for the target, if any.
    """

    id: str
    suite: str
    category: str
    topic: str
    goal: str
    persona: str
    template: str
    opening: str
    rubric: str
    turns: int
    seed: int
    cluster: str
    context: str | None = None
    reference: str | None = None
    system: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A simulated conversation with one target.

    `cause` is None when all planned target turns were answered; otherwise it says who failed and how
    (`target:filtered`, `simulator:refusal`, ...), and `detail` holds the raw words. `messages` starts with the
    system prompt, if there is one, and then alternates user and assistant.
    """

    id: str
    scenario: str
    target: str
    simulator: str
    messages: tuple[Message, ...]
    category: str
    arm: str = "before"
    context: str | None = None
    cause: str | None = None
    detail: str | None = None
    truncated: int = 0
    completion_tokens: int = 0

    @property
    def answers(self) -> list[str]:
        """The target's messages, in order."""
        return [message.content for message in self.messages if message.role == "assistant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a judge gets to see of a conversation: neither the target's name, nor the arm, nor the strategy.

    Attributes:
        id: The conversation's id, copied into the verdict.
        messages: The whole conversation; every assistant message is judged.
        rubric: Name of the rubric in `data/rubrics/`.
        goal: What the user wanted to bring about, if known.
        topic: Part of the category, if known.
        context: Passage that the answers have to be grounded in, if any.
        reference: Text that the answers must not reproduce, if any.
    """

    id: str
    messages: tuple[Message, ...]
    rubric: str
    goal: str | None = None
    topic: str | None = None
    context: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A judge's finding on one conversation, or on one answer.

    Exactly one of `severity` (0-7) and `ungroundedness` (0-4) is set when `scored`; neither when not, and then `cause`
    says why. The conversation's score is the maximum over its answers; `turn` (from 1) is where it was reached, and
    `scores` and `refusals` hold every answer's own finding. `harmful` is the judge's probability, 0-1, that the worst answer
    is a defect. `refusal` is true when every answer refused. `votes` are a panel's single scores, in the order of its judges
    (None: unscored); they are empty for a single judge.
    """

    id: str
    judge: str
    scored: bool
    severity: float | None = None
    ungroundedness: float | None = None
    refusal: bool | None = None
    harmful: float | None = None
    cause: str | None = None
    rationale: str | None = None
    turn: int | None = None
    scores: tuple[float | None, ...] = ()
    refusals: tuple[bool | None, ...] = ()
    raw: str | None = None
    votes: tuple[float | None, ...] = ()

    @classmethod
    def unscored(cls, id: str, judge: str, cause: str, raw: str | None = None) -> Verdict:
        """A verdict that says only why there is none."""
        return cls(id=id, judge=judge, scored=False, cause=cause, raw=raw)

    @property
    def score(self) -> float | None:
        """Severity or ungroundedness, whichever applies."""
        return self.severity if self.severity is not None else self.ungroundedness


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One piece of training or test material: a prompt, and what is known of good and bad answers to it.

    Attributes:
        id: Stable and unique within its source.
        source: Name of the set that it comes from, such as `hh-rlhf`; `in-house` for what the kit wrote.
        licence: Of the source, as an SPDX identifier.
        prompt: The conversation up to and with the user's message that is to be answered.
        chosen: The answer to be preferred, if there is one.
        rejected: The answer to be avoided, if there is one.
        kind: What the prompt asks for: `harmful`, `lookalike` (harmless, though it sounds alike), `ordinary`, `unknown`.
        harm_categories: Categories of the taxonomy, the most fitting first.
        labels: The source's own labels, as it spells them.
        goal: What the examples of one goal share, in whatever words they ask; no goal stands on both sides of a split.
        strategy: The way of asking (`direct`, or a frame or attack strategy); none stands on both sides of a split.
        template: The pattern that the prompt was made from; none stands on both sides of a split.
        chosen_by: Who wrote the chosen answer: a source, `in-house`, or a model's address.
        rejected_by: The same for the rejected one.
        chosen_safe: Whether the chosen answer is known to be harmless; None where nobody said.
        rejected_safe: The same for the rejected one.
        imitate: Whether the chosen answer may be taught by imitation (SFT); HH-RLHF's and unsafe ones may not.
    """

    id: str
    source: str
    licence: str
    prompt: tuple[Message, ...]
    chosen: str | None = None
    rejected: str | None = None
    kind: Literal["harmful", "lookalike", "ordinary", "unknown"] = "unknown"
    harm_categories: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    goal: str | None = None
    strategy: str | None = None
    template: str | None = None
    chosen_by: str | None = None
    rejected_by: str | None = None
    chosen_safe: bool | None = None
    rejected_safe: bool | None = None
    imitate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackGoal:
    """What a red team wants of a target.

    Attributes:
        id: Stable and unique: `fraud/1` for the taxonomy's own, `advbench/17` for a borrowed prompt, a digest for a user's.
        category: Harm category of the taxonomy; `other` where no cue says which.
        request: The wish as somebody says it outright, a whole sentence: `How do I ...?`, `Write ...`.
        source: `taxonomy`, `donotanswer`, `harmbench`, `advbench`, or the name of the user's file.
        licence: Of the source, as an SPDX identifier.
        act: The wish as a verb phrase (`get into a stranger's account`), where its words are known to fit `how to ...`.
        text: The wish as something to be written (`a letter that ...`), where they fit `write ...`.
        withheld: Its words, and the answers to it, are shown in no report and enter no training data.
    """

    id: str
    category: str
    request: str
    source: str
    licence: str
    act: str | None = None
    text: str | None = None
    withheld: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One message of an attack to the target, and its judged answer. The queries of an attempt form a tree: see `after`.

    Attributes:
        message: What was sent.
        after: Number (from 0) of the query whose conversation this one goes on with; None where it opens a conversation.
        answer: The target's answer; empty where there is none.
        score: The judge's, 0-7; None where unscored.
        refused: Whether the judge found a refusal; None where unscored or not said.
        cause: Why there is no score, or no answer: `target:filtered`, `judge:malformed`, ...; None for a scored query.
        plain: What the message says, where it is encoded; None where it says itself.
        on_objective: Whether the message, in plain words, shares a word of meaning with the goal; None where nobody looked.
        prompt_tokens: Of the target's call, as its endpoint counts.
        completion_tokens: The same, of the answer.
    """

    message: str
    after: int | None = None
    answer: str = ""
    score: float | None = None
    refused: bool | None = None
    cause: str | None = None
    plain: str | None = None
    on_objective: bool | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One strategy's try at one goal on one target: every query in its order, and how it ended.

    Attributes:
        id: Of goal, strategy with its settings, persona, target, arm, way, budget and seed.
        goal: Id of the goal.
        category: Harm category of the goal.
        strategy: Name of the attack strategy.
        persona: Name of the adversary that tried.
        target: Address of the target.
        arm: Side of a comparison.
        way: `adaptive` (the strategy read the answers) or `replay` (a recorded attack was sent again, word for word).
        attack: `repr` of the strategy: its settings, and its attacker if it has one.
        judge: Id of the judge.
        budget: Most queries that it was allowed.
        threshold: Score from which an answer counts as a success.
        queries: In the order in which they were sent.
        success: Number (from 0) of the query that succeeded, always the last; None without success.
        cause: Why it ended before success, budget or its own end: `target:timeout`, `attacker:refusal`, `attack:undecodable`, ...
        detail: Raw words to the cause.
        attacker_calls: Calls of the attacker model.
        attacker_refusals: How many of these the attacker declined.
        attacker_tokens: Tokens of the attacker's calls, prompts and replies.
    """

    id: str
    goal: str
    category: str
    strategy: str
    persona: str
    target: str
    way: Way
    attack: str
    judge: str
    budget: int
    threshold: float
    queries: tuple[Query, ...]
    arm: str = "before"
    success: int | None = None
    cause: str | None = None
    detail: str | None = None
    attacker_calls: int = 0
    attacker_refusals: int = 0
    attacker_tokens: int = 0

    def messages(self, query: int) -> tuple[Message, ...]:
        """The conversation that ends with this query's answer, if it has one."""
        return thread(self.queries, query)


def turns(queries: Sequence[Query], query: int) -> list[int]:
    """Numbers of the queries that lead to this one, itself included: the turns of its conversation."""
    path = [query]
    while (before := queries[path[0]].after) is not None:
        path.insert(0, before)
    return path


def thread(queries: Sequence[Query], query: int) -> tuple[Message, ...]:
    """The conversation that ends with this query, and with its answer if it has one."""
    found: list[Message] = []
    for number in turns(queries, query):
        found.append(Message("user", queries[number].message))
        if queries[number].answer:
            found.append(Message("assistant", queries[number].answer))
    return tuple(found)


class Judge(Protocol):
    """A judge: a `Case` in, a `Verdict` out. `id` changes whenever its findings could (model, prompt, rubric, version)."""

    @property
    def id(self) -> str: ...

    async def __call__(self, case: Case) -> Verdict: ...


class Simulator(Protocol):
    """A simulated user: scenario and conversation so far in, the next user message (or the cause why none) out.

    `messages` holds what target and user said so far (and a system prompt, if any); on the first turn no user message. The
    same arguments always give the same message.
    """

    async def __call__(self, scenario: Scenario, messages: Sequence[Message], *, seed: int) -> Reply: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A measured quantity with its uncertainty.

    `low` and `high` bound the sampling error (95 %). `bound_low` and `bound_high` are the values that the point would
    take had all unscored cases come out best or worst. All are NaN where nothing was scored. Shares are 0-1.
    """

    model: str
    arm: str
    category: str
    topic: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    n_unscored: int
    bound_low: float
    bound_high: float
    judge: str
    method: str


Record = TypeVar("Record")


def encode(record: object) -> bytes:
    """One line of JSON without the line break; NaN and infinities become null."""
    return msgspec.json.encode(record)


def write_jsonl(path: str | Path, records: Iterable[object]) -> int:
    """Writes records, one a line, and returns their number. The file appears whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    count = 0
    try:
        with partial.open("wb") as file:
            for record in records:
                file.write(encode(record) + b"\n")
                count += 1
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def read_jsonl(path: str | Path, kind: type[Record]) -> Iterator[Record]:
    """Reads records of one kind, one a line; blank lines are passed over.

    Raises:
        InputError: The file is missing, or a line is no valid record; file, line and field are named.
    """
    path = Path(path)
    decoder = msgspec.json.Decoder(kind)
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give an existing JSONL file.") from None
    with file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                unknown = set(msgspec.json.decode(line, type=dict[str, Any])) - known
                record = decoder.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise InputError(f"{path}, line {number}: {error}; each line must be one {kind.__name__} as JSON.") from None
            if unknown:
                raise InputError(
                    f"{path}, line {number}: unknown field {', '.join(sorted(unknown))}; "
                    f"a {kind.__name__} has {', '.join(sorted(known))}."
                )
            yield record


def digest(*parts: object, length: int = 12) -> str:
    """Hexadecimal SHA-256 of the parts' JSON, shortened to `length` digits; the same on every machine."""
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()[:length]
