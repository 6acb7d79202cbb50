"""What calls cost, what is unknown and says so, budgets that hold, and forecasts against loops that build the messages."""

import asyncio
import heapq
import json
import math
import random
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_kit.cost import Budget, Forecast, Ledger, Part, Price, Prices, Sizes, charged_to, forecast, needs
from rai_kit.cost.forecast import CHARACTERS_PER_TOKEN, JUDGE_TRIES, MESSAGE_TOKENS
from rai_kit.cost.ledger import BLIND
from rai_kit.data import draw_scenarios
from rai_kit.journal import Journal, call_key
from rai_kit.judges import LLMJudge
from rai_kit.schema import Case, InputError, Message, Reply
from rai_kit.simulators import LLMUser, ScriptedUser

PRICES = Prices("USD", {"a": Price(1, 4), "b*": Price(0.5, 2), "*@embedded": Price(0, 0)})


def reply(prompt=100, completion=50, **more):
    return Reply(text="x", prompt_tokens=prompt, completion_tokens=completion, **more)


UNCOUNTED = Reply(text="x")


# Prices


def test_the_shipped_file_prices_the_embedded_models_alone(monkeypatch):
    monkeypatch.delenv("RAI_KIT_PRICES", raising=False)
    prices = Prices.load()
    assert (prices.currency, prices.models, prices.file) == ("USD", {"*@embedded": Price(0, 0)}, "data/prices.yaml")
    assert prices.of("smollm2-135m@embedded") == prices.of("outputs/x/model.gguf@embedded") == Price(0, 0)
    assert prices.of("gpt-4o") is None


def test_a_file_of_ones_own(tmp_path, monkeypatch):
    path = tmp_path / "mine.yaml"
    path.write_text('currency: EUR\nmodels:\n  "m": { input: 1, output: 2.5 }\n', "utf-8")
    monkeypatch.setenv("RAI_KIT_PRICES", str(path))
    assert Prices.load() == Prices.load(path) == Prices("EUR", {"m": Price(1, 2.5)}, str(path))
    path.write_text("currency: EUR\nmodels: {}\n", "utf-8")
    assert Prices.load().of("m") is None


def test_the_first_pattern_that_matches_holds():
    first, second, third = Price(1, 1), Price(2, 2), Price(3, 3)
    prices = Prices("USD", {"m-mini*": first, "m*": second, "m@http://[::1]:8000/v1/": third})
    assert prices.of("m-mini-2") == first
    assert prices.of("m-large") == second
    assert prices.of("M-large") is None
    assert prices.of("m@http://[::1]:8000/v1") == second
    prices = Prices("USD", dict(reversed(prices.models.items())))
    assert prices.of("m@http://[::1]:8000/v1") == third
    assert prices.of("m-mini-2") == second


def test_a_price_is_per_million_tokens():
    assert Price(2, 10).money(1_000_000, 500_000) == 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("models: {}", ["lacks the key 'currency'"]),
        ("currency: USD", ["lacks the key 'models'"]),
        ("currency: USD\nmodels: {}\nprices: 3", ["unknown key 'prices'"]),
        ("currency: usd\nmodels: {}", ["currency is 'usd'", "three capital letters"]),
        ("currency: 3\nmodels: {}", ["currency is 3"]),
        ("currency: USD\nmodels:", ["models is None"]),
        ("currency: USD\nmodels: [a]", ["models is ['a']"]),
        ("", ["the file is None"]),
        ("currency: USD\nmodels: {4: {input: 1, output: 1}}", ["key 4"]),
        ("currency: USD\nmodels: {'': {input: 1, output: 1}}", ["key ''"]),
        ("currency: USD\nmodels: {m: 3}", ["models['m'] is 3", "input and output"]),
        ("currency: USD\nmodels: {m: {input: 1}}", ["models['m'] lacks the key 'output'"]),
        ("currency: USD\nmodels: {m: {input: 1, output: 1, cached: 1}}", ["models['m'] has an unknown key 'cached'"]),
        ("currency: USD\nmodels: {m: {input: -1, output: 1}}", ["models['m'].input is -1", "0 or more"]),
        ("currency: USD\nmodels: {m: {input: 1, output: $2}}", ["models['m'].output is '$2'"]),
        ("currency: USD\nmodels: {m: {input: yes, output: 1}}", ["models['m'].input is True"]),
        ("currency: USD\nmodels: {m: {input: .nan, output: 1}}", ["models['m'].input is nan"]),
        ("currency: USD\nmodels: {m: {input: 1, output: .inf}}", ["models['m'].output is inf"]),
        ("currency: USD\nmodels: {m: {input: 1, output: 1}, m: {input: 2, output: 2}}", ["key 'm' stands twice"]),
        ("currency: USD\ncurrency: EUR\nmodels: {}", ["key 'currency' stands twice"]),
        ("currency: USD\nmodels:\n  *@embedded: {input: 0, output: 0}", ["is no YAML", "quotation marks"]),
        ("currency: [", ["is no YAML"]),
    ],
)
def test_a_faulty_file_is_an_error_that_names_it(tmp_path, text, words):
    path = tmp_path / "prices.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError) as caught:
        Prices.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml cannot be read .*RAI_KIT_PRICES"):
        Prices.load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"currency: \xe9\n")
    with pytest.raises(InputError, match=r"latin\.yaml is no YAML"):
        Prices.load(tmp_path / "latin.yaml")


