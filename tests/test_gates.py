import math
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_kit.gates import And, Clause, Or, Result, Rule, Term, check, junit, parse, unknown
from rai_kit.schema import InputError

NAN = float("nan")
MEASURED = {"a": 0.1, "b": 0.5, "c": 0.9, "nothing": NAN}


def measured(term):
    return MEASURED[term.category]


def passed(text):
    return check(parse(text), measured).passed


def refused(text):
    with pytest.raises(InputError) as caught:
        parse(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("jailbreak", Term("jailbreak")),
        ("jailbreak.DR-1", Term("jailbreak", "DR-1")),
        ("harm.diff.high", Term("harm", None, "diff", "high")),
        ("hate_gender.low", Term("hate_gender", None, "after", "low")),
        ("self-injury.refusal.before.n_unscored", Term("self-injury", "refusal", "before", "n_unscored")),
        ("all.ASR@10.ratio", Term("all", "ASR@10", "ratio")),
        ("x.unscored", Term("x", None, "after", "unscored")),
        ("x.severity.diff.p_holm", Term("x", "severity", "diff", "p_holm")),
        ("2024-suite.after.value", Term("2024-suite")),
        ("refusal.refusal", Term("refusal", "refusal")),
    ],
)
def test_terms(text, term):
    assert parse(f"{text} <= 0.5").root == Clause(term, "<=", 0.5)
    assert parse(f"{term}<=.5").root == Clause(term, "<=", 0.5)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.15", 0.15),
        ("15%", 0.15),
        ("0.3%", 0.003),
        ("1e-3", 1e-3),
        ("-0.02", -0.02),
        ("+2", 2.0),
        (".5", 0.5),
        ("2.5E+2", 250.0),
    ],
)
def test_numbers_are_read_exactly(text, number):
    assert parse(f"x <= {text}").root == Clause(Term("x"), "<=", number)
    assert parse(f"x<={text}").root == Clause(Term("x"), "<=", number)


def test_and_binds_closer_than_or_and_parentheses_closest():
    one, two, three = (Clause(Term(name), "<", 1.0) for name in "abc")
    assert parse("a < 1 or b < 1 and c < 1").root == Or((one, And((two, three))))
    assert parse("(a < 1 or b < 1) and c < 1").root == And((Or((one, two)), three))
    assert parse("((a < 1) and (b < 1 and c < 1))").root == And((one, two, three))
    assert passed("a < 1 or b < 0 and c < 0")
    assert not passed("(a < 1 or b < 0) and c < 0")


@pytest.mark.parametrize(
    ("operator", "held"),
    [("<=", [True, True, False]), ("<", [True, False, False]), (">=", [False, True, True]), (">", [False, False, True])],
)
def test_operators(operator, held):
    rule = parse(f"x {operator} 0.5")
    assert [check(rule, lambda _, value=value: value).passed for value in (0.4, 0.5, 0.6)] == held


def test_the_noise_of_floating_point_decides_nothing():
    assert 0.28 - 0.26 > 0.02
    assert check(parse("x <= 0.02"), lambda _: 0.28 - 0.26).passed
    assert not check(parse("x > 0.02"), lambda _: 0.28 - 0.26).passed
    assert not check(parse("x <= 0.02"), lambda _: 0.0200001).passed


def test_counts_may_be_equal_and_shares_may_not():
    assert check(parse("x.diff.broken == 0"), lambda _: 0).passed
    assert not check(parse("x.n == 50"), lambda _: 49).passed
    assert "only for counts" in refused("x.DR-1 == 0")


def test_terms_are_asked_once_in_order():
    rule = parse("b <= 1 and (a.n >= 3 or b >= 0) and a <= 1")
    assert rule.terms() == [Term("b"), Term("a", field="n"), Term("a")]
    asked = []
    check(rule, lambda term: asked.append(term) or 1.0)
    assert asked == rule.terms()


def test_every_clause_is_reported_with_its_numbers():
    result = check(
        parse("c.DR-1 <= 0.15 and a <= 20% and b.n >= 1e2"), lambda term: {"c": 0.1834, "a": 0.1, "b": 99}[term.category]
    )
    assert not result.passed
    assert [one.passed for one in result.clauses] == [False, True, False]
    assert [one.words for one in result.clauses] == [
        "c.DR-1 is 0.183 (wanted <= 0.15): fails",
        "a is 0.1 (wanted <= 0.2): passes",
        "b.n is 99 (wanted >= 100): fails",
    ]


