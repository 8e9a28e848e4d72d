"""Right answers in another style than the solution's: lines, by the name of the exercise."""

RIGHT = {
    "nb01_one_value": ['reason = "of ten thousand it is 15, plus one"\nvalue = 2.773'],
    "nb01_normalised": [
        "from scipy.sparse import csr_matrix\n"
        "depth = np.asarray(counts.sum(axis=1)).reshape(-1, 1)\n"
        "return csr_matrix(counts / np.where(depth > 0, depth, 1) * 1e4).log1p()",
        "rows = [np.log(1 + 1e4 * row / row.sum()) if row.any() else 0.0 * row for row in counts]\n"
        "return [list(row) for row in rows]",
    ],
}