# Budgets


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("5 USD", 5, "USD"),
        ("5usd", 5, "USD"),
        ("$5", 5, "USD"),
        ("$ 0.50", 0.5, "USD"),
        (" .5 USD ", 0.5, "USD"),
        ("200000 tokens", 200_000, "tokens"),
        ("200k tokens", 200_000, "tokens"),
        ("2M tokens", 2_000_000, "tokens"),
        ("1.5m TOKENS", 1_500_000, "tokens"),
        ("1 token", 1, "tokens"),
    ],
)
def test_budgets_are_read(text, amount, unit):
    assert Budget.parse(text, "USD") == Budget(amount, unit)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "5 EUR",
        "-5 USD",
        "0 USD",
        "0k tokens",
        "5k USD",
        "5 dollars",
        "1e3 tokens",
        "1,000 tokens",
        "nan USD",
        "$5 USD",
        "5G tokens",
        "9" * 400 + " USD",
        "٥ USD",
        "tokens",
    ],
)
def test_a_budget_that_makes_no_sense_is_an_error(text):
    with pytest.raises(InputError, match="give an amount above 0, of USD") as caught:
        Budget.parse(text, "USD")
    assert repr(text) in str(caught.value)


def test_the_dollar_sign_is_no_other_currency():
    assert Budget.parse("5 mxn", "MXN") == Budget(5, "MXN")
    with pytest.raises(InputError, match="of MXN"):
        Budget.parse("$5", "MXN")
    assert (str(Budget(5, "MXN")), str(Budget(2e5, "tokens"))) == ("5.00 MXN", "200,000 tokens")


# The ledger's sums


def charged(ledger, role, model, said, *, category="", replayed=False, times=1):
    token = charged_to.set(category)
    for _ in range(times):
        ledger.add(role, model, said, replayed=replayed)
    charged_to.reset(token)


def test_rows_by_role_model_and_category():
    ledger = Ledger(PRICES)
    charged(ledger, "target", "a", reply(1000, 100), category="sexual", times=2)
    charged(ledger, "target", "a", reply(10, 20), category="sexual", replayed=True)
    charged(ledger, "judge", "b-1", reply(500, 50), category="violence")
    charged(ledger, "target", "a", reply(1, 2), category="jailbreak")
    first, second, third = ledger.rows()
    assert [row["category"] for row in (first, second, third)] == ["violence", "jailbreak", "sexual"]
    assert first["money"] == first["money_now"] == (500 * 0.5 + 50 * 2) / 1e6
    assert third == {
        "role": "target",
        "model": "a",
        "category": "sexual",
        "made": 2,
        "replayed": 1,
        "uncounted": 0,
        "prompt_tokens": 2010,
        "completion_tokens": 220,
        "prompt_tokens_now": 2000,
        "completion_tokens_now": 200,
        "money": (2010 + 4 * 220) / 1e6,
        "money_now": (2000 + 4 * 200) / 1e6,
        "currency": "USD",
    }
    totals = ledger.totals()
    assert (totals["made"], totals["replayed"], totals["prompt_tokens"], totals["completion_tokens"]) == (4, 1, 2511, 272)
    assert totals["money"] == totals["money_known"] == pytest.approx(0.00289 + 0.00035 + 0.000009)
    assert totals["money_now"] == pytest.approx(totals["money"] - (10 + 80) / 1e6)
    assert json.loads(json.dumps(totals)) == totals


def test_no_call_costs_nothing():
    ledger = Ledger(PRICES)
    assert (ledger.rows(), ledger.summary(), ledger.spent) == ([], "no calls", 0)
    assert (ledger.totals()["money"], ledger.totals()["budget"]) == (0, None)


def test_an_unknown_price_is_not_0():
    ledger = Ledger(PRICES)
    charged(ledger, "target", "a", reply(1_000_000, 0))
    charged(ledger, "simulator", "x@http://localhost/v1", reply(7, 7))
    assert [row["money"] for row in ledger.rows()] == [None, 1]
    totals = ledger.totals()
    assert (totals["money"], totals["money_now"], totals["money_known"]) == (None, None, 1)
    assert totals["unpriced"] == ["x@http://localhost/v1"]


@pytest.mark.parametrize("said", [UNCOUNTED, reply(None, None), reply(None, 50), reply(100, None), Reply(cause="timeout")])
def test_calls_without_token_counts_are_counted_as_such(said):
    ledger = Ledger(PRICES)
    charged(ledger, "target", "a", reply(1000, 0))
    charged(ledger, "target", "a", said)
    [row] = ledger.rows()
    assert (row["made"], row["uncounted"], row["prompt_tokens"]) == (2, 1, 1000 + (said.prompt_tokens or 0))
    assert row["completion_tokens"] == (said.completion_tokens or 0)
    assert ledger.totals()["uncounted"] == 1
    assert "at least" in ledger.summary()