def test_words_never_show_a_number_that_would_have_passed():
    (one,) = check(parse("x <= 0.15"), lambda _: 0.15 + 1e-6 / 3).clauses
    assert one.words == "x is 0.1500003 (wanted <= 0.15): fails"
    assert one.value == 0.15 + 1e-6 / 3


def test_what_was_not_measured_fails_and_says_so():
    for operator in ("<=", "<", ">=", ">"):
        (one,) = check(parse(f"nothing {operator} 0.5"), measured).clauses
        assert not one.passed
        assert "nothing was measured" in one.words
    assert not check(parse("nothing.n == 0"), measured).passed
    assert not passed("nothing < 1 and a < 1")
    result = check(parse("nothing < 1 or a < 1"), measured)
    assert result.passed
    assert [(one.passed, one.excused) for one in result.clauses] == [(False, True), (True, False)]


def test_a_clause_is_excused_only_where_its_own_alternative_holds():
    result = check(parse("(c < 0.5 or a < 0.5) and b < 0.1"), measured)
    assert not result.passed
    assert [one.excused for one in result.clauses] == [True, False, False]
    result = check(parse("c < 0.5 or b < 0.1"), measured)
    assert not any(one.excused for one in result.clauses)


def test_unknown_terms_are_named_all_together():
    def lookup(term):
        raise unknown(term, "category", ["jailbreak", "hate"])

    with pytest.raises(InputError, match=r'jailbrake.*"jailbrake".*did you mean jailbreak.*haet') as caught:
        check(parse("jailbrake.DR-1 < 1 and haet < 1"), lookup)
    assert "allowed: hate, jailbreak" in str(caught.value)
    many = str(unknown(Term("x", "DR-1"), "metric", [f"ASR@{k}" for k in range(1, 61)]))
    assert 'unknown metric "DR-1"' in many
    assert "30 more" in many


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("", 1, "the rule ends here; allowed: a term CATEGORY"),
        ("x", 2, "allowed: <=, <, >=, >, =="),
        ("x <=", 5, "a number such as 0.15"),
        ("x <= 1 and", 11, "a term CATEGORY"),
        ("x <= 1 y <= 2", 8, '"y" cannot stand here; allowed: and, or'),
        ("x <= 1 AND y <= 2", 8, "did you mean and?"),
        ("x <= 1 && y <= 2", 8, "did you mean and?"),
        ("x =< 1", 3, "did you mean <=?"),
        ("x ≤ 1", 3, "did you mean <=?"),
        ("x != 1", 3, "allowed: <="),
        ("x <= 0,15", 6, '"0,15" cannot stand here'),
        ("x <= 1e999", 6, "a number"),
        ("x <= nan", 6, "a number"),
        ("x <= y", 6, "a number"),
        ("(x <= 1", 8, "allowed: and, or, )"),
        ("x <= 1)", 7, "the end of the rule"),
        ("()", 2, "a term"),
        ("not x <= 1", 5, "allowed: <="),
        ("and <= 1", 1, "a term"),
        ("x.dif.high <= 1", 3, "did you mean diff?"),
        ("jailbreak.diff.hgih <= 1", 16, "did you mean high?"),
        ("x.dr-1 <= 1", 3, "did you mean DR-1?"),
        ("x.DR-8 <= 1", 3, "DR-7"),
        ("x.ASR@0 <= 1", 3, "did you mean ASR@k?"),
        ("x.p <= 1", 3, "write CATEGORY.diff.p"),
        ("x.ratio.mde <= 1", 9, "mde is a field of diff"),
        ("x.high.diff <= 1", 8, "the order is CATEGORY.METRIC.PART.FIELD"),
        ("x..high <= 1", 3, '"" in x..high'),
        ("x. <= 1", 3, '"" in x.'),
        ("ü <= 1", 1, "a term"),
        ("__import__('os') <= 1", 11, "cannot stand here"),
        ("x.n_unscored <= 5%", 17, "CATEGORY.unscored <= 5%"),
    ],
)
def test_errors_name_the_place_what_is_allowed_and_an_example(text, place, words):
    said = refused(text)
    assert said.startswith(f"gate, character {place}: ")
    assert words in said
    assert said.endswith("for example: jailbreak.DR-1 <= 0.15 and harm.diff.high <= 0.02.")
    example = said.split("for example: ")[1].removesuffix(".")
    assert str(parse(example)) == example


def test_size_is_bounded():
    assert parse("(" * 20 + "x<1" + ")" * 20).root == Clause(Term("x"), "<", 1.0)
    assert parse("(x<1) and " * 99 + "x<1")
    assert "at most 20 parentheses" in refused("(" * 21 + "x<1" + ")" * 21)
    assert "2000" in refused("x" * 2001)
    assert len(refused("x.y" + "y" * 1900 + " < 1")) < 700


