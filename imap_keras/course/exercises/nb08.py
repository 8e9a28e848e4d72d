"""Notebook 08: which of two changes to keep; gains seed by seed."""

import numpy as np
import pandas as pd

from .against import against, value
from .trial import Exercise


def look(answer, rng: np.random.Generator) -> tuple:
    """The table for five steps, in an order that is not the alphabet's, and seeds in any order."""
    steps = [f"step {letter}" for letter in np.roll(list("edcba"), rng.integers(5))]
    seeds = range(int(rng.integers(3, 6)))
    ran = [(step, int(seed)) for step in steps for seed in rng.permutation(seeds)]
    rows = [{"step": step, "seed": seed, "mixing": rng.random()} for step, seed in ran]
    table = answer(pd.DataFrame(rows))
    return [str(s) for s in table.index], table["gain"].to_numpy(float), table["spread"].to_numpy(float)


def summed_up(gain: pd.DataFrame) -> pd.DataFrame:
    """Mean and deviation over the seeds, without the first step."""
    gain = gain.iloc[:, 1:]
    return pd.DataFrame({"gain": gain.mean(), "spread": gain.std()})


def by_seed(runs: pd.DataFrame) -> pd.DataFrame:
    """Mixing, seeds x steps in the order of the path."""
    return runs.pivot(index="seed", columns="step", values="mixing")[runs["step"].unique()]


def paired_gain(runs: pd.DataFrame) -> pd.DataFrame:
    """What the student writes."""
    return summed_up(by_seed(runs).diff(axis=1))


def in_alphabetical_order(runs: pd.DataFrame) -> pd.DataFrame:
    """`pivot` has sorted the steps."""
    return summed_up(runs.pivot(index="seed", columns="step", values="mixing").diff(axis=1))


def over_the_first_step(runs: pd.DataFrame) -> pd.DataFrame:
    """The first step is subtracted from all."""
    steps = by_seed(runs)
    return summed_up(steps.sub(steps.iloc[:, 0], axis=0))


def by_place(runs: pd.DataFrame) -> pd.DataFrame:
    """The first row of a step is taken for the seed of the first row of the step before."""
    mixing = runs["mixing"].to_numpy().reshape(runs["step"].nunique(), -1)
    return summed_up(pd.DataFrame(mixing.T, columns=runs["step"].unique()).diff(axis=1))


def of_means(runs: pd.DataFrame) -> pd.DataFrame:
    """The seeds are averaged before anything is subtracted."""
    of_step = runs.groupby("step", sort=False)["mixing"]
    return pd.DataFrame({"gain": of_step.mean().diff(), "spread": of_step.std()}).iloc[1:]


EXERCISES = {
    "nb08_keep": Exercise(
        1,
        value(
            ("P", "b"),
            {
                (
                    "Q",
                    "c",
                ): "Subtract seed by seed: what does Q gain with seed 0, and what with seed 1?",
                ("Q", "a"): (
                    "The mean gains are the same. Which change is the surer one, and by what?"
                ),
                ("P", "a"): (
                    "The change is right, but its mean gain is not larger: both have the same."
                ),
                ("P", "c"): "The change is right, but after P the seeds lie as far apart as before.",
            },
            'Two letters, such as ("Q", "a"): the change and the reason.',
        ),
    ),
    "nb08_gain": Exercise(
        2,
        against(
            look,
            paired_gain,
            {
                in_alphabetical_order: (
                    "`pivot` sorts the steps by name; `runs['step'].unique()` has them in the "
                    "order of the path. Put them back before you subtract."
                ),
                over_the_first_step: (
                    "This is the gain over the first step; asked is the gain over the step before."
                ),
                by_place: "The rows of a step stand in any order of the seeds: match them by `seed`.",
                of_means: (
                    "The gain is right; the spread is that of the step itself. Subtract within "
                    "each seed first, then take mean and deviation."
                ),
            },
            (
                "A row for each step but the first, its title as index, columns `gain` and "
                "`spread`; pandas' deviation, which divides by n - 1."
            ),
        ),
    ),
}