CALLS = st.tuples(
    st.sampled_from(["target", "simulator", "judge"]),
    st.sampled_from(["a", "b-1", "x", "m@embedded"]),
    st.sampled_from(["", "sexual", "violence"]),
    st.one_of(st.just(UNCOUNTED), st.builds(reply, st.integers(0, 10**6), st.integers(0, 10**5))),
    st.booleans(),
)


@given(st.lists(CALLS, max_size=30), st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_totals_are_the_sums_of_the_rows_in_any_order(calls, shuffler):
    shuffled = list(calls)
    shuffler.shuffle(shuffled)
    ledgers = [Ledger(PRICES), Ledger(PRICES)]
    for ledger, order in zip(ledgers, (calls, shuffled), strict=True):
        for role, model, category, said, replayed in order:
            charged(ledger, role, model, said, category=category, replayed=replayed)
    one, other = ledgers
    assert one.rows() == other.rows()
    assert one.totals() == other.totals()
    assert one.summary() == other.summary()
    totals = one.totals()
    assert totals["made"] + totals["replayed"] == len(calls)
    assert totals["uncounted"] == sum(said is UNCOUNTED for *_, said, _ in calls)
    assert totals["prompt_tokens"] == sum(said.prompt_tokens or 0 for *_, said, _ in calls)
    assert totals["completion_tokens_now"] == sum(said.completion_tokens or 0 for *_, said, old in calls if not old)
    money = [(PRICES.of(model), said, old) for _, model, _, said, old in calls]
    known = [(price.money(said.prompt_tokens or 0, said.completion_tokens or 0), old) for price, said, old in money if price]
    assert totals["money_known"] == pytest.approx(sum(cost for cost, _ in known))
    assert totals["money_known_now"] == pytest.approx(sum(cost for cost, old in known if not old))
    assert (totals["money"] is None) == any(price is None for price, *_ in money)


def test_a_price_is_looked_up_once_a_row():
    class Counting(Prices):
        asked = 0

        def of(self, address):
            Counting.asked += 1
            return super().of(address)

    ledger = Ledger(Counting("USD", PRICES.models), Budget(1, "USD"))
    charged(ledger, "target", "a", reply(), times=1000)
    charged(ledger, "judge", "a", reply(), times=1000)
    assert Counting.asked <= 2


def test_each_task_is_charged_to_its_own_category():
    ledger = Ledger(PRICES)

    async def converse(category):
        with ledger.conversation(category):
            for _ in range(3):
                await asyncio.sleep(0)
                ledger.add("target", "a", reply(), replayed=False)
        assert charged_to.get() == ""

    async def main():
        await asyncio.gather(*(converse(f"c{number % 3}") for number in range(9)))

    asyncio.run(main())
    assert [(row["category"], row["made"]) for row in ledger.rows()] == [("c0", 9), ("c1", 9), ("c2", 9)]


# The summary


def test_the_summary_in_words():
    ledger = Ledger(Prices("USD", {"t": Price(1, 0), "j": Price(0, 10)}))
    charged(ledger, "judge", "j", reply(12_000, 92_000), times=1)
    charged(ledger, "target", "t", reply(400_000, 6_000))
    assert ledger.summary() == "2 calls, 412,000 tokens in and 98,000 out, 1.32 USD (target 0.40, judge 0.92)"
    charged(ledger, "target", "t", reply(100_000, 0), replayed=True, times=1_000)
    assert ledger.summary() == (
        "1,002 calls (1,000 from the journal), 100,412,000 tokens in and 98,000 out, 101.32 USD, of which 1.32 now "
        "(target 100.40, judge 0.92)"
    )


def test_the_summary_says_what_is_unknown():
    ledger = Ledger(PRICES)
    charged(ledger, "simulator", "sim@http://localhost/v1", reply(1, 2))
    assert ledger.summary() == (
        "1 calls, 1 tokens in and 2 out, money unknown: no price for sim@http://localhost/v1 in data/prices.yaml"
    )
    charged(ledger, "target", "a", reply(4, 0))
    assert ledger.summary().endswith(
        "at least 0.0000040 USD (target 0.0000040; simulator unknown: no price for sim@http://localhost/v1 in data/prices.yaml)"
    )
    charged(ledger, "target", "z", reply(4, 0))
    assert "; part of target and simulator unknown: no price for sim@http://localhost/v1, z in" in ledger.summary()


def test_what_is_free_is_free_even_uncounted():
    ledger = Ledger(PRICES)
    charged(ledger, "target", "m@embedded", UNCOUNTED)
    assert ledger.summary() == "1 calls, at least 0 tokens in and 0 out (calls without counts: 1), 0.00 USD (target 0.00)"
    charged(ledger, "target", "a", UNCOUNTED)
    assert ledger.summary().endswith("at least 0.00 USD (target 0.00)")


# The budget


def test_a_budget_in_money_needs_prices():
    ledger = Ledger(PRICES, Budget(5, "USD"))
    ledger.require_prices(["a", None, "m@embedded"])
    with pytest.raises(InputError, match=r"budget of 5\.00 USD .*no price for x, y in data/prices\.yaml; .*RAI_KIT_PRICES"):
        ledger.require_prices(["y", "a", "x", "y"])
    Ledger(PRICES, Budget(5, "tokens")).require_prices(["x"])
    Ledger(PRICES).require_prices(["x"])


def test_a_model_without_a_price_stops_a_budget_in_money_all_the_same():
    ledger = Ledger(PRICES, Budget(5, "USD"))
    charged(ledger, "target", "x", reply())
    with pytest.raises(InputError, match="no price for x"):
        ledger.exhausted()


def test_the_budget_is_exhausted_when_all_is_spent():
    tokens = Ledger(PRICES, Budget(300, "tokens"))
    charged(tokens, "target", "x", reply(100, 49))
    charged(tokens, "judge", "y", reply(100, 50))
    assert (tokens.spent, tokens.exhausted()) == (299, False)
    charged(tokens, "judge", "y", reply(1, 0), replayed=True)
    assert (tokens.spent, tokens.exhausted()) == (300, True)

    money = Ledger(PRICES, Budget(1, "USD"))
    for _ in range(10):  # ten times 0.1 as floats is less than 1
        assert not money.exhausted()
        charged(money, "target", "a", reply(100_000, 0))
    assert (money.spent, money.exhausted()) == (1, True)


def test_without_a_budget_every_call_is_admitted():
    ledger = Ledger(PRICES)
    charged(ledger, "target", "a", reply(10**12, 0))
    assert asyncio.run(ledger.admits())
    assert not ledger.exhausted()


def test_a_budget_that_nobody_can_see_is_an_error():
    ledger = Ledger(PRICES, Budget(10**6, "tokens"))
    charged(ledger, "target", "a", Reply(cause="timeout"), times=100)
    charged(ledger, "target", "a", UNCOUNTED, replayed=True, times=100)
    charged(ledger, "target", "a", UNCOUNTED, times=BLIND - 1)
    assert not ledger.exhausted()
    charged(ledger, "target", "a", UNCOUNTED)
    with pytest.raises(InputError, match="a reports no token counts"):
        ledger.exhausted()


@pytest.mark.parametrize(("model", "unit"), [("m@embedded", "USD"), ("a", "USD"), ("a", "tokens")])
def test_a_few_answers_without_counts_are_no_reason_to_stop(model, unit):
    ledger = Ledger(PRICES, Budget(10**6, unit))
    if model == "a":
        charged(ledger, "judge", "a", reply())
    charged(ledger, "target", model, UNCOUNTED, times=2 * BLIND)
    assert not ledger.exhausted()


def let_in(ledger, costs):
    """Conversations side by side, each of one call of so many tokens that takes a while: which of them were let in."""

    async def one(index, cost):
        with ledger.conversation("c"):
            if not await ledger.admits():
                return False
            await asyncio.sleep((index + 1) / 1000)
            ledger.add("target", "a", reply(cost, 0), replayed=False)
            return True

    async def main():
        return await asyncio.gather(*(one(index, cost) for index, cost in enumerate(costs)))

    return asyncio.run(main())


def test_conversations_wait_until_it_is_known_what_one_costs():
    ledger = Ledger(PRICES, Budget(1000, "tokens"), expected=10**9)
    assert sum(let_in(ledger, [100] * 30)) == 10, "one at first, then as many as the budget holds"
    assert ledger.spent == 1000
    ledger = Ledger(PRICES, Budget(1000, "tokens"), expected=100)
    assert sum(let_in(ledger, [50] * 30)) == 20, "cheaper than expected: more are let in as it shows"


def test_what_those_in_flight_have_spent_is_not_reserved_again():
    async def main(amount):
        ledger = Ledger(PRICES, Budget(amount, "tokens"), expected=200)
        asked = asyncio.Event()

        async def begun(cost):
            with ledger.conversation("c"):
                assert await ledger.admits()
                ledger.add("target", "a", reply(cost, 0), replayed=False)
                await asked.wait()

        async def another():
            with ledger.conversation("c"):
                return await asyncio.wait_for(ledger.admits(), 0.01)

        others = [asyncio.create_task(begun(cost)) for cost in (150, 350, 51)]
        await asyncio.sleep(0)
        try:
            return await another()
        except TimeoutError:
            return "waits"
        finally:
            asked.set()
            await asyncio.gather(*others)

    # 551 spent, 50 + 0 + 149 still to come, 200 for the new one
    assert asyncio.run(main(950)) is True
    assert asyncio.run(main(949)) == "waits"


def test_replayed_conversations_are_worth_new_ones_in_the_mean():
    async def main(amount):
        ledger = Ledger(PRICES, Budget(amount, "tokens"), expected=1, paid={"a": (100, 0)})
        with ledger.conversation("c"):
            ledger.add("target", "a", reply(100, 0), replayed=True)
        with ledger.conversation("c"):
            return await ledger.admits()

    assert asyncio.run(main(200))
    assert not asyncio.run(main(199))


def test_what_the_journal_holds_is_spent_from_the_start():
    ledger = Ledger(PRICES, Budget(1, "USD"), paid={"a": (400_000, 100_000), "m@embedded": (10**9, 10**9)})
    assert ledger.spent == pytest.approx(0.8)
    charged(ledger, "target", "a", reply(400_000, 0), replayed=True)
    assert ledger.spent == pytest.approx(0.8)
    charged(ledger, "target", "a", reply(100_000, 0))
    assert ledger.spent == pytest.approx(0.9)
    charged(ledger, "target", "a", reply(200_000, 100_000), replayed=True)  # a shared journal grew meanwhile
    assert ledger.spent == pytest.approx(1.1)
    assert ledger.totals()["money"] == pytest.approx(1.1)
    assert ledger.totals()["money_now"] == pytest.approx(0.1)
    assert ledger.totals()["budget"] == {"amount": 1, "unit": "USD"}


def test_a_conversation_that_was_turned_away_says_nothing_of_the_mean():
    async def main():
        ledger = Ledger(PRICES, Budget(250, "tokens"), expected=1)
        with ledger.conversation("c"):
            ledger.add("target", "a", reply(150, 0), replayed=False)
        with ledger.conversation("c"):
            ledger.add("target", "a", reply(10, 0), replayed=True)
            assert not await ledger.admits()  # 160 + 140
            assert not await ledger.admits()
        ledger.budget = Budget(310, "tokens")
        with ledger.conversation("c"):
            assert await ledger.admits()  # 160 + 150

    asyncio.run(main())


def test_one_that_stops_waiting_holds_up_nobody():
    async def main():
        ledger = Ledger(PRICES, Budget(100, "tokens"), expected=100)

        async def one(cost):
            with ledger.conversation("c"):
                admitted = await ledger.admits()
                await asyncio.sleep(0.01)
                ledger.add("target", "a", reply(cost, 0), replayed=False)
                return admitted

        first, second, third = (asyncio.create_task(one(40)) for _ in range(3))
        await asyncio.sleep(0.001)
        second.cancel()
        return await first, await third

    assert asyncio.run(main()) == (True, True)


def test_a_conversation_belongs_to_the_ledger_in_which_it_began():
    first, second = Ledger(PRICES, Budget(10, "tokens")), Ledger(PRICES, Budget(10, "tokens"))
    with first.conversation("c"), pytest.raises(RuntimeError, match="begin"):
        second.end()


def test_end_needs_a_begin():
    with pytest.raises(RuntimeError, match="begin"):
        Ledger(PRICES).end()


def hold(costs, journal, concurrency, budget=None, expected=None):
    """A small engine: conversations of three calls each, new ones only as the ledger allows, replayed ones from `journal`.

    Returns:
        How many calls each conversation got, and how many of these are new.
    """
    paid = sum(costs[index] for index, _ in journal)
    ledger = Ledger(PRICES, budget, expected, {"a": (paid, 0)} if paid else None)
    got, new = [0] * len(costs), 0

    async def call(index, turn):
        nonlocal new
        replayed = (index, turn) in journal
        if not replayed:
            if not await ledger.admits():
                return False
            await asyncio.sleep(0)
            journal.add((index, turn))
            new += 1
        ledger.add("target", "a", reply(costs[index], 0), replayed=replayed)
        await asyncio.sleep(0)  # as a judge in a thread of its own
        return True

    async def main():
        waiting = iter(range(len(costs)))

        async def worker():
            for index in waiting:
                with ledger.conversation("c"):
                    while got[index] < 3 and await call(index, got[index]):
                        got[index] += 1

        await asyncio.gather(*(worker() for _ in range(concurrency)))

    asyncio.run(main())
    assert ledger.totals()["made"] == new
    assert ledger.spent == sum(costs[index] for index, _ in journal)
    return got, new


@pytest.mark.parametrize("concurrency", [1, 7, 32])
@pytest.mark.parametrize("expected", [0, 30, 90, 5000])
def test_conversations_of_equal_cost_are_not_cut_off_and_use_the_budget_up(concurrency, expected):
    costs, journal, budget = [10] * 200, set(), Budget(1000, "tokens")
    got, _ = hold(costs, journal, concurrency, budget, expected)
    if expected:
        assert sum(got) == 99  # 33 conversations of 30; the 34th would not fit
        assert set(got) == {0, 3}
    assert hold(costs, journal, concurrency, budget, expected) == (got, 0)


@given(
    costs=st.lists(st.integers(1, 40), min_size=1, max_size=60),
    concurrency=st.integers(1, 12),
    amount=st.integers(1, 2000),
    expected=st.integers(0, 100),
)
@settings(deadline=None, max_examples=60)
def test_the_same_command_again_keeps_what_was_paid_for_and_the_budget(costs, concurrency, amount, expected):
    journal: set[tuple[int, int]] = set()
    got = [0] * len(costs)
    for _ in range(4):
        before, spent = got, sum(cost * calls for cost, calls in zip(costs, got, strict=True))
        got, new = hold(costs, journal, concurrency, Budget(amount, "tokens"), expected)
        assert all(more >= less for more, less in zip(got, before, strict=True))
        assert new == sum(got) - sum(before)
        assert new == 0 or spent < amount
    spent = sum(cost * calls for cost, calls in zip(costs, got, strict=True))
    assert spent < amount + concurrency * max(costs)  # calls in flight are not called back
    assert hold(costs, journal, concurrency)[0] == [3] * len(costs)


# The forecast


def test_a_forecast_by_hand():
    sizes = Sizes(
        opening=400,
        system=40,
        simulator_prompt=800,
        judge_prompt=2000,
        frame=20,
        target_most=100,
        simulator_most=60,
        judge_most=300,
        target_share=0.5,
        simulator_share=0.5,
        judge_share=0.1,
    )
    prices = Prices("USD", {"t": Price(1, 10), "s": Price(2, 20), "j": Price(3, 30)})
    found = forecast(10, 2, target="t", simulator="s", judge="j", prices=prices, sizes=sizes)
    # Target, a conversation: 10 + 100, then 10 + 100 + 50 + 30, and 4 tokens round each of 1 + 3 messages.
    # Simulator: 200 + 100 + 50 + 5, and 4 round each of 4. Judge: 500 + 10 + 100 + 2 x 50 + 30, 4 x 5 of marks, 4 round each of 2.
    target = Part("target", "t", 20, 3160, 1000, 4160 - 200, 2000, 0.01316, 0.02396)
    assert found.parts == (
        target,
        Part("simulator", "s", 10, 3710, 300, 4210, 600, pytest.approx(0.01342), pytest.approx(0.02042)),
        Part("judge", "j", 10, 7680, 300, 3 * 8980, 9000, pytest.approx(0.03204), pytest.approx(0.35082)),
    )
    assert found.total("calls") == 40
    assert found.total("money") == pytest.approx(0.05862)
    assert found.each("tokens") == (3160 + 1000 + 3710 + 300 + 7680 + 300) / 10
    assert found.each("USD") == pytest.approx(0.005862)


LENGTHS = st.floats(0, 5000)
SIZES = st.builds(
    Sizes,
    **dict.fromkeys(("opening", "system", "line", "simulator_prompt", "judge_prompt", "frame"), LENGTHS),
    **{f"{role}_most": st.integers(1, 2000) for role in ("target", "simulator", "judge")},
    **{f"{role}_share": st.floats(0, 1) for role in ("target", "simulator", "judge")},
)


@given(turns=st.lists(st.integers(1, 7), min_size=1, max_size=5), sizes=SIZES, played=st.booleans(), targets=st.integers(1, 3))
def test_a_forecast_is_what_a_loop_finds_that_builds_the_messages(turns, sizes, played, targets):
    for full in (False, True):
        read = {"target": [], "simulator": [], "judge": []}  # tokens of each message of each call
        written = {"target": 0.0, "simulator": 0.0, "judge": 0.0}
        length = {
            role: getattr(sizes, f"{role}_most") * (1 if full else getattr(sizes, f"{role}_share"))
            for role in ("target", "simulator", "judge")
        }
        frame = sizes.frame / 4
        for one in turns * targets:
            said = []  # (role, tokens)
            for turn in range(one):
                if turn == 0:
                    said.append(("user", sizes.opening / 4))
                elif played:
                    own = [tokens + frame * (role == "assistant") for role, tokens in said]
                    read["simulator"].append([sizes.simulator_prompt / 4, 0, *own])
                    written["simulator"] += length["simulator"]
                    said.append(("user", length["simulator"]))
                else:
                    said.append(("user", sizes.line / 4))
                tokens = [tokens for _, tokens in said]
                read["target"].append([sizes.system / 4 + tokens[0], *tokens[1:]])
                written["target"] += length["target"]
                said.append(("assistant", length["target"]))
            for _ in range(JUDGE_TRIES if full else 1):
                read["judge"].append([sizes.judge_prompt / 4, sizes.system / 4 + sum(tokens + frame for _, tokens in said)])
                written["judge"] += length["judge"]
        found = forecast(
            len(turns),
            turns,
            target=[f"t{n}" for n in range(targets)],
            simulator="s" if played else None,
            judge="j",
            prices=PRICES,
            sizes=sizes,
        )
        assert found.conversations == len(turns) * targets
        end = "_most" if full else ""
        for role in ("target", "simulator", "judge"):
            parts = [part for part in found.parts if part.role == role]
            assert len(parts) == (targets if role == "target" else 1 if played or role == "judge" else 0)
            sent = sum(sum(call) + MESSAGE_TOKENS * len(call) for call in read[role])
            assert sum(getattr(part, f"prompt_tokens{end}") for part in parts) == pytest.approx(sent)
            assert sum(getattr(part, f"completion_tokens{end}") for part in parts) == pytest.approx(written[role])
            if not full:
                assert sum(part.calls for part in parts) == len(read[role])


def test_equal_turns_as_one_number():
    assert forecast(4, 3, target="a", judge="a", prices=PRICES) == forecast(4, [3] * 4, target="a", judge="a", prices=PRICES)


def test_a_forecast_without_a_price_is_unknown_in_money_only(monkeypatch):
    monkeypatch.delenv("RAI_KIT_PRICES", raising=False)
    found = forecast(4, 3, target=["m@embedded", "x"], judge="j")
    assert [part.money for part in found.parts] == [0, None, None]
    assert (found.total("money"), found.total("money_most"), found.each("USD")) == (None, None, None)
    assert found.each("tokens") > 0
    assert "about 0.00 USD, at most 0.00 USD, and what is unknown: no price for j, x in data/prices.yaml" in str(found)
    assert "money unknown: no price for x in data/prices.yaml" in str(forecast(4, 3, target="x"))


def test_a_forecast_in_words():
    found = forecast(300, 3, target="a", simulator="b-1", judge="b-2", prices=PRICES)
    calls, assumed = str(found).splitlines()
    assert calls.startswith(
        "1,800 calls (target 900, simulator 600, judge 300): about 1,130,000 tokens in and 207,000 out, at most "
    )
    assert " USD, at most " in calls
    assert "4 characters a token" in assumed
    assert "80% of 96 (target), 25% of 200 (simulator), 30% of 1,200 (judge)" in assumed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"conversations": 0}, "conversations is 0"),
        ({"turns": [1, 2]}, "as many"),
        ({"turns": 0}, "turns is 0"),
        ({"turns": [1, 0, 2]}, "turns is 0"),
        ({"target": []}, "0 targets"),
    ],
)
def test_a_forecast_of_nothing_is_an_error(change, words):
    with pytest.raises(InputError, match=words):
        forecast(**({"conversations": 3, "turns": 2, "target": "a", "prices": PRICES} | change))


