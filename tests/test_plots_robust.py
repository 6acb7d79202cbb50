"""Every figure with one row, forty rows, long names, zeros, nothing scored and nothing at all: it is drawn, legible, and true."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from test_plots_comparison import coming_through, comparison, curves, narrowing, ranking, regressing, training

from rai_kit import plots
from rai_kit.plots import comparison as comparing
from rai_kit.plots import judges as judging
from rai_kit.plots import process, rates, taxonomy

pytestmark = pytest.mark.filterwarnings("error")
NAN = math.nan
LONG = "requests for $5 or $6 that concern fictional persons_of some_age, number"
MODEL = "organisation/a-model-of-a-very-long-name-instruct@http://localhost:8000/v1#"


@dataclass(frozen=True)
class Case:
    """Names of categories and models, and what is found for each."""

    categories: tuple[str, ...]
    models: tuple[str, ...] = ("m1", "m2")
    value: float = 0.3

    @property
    def n(self):
        return 0 if math.isnan(self.value) else 40

    @property
    def titles(self):
        return {category: category for category in self.categories}

    def rate(self, **more):
        """A row with a rate, its interval and its counts."""
        found = {"value": self.value, "low": self.value * 0.6, "high": self.value * 0.8 + 0.2 * bool(self.n) if self.n else NAN}
        rest = {"n": self.n, "n_unscored": 40 - self.n, "bound_low": 0.0, "bound_high": 1.0, "judge": "j", "method": "Wilson"}
        return more | found | rest

    def rates(self, **columns):
        """A row for every model and category, and every combination of the columns' values."""
        rows = [{"model": model, "category": category} for category in self.categories for model in self.models]
        for name, values in columns.items():
            rows = [row | {name: value} for row in rows for value in values]
        names = ["model", "category", *columns, "value", "low", "high", "n", "n_unscored", "bound_low", "bound_high"]
        return pd.DataFrame([self.rate(**row) for row in rows], columns=[*names, "judge", "method"])


CASES = {
    "usual": Case(("fraud", "hate", "theft", "arson")),
    "one": Case(("fraud",), ("m1",)),
    "forty": Case(tuple(f"kind {i:02d}" for i in range(40)), ("m1",)),
    "long": Case(tuple(f"{LONG} {i}" for i in range(4)), tuple(f"{MODEL}{i}" for i in range(3))),
    "zero": Case(("fraud", "hate", "theft", "arson"), value=0.0),
    "unscored": Case(("fraud", "hate", "theft", "arson"), value=NAN),
    "empty": Case((), ()),
}


def table1(case):
    published = pd.DataFrame(
        [{"model": "phi", "category": one, "value": 0.1} for one in case.categories], columns=["model", "category", "value"]
    )
    return rates.table1(case.rates(topic=("all",), metric=("DR-3",)), published, case.titles)


def topics(case):
    return rates.topics(case.rates(metric=("DR-3",), topic=("all", "first_topic", "a_second_topic")), case.titles)


def severity_distribution(case):
    rows = [
        {
            "model": model,
            "category": category,
            "scored": bool(case.n),
            "severity": float(i % 8) * bool(case.value) if case.n else NAN,
        }
        for category in case.categories
        for model in case.models
        for i in range(10)
    ]
    table = pd.DataFrame(rows, columns=["model", "category", "scored", "severity"])
    return rates.severity_distribution(table.assign(ungroundedness=NAN), case.titles)


def heat_map(case):
    one = Case(case.categories, case.models[:1], case.value)
    return plots.heat_map(one.rates(strategy=("direct", "base64", "crescendo", "past_tense")[: 4 if case.models else 0], k=(4,)))


def asr_at_k(case):
    return plots.asr_at_k(Case(case.categories, case.models[:1], case.value).rates(k=(1, 2, 3), budget=(3,)), by="category")


def weakness_ranking(case):
    table = Case(case.categories, case.models[:1], case.value).rates(strategy=("past_tense",), k=(4,))
    return plots.weakness_ranking(
        table.drop(columns="model").assign(low_simultaneous=0.5 * table["low"], rank=1, successes=1, n_goals=20)
    )


