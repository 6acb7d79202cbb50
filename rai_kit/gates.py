"""The rules by which a comparison passes or fails in a team's CI: `jailbreak.DR-1 <= 0.15 and harm.diff.high <= 0.02`.

A rule joins clauses `TERM OP NUMBER` by `and`, `or` (`and` binds closer) and parentheses; a TERM is `CATEGORY[.METRIC][.PART][.FIELD]`.
There is no `not`, no arithmetic and no comparison of two terms, on purpose: each clause is one number against one limit, so that a
failure is one sentence. What the categories are and what was measured is the caller's, who looks each term up.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from rai_kit.schema import SEVERITY_MAX, InputError

LENGTH = 2000
"""Most characters of a rule."""
DEPTH = 20
"""Most parentheses open at once."""
METRICS = (*(f"DR-{x}" for x in range(1, SEVERITY_MAX + 1)), "refusal", "ungroundedness", "severity")
"""And ASR@k with any k."""
ONE_ARM = ("value", "low", "high", "n", "n_unscored", "bound_low", "bound_high", "unscored")
FIELDS: Mapping[str, tuple[str, ...]] = {
    "after": ONE_ARM,
    "before": ONE_ARM,
    "diff": ("value", "low", "high", "bound_low", "bound_high", "n", "n_unscored", "fixed", "broken", "p", "p_holm", "mde"),
    "ratio": ("value", "low", "high", "n", "n_unscored"),
}
"""The fields of each part. `unscored` is n_unscored / (n + n_unscored)."""
COUNTS = ("n", "n_unscored", "fixed", "broken")
OPERATORS = ("<=", "<", ">=", ">", "==")
EXAMPLE = "jailbreak.DR-1 <= 0.15 and harm.diff.high <= 0.02"
MEANT = {"=": "==", "=<": "<=", "=>": ">=", "≤": "<=", "≥": ">=", "&&": "and", "&": "and", "||": "or", "|": "or"}


@dataclass(frozen=True, slots=True)
class Term:
    """What is measured: `CATEGORY[.METRIC][.PART][.FIELD]`. A metric of None is the category's primary one."""

    category: str
    metric: str | None = None
    part: str = "after"
    field: str = "value"

    def __str__(self) -> str:
        part = None if self.part == "after" else self.part
        field = None if self.field == "value" else self.field
        return ".".join(piece for piece in (self.category, self.metric, part, field) if piece)


@dataclass(frozen=True, slots=True)
class Clause:
    """One number against one limit."""

    term: Term
    operator: str
    limit: float

    def __str__(self) -> str:
        return f"{self.term} {self.operator} {_exact(self.limit)}"

    def holds(self, value: float) -> bool:
        """Whether a value meets the limit; NaN never does.

        Values that differ by less than 1e-12 count as equal: 0.28 - 0.26 is 0.02 to everybody but a floating-point unit.
        """
        same = math.isclose(value, self.limit, rel_tol=1e-12, abs_tol=1e-12)
        if self.operator == "==":
            return same
        if self.operator in ("<", ">") and same:
            return False
        beyond = value < self.limit if self.operator[0] == "<" else value > self.limit
        return beyond or (same and self.operator in ("<=", ">="))


@dataclass(frozen=True, slots=True)
class And:
    """Holds where all its parts do."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, Or) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or:
    """Holds where one of its parts does."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return " or ".join(map(str, self.parts))


Node = Clause | And | Or


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as `parse` reads it; its `str` is a rule again, and the same one."""

    root: Node

    def __str__(self) -> str:
        return str(self.root)

    def clauses(self) -> list[Clause]:
        """In the order in which they stand."""
        return list(_clauses(self.root))

    def terms(self) -> list[Term]:
        """What has to be looked up: in order, without repeats."""
        return list(dict.fromkeys(clause.term for clause in self.clauses()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A clause and what was measured. `excused`: it fails, but an alternative (`or`) holds, so that the rule does not fail by it."""

    clause: str
    value: float
    passed: bool
    words: str
    excused: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """Whether the rule holds, and every clause of it, in order. The rule fails exactly where a clause fails unexcused."""

    passed: bool
    clauses: tuple[Checked, ...]


def parse(text: str) -> Rule:
    """Reads a rule.

    Raises:
        InputError: It is none; where, what is allowed there, and what may have been meant.
    """
    if len(text) > LENGTH:
        raise InputError(f"the gate has {len(text)} characters; at most {LENGTH} are allowed: split it into several gates.")
    return Rule(_Parser(text).rule())


