"""Typical wrong answers for each exercise of notebook 01: lines, and words of their hint."""

WRONG = {
    "nb01_one_value": [
        ("value = 15.0", "before the logarithm"),
        ("value = np.log(15)", "log(1 + x)"),
        ("value = np.log1p(3)", "depth of the cell"),
        ("value = np.log10(16)", "natural logarithm"),
        ("value = 2.8", "three digits"),
        ("value = 27.7", "Three steps"),
    ],
    "nb01_normalised": [
        ("return np.log1p(counts / counts.sum(axis=0) * 1e4)", "the sum of each gene"),
        ("return np.log1p(counts / counts.sum() * 1e4)", "the whole table"),
        ("return counts / counts.sum(axis=1, keepdims=True) * 1e4", "And the logarithm?"),
        (
            "x = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) * 1e4\n"
            "return np.log(x, where=x > 0, out=np.zeros(x.shape))",
            "without the 1",
        ),
        (
            "return np.log1p(counts * 10000 // np.maximum(counts.sum(axis=1, keepdims=True), 1))",
            "// drops",
        ),
        ("return np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)", "0 / 0 is not a number"),
    ],
}
GIVEN = {}