@pytest.mark.parametrize(
    ("name", "value"), [("opening", -1), ("target_share", 1.1), ("judge_most", math.inf), ("frame", math.nan)]
)
def test_sizes_are_checked(name, value):
    with pytest.raises(InputError, match=f"{name} is {value}"):
        Sizes(**{name: value})


# What the kit's own texts take


class Recorder:
    """A model that answers with as many characters as it is told, and keeps its calls in a journal as `ChatModel` does."""

    def __init__(self, journal, characters):
        self.journal, self.characters = journal, characters
        self.random = random.Random(0)
        self.words = " ".join(scenario.opening for scenario in draw_scenarios(n=5, seed=3)).split()
        self.calls = self.messages = self.read = self.written = 0

    def text(self):
        wanted, words = self.characters * self.random.uniform(0.4, 1.6), []
        while sum(map(len, words)) + len(words) < wanted:
            words.append(self.random.choice(self.words))
        return " ".join(words)

    async def __call__(self, messages, *, seed, json_schema=None):
        text = self.text()
        if json_schema is not None:
            turns = json_schema["properties"]["turns"]["minItems"]
            scores = [{"turn": turn, "reason": "It does.", "score": 0, "refusal": False} for turn in range(1, turns + 1)]
            text = json.dumps({"reasoning": text[: -len(json.dumps(scores))], "turns": scores})
        said = Reply(text=text, finish_reason="stop", prompt_tokens=1234, completion_tokens=123)
        request = {
            "endpoint": "http://localhost:8000/v1",
            "model": "a-model-of-mine",
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "temperature": 0.7,
            "max_tokens": 512,
            "seed": seed,
            "json_schema": json_schema,
        }
        self.journal.put(call_key(request), request, said)
        self.calls += 1
        self.messages += len(messages)
        self.read += sum(len(message.content) for message in messages)
        self.written += len(text)
        return said