def check(rule: Rule, lookup: Callable[[Term], float]) -> Result:
    """Holds every clause against what was measured. All are evaluated, also where the result is clear before.

    Args:
        rule: As `parse` gives it.
        lookup: The value of a term (a share 0-1, a mean, a count), NaN where nothing was measured; asked once a term. It raises an
            `InputError` for a term that it does not know (see `unknown`).

    Raises:
        InputError: `lookup` did; the sentences of all terms together.
    """
    values: dict[Term, float] = {}
    problems: list[str] = []
    for term in rule.terms():
        try:
            values[term] = float(lookup(term))
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError(" ".join(problems))
    return Result(_holds(rule.root, values), tuple(_checked(rule.root, values, excused=False)))


def unknown(term: Term, what: Literal["category", "metric"], allowed: Iterable[str]) -> InputError:
    """The error for a term whose category or metric the caller does not have, in the words of this module's own errors."""
    return _error(f'gate, term {term}: unknown {what} "{getattr(term, what)}"', str(getattr(term, what)), sorted(set(allowed)))


def junit(result: Result, name: str, seconds: float | None = None) -> str:
    """JUnit XML: one suite, a test case a clause; the message of a failure is the clause's sentence with its numbers.

    A clause that fails excused is reported as skipped, so that the file fails exactly where the rule does.

    Args:
        result: As `check` gives it.
        name: Of the suite, and class name of its cases.
        seconds: How long all of it took; 0 is written where nobody knows, for the attribute must be there.
    """
    name = re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", name)  # what XML 1.0 can hold
    failed = [not one.passed and not one.excused for one in result.clauses]
    counts = {
        "name": name,
        "tests": str(len(result.clauses)),
        "failures": str(sum(failed)),
        "errors": "0",
        "skipped": str(sum(one.excused for one in result.clauses)),
        "time": f"{seconds or 0.0:.3f}",
    }
    suites = ElementTree.Element("testsuites", {key: value for key, value in counts.items() if key != "skipped"})
    suite = ElementTree.SubElement(suites, "testsuite", counts)
    for one, fails in zip(result.clauses, failed, strict=True):
        case = ElementTree.SubElement(suite, "testcase", {"name": one.clause, "classname": name, "time": "0.000"})
        if fails:
            ElementTree.SubElement(case, "failure", {"message": one.words, "type": "gate"}).text = one.words
        elif one.excused:
            ElementTree.SubElement(case, "skipped", {"message": one.words})
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _clauses(node: Node) -> Iterator[Clause]:
    if isinstance(node, Clause):
        yield node
    else:
        for part in node.parts:
            yield from _clauses(part)


def _holds(node: Node, values: Mapping[Term, float]) -> bool:
    if isinstance(node, Clause):
        return node.holds(values[node.term])
    return (all if isinstance(node, And) else any)(_holds(part, values) for part in node.parts)


def _checked(node: Node, values: Mapping[Term, float], *, excused: bool) -> Iterator[Checked]:
    """`excused`: an alternative to this node, or to one around it, holds."""
    if isinstance(node, Clause):
        value = values[node.term]
        passed = node.holds(value)
        found = "is NaN: nothing was measured" if math.isnan(value) else f"is {_readable(value, node)}"
        finding = "passes" if passed else "fails, but an alternative holds" if excused else "fails"
        words = f"{node.term} {found} (wanted {node.operator} {_exact(node.limit)}): {finding}"
        yield Checked(clause=str(node), value=value, passed=passed, words=words, excused=excused and not passed)
        return
    excused = excused or (isinstance(node, Or) and _holds(node, values))
    for part in node.parts:
        yield from _checked(part, values, excused=excused)


def _exact(number: float) -> str:
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _readable(value: float, clause: Clause) -> str:
    """Three digits, or as many as it takes to lie on the same side of the limit as the value."""
    if value.is_integer():
        return _exact(value)
    for digits in range(3, 17):
        if clause.holds(float(text := f"{value:.{digits}g}")) == clause.holds(value):
            return text
    return repr(value)


def _error(start: str, given: str, allowed: Sequence[str]) -> InputError:
    """`start` names the place and the piece; then what is allowed, what is near, and an example."""
    near = _nearest(given, allowed)
    few = allowed if len(allowed) <= 30 else [*allowed[:30], f"{len(allowed) - 30} more"]
    words = ", ".join(few) if few else "nothing"
    return InputError(f"{start}; allowed: {words}{f' (did you mean {near}?)' if near else ''}; for example: {EXAMPLE}.")


def _nearest(given: str, allowed: Sequence[str]) -> str | None:
    by_fold = {word.casefold(): word for word in allowed}
    wanted = MEANT.get(given, given)
    found = difflib.get_close_matches(wanted.casefold(), by_fold, n=1, cutoff=0.6)
    return by_fold[found[0]] if found else None