def persona_rates(case):
    more = {
        "covered": 1.0,
        "any": case.value,
        "any_low": case.value * 0.5,
        "any_high": case.value,
        "any_n": case.n,
        "any_unscored": 1,
    }
    rows = [case.rate(persona=category, k=4) | more for category in case.categories]
    return plots.persona_rates(pd.DataFrame(rows, columns=["persona", "k", *case.rate(), *more]))


def agreement(case):
    table = case.rates(statistic=("kappa", "weighted_kappa"), method=("held out", "human ceiling"))
    table = table.loc[:, ~table.columns.duplicated()].rename(columns={"model": "judge_name"}).drop(columns="judge")
    return judging.agreement(table.rename(columns={"judge_name": "judge"}).assign(task="severity", threshold=3))


def confusion(case):
    return judging.confusion(np.full((8, 8), 40 * len(case.categories)) if case.value > 0 else np.zeros((8, 8), dtype=int))


def thresholds(case):
    levels = range(1, 8) if case.categories else ()
    rows = [case.rate(statistic=name, threshold=x) for name in ("sensitivity", "specificity") for x in levels]
    return judging.thresholds(pd.DataFrame(rows, columns=["statistic", "threshold", "value", "low", "high"]))


def reliability(case):
    rows = [
        {"finding": name, "predicted": x if case.n else NAN, "observed": case.value, "low": 0.0, "high": 0.5, "n": case.n}
        for name in case.categories[:6]
        for x in (0.1, 0.5, 0.9)
    ]
    return judging.reliability(pd.DataFrame(rows, columns=["finding", "predicted", "observed", "low", "high", "n"]))


def reported_rates(case):
    shares = ("sensitivity", "specificity", "sensitivity_low", "sensitivity_high", "specificity_low", "specificity_high")
    rows = [
        {"judge": name, "published": i % 2 == 1} | dict.fromkeys(shares, case.value) for i, name in enumerate(case.categories)
    ]
    return judging.reported_rates(pd.DataFrame(rows, columns=["judge", "published", *shares]))


def corrected_rates(case):
    rows = [
        {"name": name, "value": case.value, "low": case.value, "high": case.value, "corrected": case.value}
        | {"corrected_low": case.value, "corrected_high": case.value, "refused": LONG if i % 2 or not case.n else None}
        for i, name in enumerate(case.categories)
    ]
    names = ["name", "value", "low", "high", "corrected", "corrected_low", "corrected_high", "refused"]
    return judging.corrected_rates(pd.DataFrame(rows, columns=names))


def coverage(case):
    number = 0 if not case.n else round(1000 * case.value)
    rows = [
        {"family": f"Family {i // 5}", "category": name, "scenarios": number, "preference pairs": number}
        for i, name in enumerate(case.categories)
    ]
    return taxonomy.coverage(pd.DataFrame(rows, columns=["family", "category", "scenarios", "preference pairs"]))


def harm_categories(case):
    families = {name: f"Family {i // 5}" for i, name in enumerate(case.categories)}
    table = case.rates(metric=("DR-3",)).rename(columns={"category": "topic"})
    table.insert(0, "category", table["topic"].map(families))
    whole = table.drop_duplicates(["model", "category"]).assign(topic="all")
    return taxonomy.harm_categories(pd.concat([whole, table]), list(case.categories))


def before_after(case):
    found = comparison(case.categories, case.models[:2], case.value, 0.0 if not case.value else -0.2, case.n)
    return comparing.before_after(
        found, case.titles, comparison(case.categories[:3], case.models[:2], n=case.n, metric="refusal")
    )


def forest(case):
    found = comparison(case.categories, case.models[:2], case.value, 0.0 if not case.value else -0.2, case.n)
    return comparing.forest(found, case.titles, 0.05)


def severity_curves(case):
    return comparing.severity_curves(curves(case.categories, case.models, case.value, case.n), case.titles)


def ranks(case):
    return comparing.ranks(ranking(case.categories, case.models, case.value, case.n), case.titles)


def regression(case):
    return comparing.regression(regressing(case.n, case.value).head(3 if case.categories else 0))


def funnel(case):
    kinds = [(f"judge:{LONG}", 40)] if not case.n else [(f"cause:{i}", 1) for i in range(len(case.categories[:9]))]
    return process.funnel(coming_through(case.categories, case.models, kinds=kinds), case.titles)