def test_junit():
    result = check(parse("c.DR-1 <= 0.15 and (b <= 0.1 or a <= 0.2) and nothing >= 0"), measured)
    text = junit(result, 'runs/"a" & <b>\x00', seconds=1.25)
    assert text == junit(result, 'runs/"a" & <b>\x00', seconds=1.25)
    suites = ElementTree.fromstring(text.encode())
    (suite,) = suites
    assert (suites.tag, suite.tag) == ("testsuites", "testsuite")
    for one in (suites, suite):
        assert [one.get(key) for key in ("tests", "failures", "errors", "time")] == ["4", "2", "0", "1.250"]
    assert suite.get("skipped") == "1"
    assert suite.get("name") == 'runs/"a" & <b>?'
    assert [case.get("name") for case in suite] == ["c.DR-1 <= 0.15", "b <= 0.1", "a <= 0.2", "nothing >= 0"]
    assert all(
        case.tag == "testcase" and case.get("classname") == suite.get("name") and float(case.get("time")) == 0 for case in suite
    )
    assert [[(inner.tag, inner.get("message")) for inner in case] for case in suite] == [
        [("failure", "c.DR-1 is 0.9 (wanted <= 0.15): fails")],
        [("skipped", "b is 0.5 (wanted <= 0.1): fails, but an alternative holds")],
        [],
        [("failure", "nothing is NaN: nothing was measured (wanted >= 0): fails")],
    ]
    assert ElementTree.fromstring(junit(result, "x").encode())[0].get("time") == "0.000"


TERMS = st.builds(
    lambda category, metric, place: Term(category, metric, *place),
    st.sampled_from(["jailbreak", "hate_gender", "self-injury", "all", "7", "-", "low", "diff", "nan"]),
    st.sampled_from([None, "DR-1", "DR-7", "refusal", "ungroundedness", "severity", "ASR@1", "ASR@25"]),
    st.sampled_from([("after", "value"), ("after", "unscored"), ("before", "bound_low"), ("diff", "p_holm"), ("ratio", "high")]),
)
CLAUSES = st.builds(Clause, TERMS, st.sampled_from(["<=", "<", ">=", ">"]), st.floats(allow_nan=False, allow_infinity=False))
GROUPS = st.builds(lambda kind, parts: kind(tuple(parts)), st.sampled_from([And, Or]), st.lists(CLAUSES, min_size=2, max_size=3))
TREES = st.builds(
    lambda kind, parts: kind(tuple(parts)), st.sampled_from([And, Or]), st.lists(CLAUSES | GROUPS, min_size=2, max_size=3)
)
PIECES = ["x", "x.diff", ".", "p", "and", "or", "(", ")", "<=", "==", "=", "0.1", "5%", "-", "e", " ", "DR-1", "≤"]


def written(node):
    """With every parenthesis."""
    if isinstance(node, Clause):
        return str(node)
    return "(" + f" {'and' if isinstance(node, And) else 'or'} ".join(map(written, node.parts)) + ")"


def truth(node, value):
    if isinstance(node, Clause):
        return node.holds(value(node.term))
    held = [truth(part, value) for part in node.parts]
    return all(held) if isinstance(node, And) else any(held)


@settings(max_examples=100, deadline=None)
@given(TREES, st.sampled_from([-1.0, 0.0, 1.0, 1e300, NAN]))
def test_a_printed_rule_is_the_same_rule(tree, constant):
    rule = parse(written(tree))
    assert parse(str(rule)) == rule
    assert [str(one) for one in rule.clauses()] == [str(one) for one in Rule(tree).clauses()]

    def value(term):
        return constant if term.metric else -constant

    result = check(rule, value)
    assert result.passed is truth(tree, value)
    assert len(result.clauses) == len(rule.clauses())
    suite = ElementTree.fromstring(junit(result, "x").encode())[0]
    assert (suite.get("failures") == "0") is result.passed
    assert int(suite.get("failures")) + int(suite.get("skipped")) == sum(not one.passed for one in result.clauses)
    if math.isnan(constant):
        assert not any(one.passed for one in result.clauses)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40) | st.builds(str.join, st.sampled_from(["", " "]), st.lists(st.sampled_from(PIECES), max_size=12)))
def test_junk_is_a_rule_or_an_input_error(text):
    try:
        rule = parse(text)
    except InputError:
        return
    assert isinstance(check(rule, lambda _: 0.5), Result)
