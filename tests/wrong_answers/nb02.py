"""Three typical wrong answers for each exercise of notebook 02: lines, and words of their hint."""

WRONG = {
    "nb02_parameters": [
        ("n_parameters = 764 * 256", "weights alone"),
        ("n_parameters = 764 * 256 + 764", "each unit that the layer gives"),
        ("n_parameters = 764 + 256", "how many lines connect"),
    ],
    "nb02_mish_slope": [
        ("return x * np.tanh(np.log1p(np.exp(x)))", "This is Mish itself"),
        ("return np.tanh(np.log1p(np.exp(x)))", "product rule"),
        (
            "bend = np.tanh(np.log1p(np.exp(x)))\nreturn bend + x * (1 - bend**2)",
            "softplus has a slope",
        ),
    ],
}
# What a check cell needs of its notebook.
GIVEN = {}