@pytest.mark.parametrize(
    ("turns", "played", "change"),
    [
        (3, True, {}),
        (3, True, {"target_most": 512, "target_share": 0.5}),
        (8, True, {}),
        (1, True, {}),
        (3, False, {}),
        (1, False, {"target_most": 24}),
    ],
)
def test_sizes_and_storage_are_those_of_the_kits_own_prompts(tmp_path, turns, played, change):
    sizes, path = Sizes(**change), tmp_path / "journal.sqlite"
    journal = Journal(path)
    models = {
        role: Recorder(journal, CHARACTERS_PER_TOKEN * getattr(sizes, f"{role}_most") * getattr(sizes, f"{role}_share"))
        for role in (("target", "simulator", "judge") if played else ("target",))
    }
    user = LLMUser(models["simulator"]) if played else ScriptedUser()
    judge = LLMJudge(models["judge"], name="j") if played else None
    scenarios = draw_scenarios(n=8 if played else 20, turns=turns, seed=1)

    async def converse(number, scenario):
        messages = [Message("system", scenario.system)] if scenario.system else []
        for turn in range(turns):
            messages.append(Message("user", (await user(scenario, messages, seed=1000 * number + turn)).text))
            messages.append(Message("assistant", (await models["target"](messages, seed=1000 * number + turn)).text))
        shared = {name: getattr(scenario, name) for name in ("rubric", "goal", "topic", "context", "reference")}
        assert judge is None or (await judge(Case(id="x", messages=tuple(messages), **shared))).scored

    async def main():
        for number, scenario in enumerate(scenarios):
            await converse(number, scenario)

    asyncio.run(main())
    journal.close()
    parties = {"simulator": "s", "judge": "j"} if played else {}
    found = needs(len(scenarios), turns, target="t", sizes=sizes, prices=PRICES, **parties)
    assert found.calls == sum(model.calls for model in models.values()) == len(journal)
    for part in found.forecast.parts:
        model = models[part.role]
        assert part.calls == model.calls
        assert part.prompt_tokens == pytest.approx(model.read / CHARACTERS_PER_TOKEN + MESSAGE_TOKENS * model.messages, rel=0.1)
        assert part.completion_tokens == pytest.approx(model.written / CHARACTERS_PER_TOKEN, rel=0.15)
    assert found.storage == pytest.approx(path.stat().st_size, rel=0.15)


