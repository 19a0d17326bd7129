"""Computes which settings matter for a run's score."""

import warnings
from collections.abc import Sequence

from litmlp.plots.sweep import Axis

MIN_GROUPS, MIN_KEYS = 4, 2  # of scores and of keys that vary


def importances(texts: dict[str, list[str]], scores: Sequence[float], mode: str) -> dict[str, float] | None:
    """Return each key's fraction of the total importance, by PED-ANOVA; None without Optuna, or with too few scores.

    A key is important if the better runs have other values of it than all runs.

    Source: Watanabe, Bansal and Hutter (2023), "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in
    Arbitrary Subspaces", as Optuna computes it.

    Args:
        texts: by key, the values that belong to the scores, as text.
        scores: the scores of runs or of groups of runs.
        mode: `min` or `max`, the better direction of a score.
    """
    try:
        import optuna
    except ImportError:
        return None
    distributions: dict[str, optuna.distributions.BaseDistribution] = {}
    values: dict[str, Sequence[float | str]] = {}
    for key, column in texts.items():
        axis = Axis(key, column)
        if axis.is_numeric:
            values[key] = axis.positions
            distributions[key] = optuna.distributions.FloatDistribution(min(axis.positions), max(axis.positions))
        elif len(set(column)) > 1:
            values[key] = column
            distributions[key] = optuna.distributions.CategoricalDistribution(sorted(set(column)))
    if len(scores) < MIN_GROUPS or len(distributions) < MIN_KEYS:
        return None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="minimize" if mode == "min" else "maximize")
    for index, score in enumerate(scores):
        params = {key: column[index] for key, column in values.items()}
        study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=score))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return optuna.importance.get_param_importances(study, evaluator=evaluator)