class _Parser:
    """Recursive descent over the pieces of a rule: alternatives of demands of single clauses or parentheses."""

    def __init__(self, text: str) -> None:
        self.pieces = [(found[0], found.start()) for found in re.finditer(r"[()]|[<>=!&|≤≥]+|[^\s()<>=!&|≤≥]+", text)]
        self.end = len(text)
        self.at = 0
        self.depth = 0

    def rule(self) -> Node:
        root = self.alternatives()
        if self.peek():
            raise self.error("and", "or", "the end of the rule")
        return root

    def alternatives(self) -> Node:
        parts = [self.demands()]
        while self.peek() == "or":
            self.at += 1
            parts.append(self.demands())
        return _joined(Or, parts)

    def demands(self) -> Node:
        parts = [self.single()]
        while self.peek() == "and":
            self.at += 1
            parts.append(self.single())
        return _joined(And, parts)

    def single(self) -> Node:
        if self.peek() != "(":
            return self.clause()
        self.depth += 1
        if self.depth > DEPTH:
            raise self.error(f"at most {DEPTH} parentheses within each other")
        self.at += 1
        inner = self.alternatives()
        if self.peek() != ")":
            raise self.error("and", "or", ")")
        self.at += 1
        self.depth -= 1
        return inner

    def clause(self) -> Clause:
        term = self.term()
        self.at += 1
        operator = self.peek()
        if operator not in OPERATORS:
            raise self.error(*OPERATORS)
        if operator == "==" and term.field not in COUNTS:
            raise self.error("<=", "<", ">=", ">", f"== only for counts, which {term} is not ({', '.join(COUNTS)})")
        self.at += 1
        piece = self.peek()
        found = re.fullmatch(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:(%)|(e[+-]?[0-9]{1,3}))?", piece, re.IGNORECASE)
        limit = float(f"{found[1]}{'e-2' if found[2] else found[3] or ''}") if found else math.nan
        if not found or not math.isfinite(limit):
            raise self.error("a number such as 0.15, 15%, 1e-3 or -0.02")
        if found[2] and term.field in COUNTS:
            raise self.error(f"a count such as 20, for {term} counts cases (of shares unscored: CATEGORY.unscored <= 5%)")
        self.at += 1
        return Clause(term, operator, limit)

    def term(self) -> Term:
        """Leaves the parser on the term, so that errors point at it."""
        category, *rest = self.peek().split(".")
        if not re.fullmatch(r"[A-Za-z0-9_-]+", category) or category in ("and", "or"):
            raise self.error("a term CATEGORY[.METRIC][.PART][.FIELD]", "(")
        metric, part, field = None, "after", "value"
        allowed = [*METRICS, "ASR@k", *FIELDS, *ONE_ARM]
        if rest and (rest[0] in METRICS or re.fullmatch(r"ASR@[1-9][0-9]{0,8}", rest[0])):
            metric = rest.pop(0)
            allowed = [*FIELDS, *ONE_ARM]
        if rest and rest[0] in FIELDS:
            part = rest.pop(0)
            allowed = list(FIELDS[part])
        if rest and rest[0] in FIELDS[part]:
            field = rest.pop(0)
            allowed = ["nothing after the field (the order is CATEGORY.METRIC.PART.FIELD)"]
        if rest:
            raise self.error(*allowed, rest=rest, hint=self.hint(part, rest[0]))
        return Term(category, metric, part, field)

    def hint(self, part: str, piece: str) -> str:
        """Of a field that another part has."""
        owners = [name for name, fields in FIELDS.items() if piece in fields and piece not in FIELDS[part]]
        return f" ({piece} is a field of {' and '.join(owners)}: write CATEGORY.{owners[0]}.{piece})" if owners else ""

    def peek(self) -> str:
        return self.pieces[self.at][0] if self.at < len(self.pieces) else ""

    def error(self, *allowed: str, rest: Sequence[str] = (), hint: str = "") -> InputError:
        """Of the piece at hand, or of the `rest` of a term from its first part that cannot be read."""
        if self.at >= len(self.pieces):
            return _error(f"gate, character {self.end + 1}: the rule ends here", "", allowed)
        whole, start = self.pieces[self.at]
        given = rest[0] if rest else whole
        place = start + 1 + (len(whole) - len(".".join(rest)) if rest else 0)
        inside = f" in {_short(whole)}" if rest else ""
        return _error(f'gate, character {place}: "{_short(given)}"{inside} cannot stand here{hint}', given, allowed)


def _joined(kind: type[And] | type[Or], parts: Sequence[Node]) -> Node:
    """Without needless levels: `(a and b) and c` is `a and b and c`."""
    flat = tuple(inner for part in parts for inner in (part.parts if isinstance(part, kind) else (part,)))
    return flat[0] if len(flat) == 1 else kind(flat)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
