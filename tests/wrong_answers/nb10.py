"""Typical wrong answers of notebook 10: lines, and words of their hint."""

REASON = 'reason = "Each new batch is a row in both tables, and dispersions."\n'
KNOWN = "known, bias = old.get_weights()\n"
SET = "new.set_weights([kernel, bias])\nreturn new"
WRONG = {
    "nb10_weights": [
        (REASON + "n_trained = 3 * (64 + 500)", "Two networks read the batch"),
        (REASON + "n_trained = 3 * 2 * 64", "a dispersion for each gene"),
        (REASON + "n_trained = 2 * 64 + 500", "how many are mapped"),
        ("n_trained = 1884", "Now write your reason"),
    ],
    "nb10_grow": [
        (
            "new.get_weights()[0][: old.kernel.shape[0]] = old.get_weights()[0]\nreturn new",
            "hands out copies",
        ),
        (
            f"{KNOWN}kernel = np.zeros((new.kernel.shape[0], known.shape[1]))\n"
            f"kernel[: len(known)] = known\n{SET}",
            "they are 0",
        ),
        (
            f"{KNOWN}kernel = new.get_weights()[0]\nkernel[-len(known) :] = known\n{SET}",
            "where do their rows belong",
        ),
        (
            "kernel, bias = new.get_weights()\n"
            f"kernel[: old.kernel.shape[0]] = old.get_weights()[0]\n{SET}",
            "What else has `old` learnt",
        ),
        (
            f"{KNOWN}kernel = new.get_weights()[0]\nkernel[:-2] = known\n{SET}",
            "Your lines stop with ValueError",
        ),
        (
            f"{KNOWN}kernel = new.get_weights()[0]\nkernel[:3] = known[:3]\n{SET}",
            "the old rows in front",
        ),
        ("new.set_weights(old.get_weights())\nreturn new", "Your lines stop with ValueError"),
    ],
}
GIVEN = {}