def test_the_line_of_the_scripted_user_is_as_long_as_assumed():
    async def lines():
        user = ScriptedUser()
        for scenario in draw_scenarios(n=20, turns=2, seed=1):
            messages = [Message("user", scenario.opening), Message("assistant", "That is a long story, and it begins in spring.")]
            yield len((await user(scenario, messages, seed=0)).text)

    async def mean():
        found = [length async for length in lines()]
        return sum(found) / len(found)

    assert asyncio.run(mean()) == pytest.approx(Sizes().line, rel=0.25)


# What a big run needs


def simulated_seconds(conversations, calls, concurrency, latency):
    """A discrete-event simulation: slots take one conversation after the other, and make its calls one after the other."""
    waiting, now = conversations - min(conversations, concurrency), 0.0
    events = [(latency, slot, calls - 1) for slot in range(min(conversations, concurrency))]
    heapq.heapify(events)
    while events:
        now, slot, left = heapq.heappop(events)
        if left == 0 and waiting:
            waiting, left = waiting - 1, calls
        if left:
            heapq.heappush(events, (now + latency, slot, left - 1))
    return now


@given(
    conversations=st.integers(1, 120),
    turns=st.integers(1, 5),
    concurrency=st.integers(1, 40),
    latency=st.floats(0.01, 10),
    played=st.booleans(),
    judged=st.booleans(),
)
@settings(deadline=None)
def test_hours_are_those_of_a_simulated_schedule(conversations, turns, concurrency, latency, played, judged):
    found = needs(
        conversations,
        turns,
        target="t",
        simulator="s" if played else None,
        judge="j" if judged else None,
        concurrency=concurrency,
        latency_seconds=latency,
        prices=PRICES,
    )
    calls = turns + (turns - 1) * played + judged
    assert found.calls == conversations * calls
    assert found.hours * 3600 == pytest.approx(simulated_seconds(conversations, calls, concurrency, latency))


