"""Fits the models over inner states to the human labels: `python -m rai_kit.judges.deep_fit` writes `data/judges/deep.npz`.

It computes the states of some 2,000 texts first (about a third of a second each on one quiet core); they are kept in the cache folder
under the digest of their text, so that a run that was stopped goes on, and changed texts cost only themselves.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_kit.cache import cache_dir, write_whole
from rai_kit.judges import deep, fit, labels, states
from rai_kit.judges.own import own_rows
from rai_kit.schema import digest

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Array = np.ndarray[Any, np.dtype[Any]]

COMPONENTS = 256
"""Principal components of the standardised states that are read, the first scaled to unit variance."""
STRENGTH = 0.3
"""C of the logistic models over them."""
OWN = {"ordinary": 1.0, "long": 3.0, "mismatched": 0.1, "refusal": 0.1, "warning": 0.1}
"""Kinds of own rows that teach the models, and by how much."""
AT_ONCE = 40
"""Texts between two writes of the kept states."""


def training_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The labelled answers, then the own rows of the kinds in `OWN`: `prompt`, `answer`, `goal`, `kind` (`label` or an own kind),
    `task` and `label`."""
    import pandas as pd

    own = own_rows(table)
    return pd.concat([table.assign(kind="label", goal=table["prompt"]), own[own["kind"].isin(list(OWN))]], ignore_index=True)[
        ["prompt", "answer", "goal", "kind", "task", "label"]
    ]


def targets(rows: pd.DataFrame) -> dict[str, tuple[Array, Array]]:
    """For each of `deep.MODELS` the target, 0-1, and the weight of each row (0: it does not teach this model)."""
    import numpy as np

    kind, task, label = (rows[name].to_numpy() for name in ("kind", "task", "label"))
    harmless = (task == "refusal") & rows["prompt"].map(fit.ordinary_request).to_numpy()
    label = np.where(harmless, 0.0, label.astype(float))
    common = np.array([OWN.get(name, 0.0) for name in kind]) + fit.SETTINGS["ordinary_answers"] * harmless
    objective, severity = (kind == "label") & (task == "objective"), (kind == "label") & (task == "severity")
    grave = common + severity + fit.SETTINGS["objective_in_severity"] * objective
    cuts = {name: (label > cut, grave) for name, cut in zip(deep.MODELS[1:], fit.CUTS, strict=True)}
    return {"harmful": (label > fit.SETTINGS["harmful_from"], common + objective + severity), **cuts}


def solve(features: Array, taught: dict[str, tuple[Array, Array]], keep: Array) -> tuple[Array, Array]:
    """Coefficients (features x `deep.MODELS`) and biases of logistic models over the principal components, folded back.

    Args:
        features: One row a text, as `states.states` gives them.
        taught: As `targets` gives it.
        keep: Which rows may be learnt from.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    features = features.astype(float)
    mean, scale = features[keep].mean(axis=0), features[keep].std(axis=0) + 1e-4
    standard = (features - mean) / scale
    variance, axes = np.linalg.eigh(standard[keep].T @ standard[keep] / keep.sum())
    axes = axes[:, ::-1][:, :COMPONENTS] / np.sqrt(variance[-1])
    reduced = standard @ axes
    weights, bias = np.zeros((features.shape[1], len(deep.MODELS))), np.zeros(len(deep.MODELS))
    for place, name in enumerate(deep.MODELS):
        truth, weight = taught[name]
        rows = np.flatnonzero(keep & (weight > 0))
        model = LogisticRegression(C=STRENGTH, max_iter=500).fit(reduced[rows], truth[rows], sample_weight=weight[rows])
        weights[:, place] = axes @ model.coef_[0] / scale
        bias[place] = model.intercept_[0] - mean @ weights[:, place]
    return weights, bias


def folds(goals: Sequence[str]) -> Array:
    """Which fifth of the goals each belongs to; a goal always belongs to the same."""
    import numpy as np

    return np.array([int(digest("fold", goal, length=8), 16) % fit.SETTINGS["folds"] for goal in goals])


def held_out(rows: pd.DataFrame, features: Array, taught: dict[str, tuple[Array, Array]], groups: Array) -> Array:
    """Log-odds of every labelled row by models fitted without its group, its goal, and any row with its answer."""
    import numpy as np

    goals = np.array([" ".join(goal.lower().split()) for goal in rows["goal"]])
    answers = rows["answer"].to_numpy()
    found = np.zeros((len(groups), len(deep.MODELS)))
    for group in sorted(set(groups)):
        test = np.flatnonzero(groups == group)
        keep = ~np.isin(goals, goals[test]) & ~np.isin(answers, answers[test])
        weights, bias = solve(features, taught, keep)
        found[test] = features[test] @ weights + bias
    return found


def fitted_arrays(table: pd.DataFrame, features: Array) -> dict[str, Array]:
    """`deep.ARRAYS` from the states of `training_rows(table)`."""
    import numpy as np

    rows = training_rows(table)
    taught = targets(rows)
    weights, bias = solve(features, taught, np.ones(len(rows), dtype=bool))
    groups = folds([" ".join(goal.lower().split()) for goal in table["prompt"]])
    found = held_out(rows, features, taught, groups)
    seen = features[: len(table) : deep.SAMPLE] @ weights + bias
    return {"weights": weights.astype(np.float32), "bias": bias, "held_out": found.astype(np.float32), "seen": seen}


def kept_states(prompts: Sequence[str], answers: Sequence[str], progress: Callable[[str], None] = lambda line: None) -> Array:
    """As `states.states`, for many: those computed before are read, the others computed and kept.

    Args:
        prompts: One a text.
        answers: One a text.
        progress: Told how far it is, every so often.
    """
    import numpy as np

    path = cache_dir() / f"judge-states-{digest(states.recipe(), states.model_digest(), length=16)}.npz"
    known = _read(path)
    names = [
        hashlib.sha256(f"{len(prompt)} {prompt}{answer}".encode()).hexdigest()[:24]
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    missing = [place for place, name in enumerate(names) if name not in known]
    missing = list({names[place]: place for place in missing}.values())
    start = time.monotonic()
    for at in range(0, len(missing), AT_ONCE):
        part = missing[at : at + AT_ONCE]
        found = states.states([prompts[place] for place in part], [answers[place] for place in part])
        known |= {names[place]: row for place, row in zip(part, found, strict=True)}
        _save(path, {"names": np.array(list(known)), "states": np.stack(list(known.values()))})
        done = at + len(part)
        progress(f"states of {done} of {len(missing)} texts, {(time.monotonic() - start) / done:.2f} s each")
    return np.stack([known[name] for name in names])


def _save(path: Path, arrays: dict[str, Array]) -> None:
    import numpy as np

    def write(target: Path) -> None:
        with target.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)

    write_whole(path, write)


def _read(path: Path) -> dict[str, Array]:
    import numpy as np

    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as stored:
        return dict(zip(stored["names"].tolist(), stored["states"], strict=True))


def main() -> None:
    """Computes what states are missing, fits, and writes the file."""
    import numpy as np

    table = labels.human_labels()
    rows = training_rows(table)
    features = kept_states(list(rows["prompt"]), list(rows["answer"]), lambda line: print(line, flush=True))
    arrays = fitted_arrays(table, features)
    made = {name: np.array(value) for name, value in deep.made_from().items()}
    _save(deep.file(), {**arrays, **made})
    print(f"{deep.file()}: {len(table)} labelled answers and {len(rows) - len(table)} own rows")


if __name__ == "__main__":
    main()
