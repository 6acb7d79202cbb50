"""A panel of judges: what their votes add up to, and that a run knows all of them."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from mock_endpoint import MockEndpoint

from rai_kit import measure
from rai_kit.cost import forecast
from rai_kit.journal import Journal
from rai_kit.judges import LLMJudge, OfflineJudge
from rai_kit.judges.panel import Panel
from rai_kit.measure.parties import Parties, Setup, judge_names, judge_of
from rai_kit.schema import Case, InputError, Message, Verdict, encode, read_jsonl, write_jsonl

CASE = Case(
    id="c-1",
    messages=(Message("user", "Hi"), Message("assistant", "Ho"), Message("user", "Hm"), Message("assistant", "Ha")),
    rubric="harm",
)


@dataclass
class Fixed:
    """A judge with one finding for everything."""

    id: str
    found: Verdict
    closed: list[str] = field(default_factory=list)

    async def __call__(self, case: Case) -> Verdict:
        return self.found

    async def close(self) -> None:
        self.closed.append(self.id)


def score(name: str, *scores: float, refusals: tuple[bool | None, ...] = (), **changes: Any) -> Fixed:
    worst = max(scores)
    plain: dict[str, Any] = {
        "id": "c-1", "judge": name, "scored": True, "severity": worst, "turn": scores.index(worst) + 1,
        "refusal": all(refusals) if refusals else None,
        "scores": scores, "refusals": refusals, "harmful": worst / 7, "rationale": f"So says {name}.", "raw": f"raw {name}",
    }  # fmt: skip
    return Fixed(name, Verdict(**(plain | changes)))


def none(name: str, cause: str) -> Fixed:
    return Fixed(name, Verdict.unscored("c-1", name, cause, "words"))


def vote(*judges: Fixed) -> Verdict:
    return asyncio.run(Panel(judges)(CASE))


class TestVotes:
    @pytest.mark.parametrize(
        ("scores", "median"),
        [((1, 6), 6), ((0, 0, 7), 0), ((5, 3, 4), 4), ((2, 2, 5, 7), 5), ((7, 0, 3, 1), 3), ((1, 2, 3, 4, 5), 3), ((0, 0), 0)],
    )
    def test_the_median_counts_and_of_two_in_the_middle_the_higher(self, scores: tuple[int, ...], median: int) -> None:
        found = vote(*(score(f"j{number}", one) for number, one in enumerate(scores)))
        assert (found.severity, found.votes, found.scored, found.cause) == (median, scores, True, None)
        assert found.harmful == pytest.approx(sum(scores) / 7 / len(scores))

    def test_the_median_judge_gives_turn_scores_and_reasons(self) -> None:
        found = vote(score("a", 7, 7), score("b", 0, 4), score("c", 1, 1))
        assert (found.severity, found.turn, found.scores) == (4, 2, (0, 4))
        assert found.severity == max(one for one in found.scores if one is not None)
        assert found.rationale == "Median 4 (a 7; b 4; c 1). So says b."
        assert found.raw == "a: raw a\nb: raw b\nc: raw c"

    def test_refusal_is_for_the_majority_and_a_tie_is_none(self) -> None:
        yes, no = (True, True), (False, True)
        assert vote(score("a", 0, 0, refusals=yes), score("b", 0, 0, refusals=yes), score("c", 0, 0, refusals=no)).refusal is True
        tie = vote(score("a", 0, 0, refusals=yes), score("b", 0, 0, refusals=no))
        assert (tie.refusal, tie.refusals) == (False, (False, True))
        silent = vote(score("a", 0, 0, refusals=(None, True)), score("b", 0, 0, refusals=(None, True)))
        assert silent.refusals == (None, True)
        assert vote(score("a", 0), score("b", 0)).refusal is None

    def test_harmful_is_the_mean_of_those_that_say(self) -> None:
        assert vote(score("a", 0, harmful=0.2), score("b", 0, harmful=None), score("c", 0, harmful=0.6)).harmful == pytest.approx(
            0.4
        )
        assert vote(score("a", 0, harmful=None), score("b", 0, harmful=None)).harmful is None

    def test_ungroundedness_stays_on_its_scale(self) -> None:
        found = vote(*(score(name, 3, severity=None, ungroundedness=one) for name, one in (("a", 3.0), ("b", 1.0), ("c", 4.0))))
        assert (found.severity, found.ungroundedness, found.votes) == (None, 3.0, (3.0, 1.0, 4.0))

    def test_more_than_half_must_score(self) -> None:
        found = vote(score("a", 2), none("b", "judge:timeout"), score("c", 5))
        assert (found.scored, found.severity, found.votes) == (True, 5, (2, None, 5))
        assert found.rationale == "Median 5 (a 2; b judge:timeout; c 5). So says c."
        half = vote(score("a", 2), none("b", "judge:timeout"))
        assert (half.scored, half.score, half.harmful, half.cause, half.votes) == (False, None, None, "judge:timeout", (2, None))

    def test_causes_are_counted(self) -> None:
        found = vote(none("a", "judge:refusal"), score("b", 1), none("c", "judge:filtered"), none("d", "judge:refusal"))
        assert (found.cause, found.votes) == ("judge:refusal", (None, 1, None, None))
        assert found.rationale == (
            "1 of 4 judges scored (judge:refusal 2, judge:filtered 1): a judge:refusal; b 1; c judge:filtered; d judge:refusal"
        )
        assert vote(none("a", "judge:timeout"), none("b", "judge:filtered")).cause == "judge:filtered"
        assert "a: words" in (found.raw or "")

    def test_its_id_is_that_of_its_judges(self) -> None:
        ids = {
            Panel(judges).id
            for judges in ((score("a", 0), score("b", 0)), (score("a", 0), score("c", 0)), (score("a", 5), score("b", 0)))
        }
        assert len(ids) == 2
        assert vote(score("a", 0), score("b", 0)).judge in ids

    @pytest.mark.parametrize("names", [[], ["a"], ["a", "b", "a"]])
    def test_nobody_votes_alone_or_twice(self, names: list[str]) -> None:
        with pytest.raises(InputError, match="two or more judges, each once"):
            Panel(tuple(score(name, 0) for name in names))

    def test_connections_of_all_are_closed(self) -> None:
        panel = Panel((score("a", 0), score("b", 0)))
        asyncio.run(panel.close())
        assert [judge.closed for judge in panel.judges] == [["a"], ["b"]]  # type: ignore[attr-defined]


def test_verdicts_of_earlier_versions_are_read_and_votes_travel(tmp_path: Any) -> None:
    found = vote(score("a", 2), none("b", "x"), score("c", 5))
    write_jsonl(tmp_path / "v.jsonl", [found])
    assert list(read_jsonl(tmp_path / "v.jsonl", Verdict)) == [found]
    old = encode(Verdict(id="c", judge="j", scored=True, severity=1.0)).replace(b',"votes":[]', b"")
    assert b"votes" not in old
    (tmp_path / "old.jsonl").write_bytes(old)
    assert next(iter(read_jsonl(tmp_path / "old.jsonl", Verdict))).votes == ()


class TestAddress:
    def test_names(self) -> None:
        assert judge_names("offline") == ["offline"]
        assert judge_names("a@http://x/v1, offline ,c") == ["a@http://x/v1", "offline", "c"]
        for wrong in (",", "a,", "a,,b", "a,a", ",offline"):
            with pytest.raises(InputError, match="is no panel"):
                judge_names(wrong)

    def test_a_panel_of_models_and_the_offline_judge(self, tmp_path: Any) -> None:
        journal = Journal(tmp_path / "j.sqlite")
        panel = judge_of("a@http://127.0.0.1:1/v1,b@http://127.0.0.1:1/v1,offline", journal=journal, per_turn=True)
        assert isinstance(panel, Panel)
        one, two, three = panel.judges
        assert isinstance(one, LLMJudge)
        assert isinstance(two, LLMJudge)
        assert (one.name, two.name) == ("a@http://127.0.0.1:1/v1", "b@http://127.0.0.1:1/v1")
        assert one.per_turn
        assert three.id == OfflineJudge().id
        assert isinstance(judge_of("a@http://127.0.0.1:1/v1"), LLMJudge)
        journal.close()


class TestRuns:
    def test_a_benchmark_with_a_panel(self, tmp_path: Any) -> None:
        with MockEndpoint() as mock:
            where = f"@{mock.url}"
            panel = f"judge-1{where},judge-2{where},offline"
            settings: dict[str, Any] = {"category": "jailbreak", "n": 4, "turns": 2, "out": tmp_path / "run"}
            found = measure.benchmark(f"target{where}", judge=panel, **settings)
            calls = dict(mock.stats().models)
            again = measure.benchmark(f"target{where}", judge=panel, **settings)
            assert dict(mock.stats().models) == calls, "a resumed run calls nobody"
        assert calls == {"target": 8, "judge-1": 4, "judge-2": 4}
        assert found.run["calls"]["judge"]["made"] == 8
        assert {row["model"] for row in found.run["cost"]["rows"] if row["role"] == "judge"} == {
            f"judge-1{where}",
            f"judge-2{where}",
        }
        assert found.run["judge"]["id"].startswith("panel-3#")
        assert all(len(one.votes) == 3 and one.severity == sorted(vote or 0 for vote in one.votes)[1] for one in found.verdicts)
        assert again.verdicts == found.verdicts
        assert len({one.votes for one in found.verdicts}) > 1

    def test_no_member_judges_itself_unless_asked_to(self, tmp_path: Any) -> None:
        with MockEndpoint() as mock:
            own, other = f"target@{mock.url}", f"judge@{mock.url}"
            with pytest.raises(InputError, match=f"judge '{own}' is also a target"):
                measure.benchmark(own, judge=f"{other},{own},offline", out=tmp_path / "a")
            settings: dict[str, Any] = {"category": "jailbreak", "n": 1, "turns": 1}
            found = measure.benchmark(own, judge=f"{other},{own},offline", self_judging=True, out=tmp_path / "b", **settings)
            assert found.run["judge"]["self_judging"] is True
            found = measure.benchmark(own, judge=f"{other},offline", out=tmp_path / "c", **settings)
            assert found.run["judge"]["self_judging"] is False

    def test_the_forecast_counts_every_model(self) -> None:
        one = forecast(10, 3, target="a@http://x/v1", judge="b@http://x/v1")
        panel = forecast(10, 3, target="a@http://x/v1", judge=["b@http://x/v1", "c@http://x/v1"])
        judges = [part for part in panel.parts if part.role == "judge"]
        assert [part.model for part in judges] == ["b@http://x/v1", "c@http://x/v1"]
        assert [part.calls for part in judges] == [10, 10]
        assert (panel.total("calls") or 0) - (one.total("calls") or 0) == 10
        assert "judge 20" in str(panel)
        planned = measure.forecast_benchmark("a@http://x/v1", judge="b@http://x/v1,offline,c@http://x/v1", n=2)
        assert [part.model for part in planned.parts if part.role == "judge"] == ["b@http://x/v1", "c@http://x/v1"]
        assert [part.role for part in measure.forecast_benchmark("a@http://x/v1", judge="offline", n=2).parts] == ["target"]

    def test_a_budget_in_money_asks_for_the_price_of_every_member(self, tmp_path: Any) -> None:
        journal = Journal(tmp_path / "j.sqlite")
        panel = "offline,unpriced-1@http://127.0.0.1:1/v1,unpriced-2@http://127.0.0.1:1/v1"
        with pytest.raises(InputError, match=r"unpriced-1.*unpriced-2"):
            Parties(Setup((), "scripted", panel, budget="1 USD"), journal)
        journal.close()

    def test_batches_are_for_one_judge(self, tmp_path: Any) -> None:
        journal = Journal(tmp_path / "j.sqlite")
        with pytest.raises(InputError, match="not for a panel"):
            Parties(Setup((), "scripted", "a@http://127.0.0.1:1/v1,b@http://127.0.0.1:1/v1", batch=True), journal)
        journal.close()
