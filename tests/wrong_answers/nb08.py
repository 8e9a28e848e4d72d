"""Typical wrong answers of notebook 08: lines, and words of their hint."""

PIVOT = 'steps = runs.pivot(index="seed", columns="step", values="mixing")'
SUM = 'return pd.DataFrame({"gain": gain.mean(), "spread": gain.std()})'
WRONG = {
    "nb08_keep": [
        ('kept = ("Q", "c")', "Subtract seed by seed"),
        ('kept = ("Q", "a")', "surer one"),
        ('kept = ("P", "a")', "both have the same"),
        ('kept = ("P", "c")', "as far apart as before"),
        ('kept = "P"', "Two letters"),
    ],
    "nb08_gain": [
        (f"{PIVOT}\ngain = steps.diff(axis=1).iloc[:, 1:]\n{SUM}", "sorts the steps by name"),
        (
            f"{PIVOT}[runs['step'].unique()]\n"
            f"gain = steps.sub(steps.iloc[:, 0], axis=0).iloc[:, 1:]\n{SUM}",
            "over the first step",
        ),
        (
            'of = runs.groupby("step", sort=False)["mixing"]\n'
            'return pd.DataFrame({"gain": of.mean().diff(), "spread": of.std()}).iloc[1:]',
            "Subtract within each seed",
        ),
        (
            f"{PIVOT}[runs['step'].unique()]\ngain = steps.diff(axis=1).iloc[:, 1:]\n"
            'return pd.DataFrame({"gain": gain.mean(), "spread": gain.std(ddof=0)})',
            "divides by n - 1",
        ),
        (f"{PIVOT}\nreturn steps.diff().mean()", "Your lines stop with KeyError"),
        (
            "mixing = runs['mixing'].to_numpy().reshape(runs['step'].nunique(), -1)\n"
            "gain = pd.DataFrame(mixing, runs['step'].unique()).diff().iloc[1:].T\n" + SUM,
            "match them by `seed`",
        ),
    ],
}
GIVEN = {}