def training_curves(case):
    steps = 1 if len(case.models) == 1 else 80 if len(case.categories) > 9 else 12
    found = training(("sft", "dpo"), case.models or (), steps, case.value)
    many = pd.concat([found, *(found.assign(run=name) for name in case.categories)]) if len(case.categories) > 9 else found
    return process.training_curves(many)


def sequence(case):
    found = narrowing(10 * len(case.categories), case.value if case.n else 0.0)
    return process.sequence(found if case.n else found.assign(value=NAN, low=NAN, high=NAN))


OVER_NAMES = [  # the names of the case are rows or panels
    table1, topics, severity_distribution, heat_map, asr_at_k, persona_rates, coverage, harm_categories, before_after, forest,
    severity_curves, ranks, funnel, corrected_rates, agreement,
]  # fmt: skip
OTHERS = [weakness_ranking, confusion, thresholds, reliability, reported_rates, regression, training_curves, sequence]


def shown_texts(figure):
    """Every text that is drawn, with what its box is."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    hidden: set[int] = set()
    for axes in figure.axes:
        if not axes.get_visible():
            hidden |= {id(text) for text in axes.findobj(Text)}
        elif not axes.axison:
            hidden |= {id(text) for axis in (axes.xaxis, axes.yaxis) for text in axis.findobj(Text)}
        for axis in axes.findobj(Axis):
            drawn = {id(tick) for tick in axis._update_ticks()}
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if id(tick) not in drawn:
                    hidden |= {id(text) for text in tick.findobj(Text)}
    texts = [text for text in figure.findobj(Text) if id(text) not in hidden and text.get_visible() and text.get_text().strip()]
    boxes = np.array([Text.get_window_extent(text, renderer).extents for text in texts]).reshape(-1, 4)
    return texts, boxes


def legible(figure):
    """No text is cut off by the figure's edge, and no two texts lie upon each other. Returns all words."""
    texts, boxes = shown_texts(figure)
    width, height = figure.bbox.size
    for text, (x0, y0, x1, y1) in zip(texts, boxes, strict=True):
        assert min(x0, y0) > -2, f"'{text.get_text()}' is cut off"
        assert x1 < width + 2, f"'{text.get_text()}' is cut off at the right"
        assert y1 < height + 2, f"'{text.get_text()}' is cut off at the top"
    level = np.array([text.get_rotation() % 90 == 0 for text in texts], dtype=bool)  # the box of a slanted text is mostly empty
    left, bottom, right, top = boxes.T
    across = np.minimum(right[:, None], right) - np.maximum(left[:, None], left)
    along = np.minimum(top[:, None], top) - np.maximum(bottom[:, None], bottom)
    area = (right - left) * (top - bottom)
    share = np.clip(across, 0, None) * np.clip(along, 0, None) / np.minimum(area[:, None], area)
    share[~level] = share[:, ~level] = 0
    np.fill_diagonal(share, 0)
    if share.size and share.max() > 0.2:
        one, other = np.unravel_index(share.argmax(), share.shape)
        pytest.fail(f"'{texts[one].get_text()}' and '{texts[other].get_text()}' lie upon each other ({share.max():.0%})")
    return " ".join(" ".join(text.get_text().split()) for text in texts)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("draw", [*OVER_NAMES, *OTHERS], ids=lambda draw: draw.__name__)
def test_every_figure_with_every_kind_of_input(draw, case):
    said = legible(draw(CASES[case]))
    assert said, "a figure without a word"
    if case in ("usual", "one", "forty", "zero", "unscored") and draw in OVER_NAMES:
        missing = [name for name in CASES[case].categories if name not in said]
        assert not missing, "every row has its name"
    if case == "unscored" and draw in OVER_NAMES and draw is not coverage:
        assert any(words in said for words in ("nothing scored", "n=0", "→ 0", "unscored"))
    if case == "empty":
        assert any(word in said.split() for word in ("no", "nothing")), said


def test_the_check_finds_what_is_cut_off_and_what_overlaps():
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(3, 2))
    axis.text(0.5, 0.5, "one")
    legible(figure)
    axis.text(0.52, 0.52, "other")
    with pytest.raises(pytest.fail.Exception, match="lie upon each other"):
        legible(figure)
    axis.texts[-1].set_position((0.9, 0.9))
    axis.texts[-1].set_text("far too long for here")
    with pytest.raises(AssertionError, match="cut off at the right"):
        legible(figure)
    plt.close(figure)