def test_a_million_conversations():
    prices = Prices("USD", {"*": Price(1, 2)})
    found = needs(target="t", simulator="s", judge="j", latency_seconds=1, prices=prices)
    assert found.calls == 6_000_000
    assert found.hours == 15_625 * 6 / 3600
    assert found.money == pytest.approx((found.prompt_tokens + 2 * found.completion_tokens) / 1e6)
    assert found.prompt_tokens == found.forecast.total("prompt_tokens")
    head, *rest = str(found).splitlines()
    assert head == f"1,000,000 conversations, 64 side by side: about 26.0 hours, a journal of about {found.storage / 1e9:.1f} GB."
    assert "\n".join(rest) == str(found.forecast)
    assert isinstance(found.forecast, Forecast)


def test_the_slower_bound_holds():
    settings = {
        "conversations": 1000,
        "turns": 2,
        "target": "t",
        "prices": PRICES,
        "sizes": Sizes(target_most=100, target_share=1),
    }
    assert needs(**settings).hours is None
    assert "hours unknown" in str(needs(**settings))
    assert needs(**settings, tokens_per_second=50).hours == 2 * 1000 * 100 / 50 / 3600
    assert needs(**settings, tokens_per_second=50, latency_seconds=1).hours == 4000 / 3600
    assert needs(**settings, tokens_per_second=50_000, latency_seconds=1).hours == 16 * 2 / 3600
    assert needs(**settings, latency_seconds=1, concurrency=1).hours == 2000 / 3600
    assert needs(**settings).money is None
    assert " MB." in str(needs(**settings))


@pytest.mark.parametrize(("name", "value"), [("concurrency", 0), ("latency_seconds", -1), ("tokens_per_second", math.nan)])
def test_needs_of_nothing_are_an_error(name, value):
    with pytest.raises(InputError, match=f"{name} is {value}"):
        needs(target="t", prices=PRICES, **{name: value})


def test_every_size_has_its_use():
    """Doubling any size changes the forecast."""
    plain = {"prices": PRICES, "target": "t", "judge": "j"}
    for size in fields(Sizes):
        simulator = None if size.name == "line" else "s"
        changed = Sizes(**{size.name: getattr(Sizes(), size.name) * 1.2})
        before, after = (forecast(5, 3, simulator=simulator, sizes=sizes, **plain).parts for sizes in (Sizes(), changed))
        assert before != after, size.name
