"""What an integration costs: seconds and memory to expect, before any work."""

from ..imap.hyperparameters import Hyperparameters

# Between what a faster and a slower machine took for the default, with two cores to themselves
# (benchmarks/README.md, "What check promises"). A batch costs some seconds whatever its genes, and more
# for every gene. The memory at rest was measured: the demo with its report, 2.06 GB.
START_SECONDS, SECONDS_PER_BATCH, SECONDS_PER_BATCH_OF_2000_GENES = 6.0, 4.0, 8.5
SECONDS_PER_1000_CELLS = 1.0
LIBRARIES_GB, COPIES = 2.0, 4.5


def cost_of(n_cells: int, n_genes: int, n_batches: int, hp: Hyperparameters) -> tuple[float, float]:
    """Seconds and gigabytes to expect of a fit on two cores.

    Examples
    --------
    >>> from imap_keras import Hyperparameters
    >>> from imap_keras.command.cost import cost_of
    >>> seconds, gigabytes = cost_of(1500, 2000, 3, Hyperparameters())
    >>> 10 < seconds < 120, 2 < gigabytes < 3
    (True, True)
    """
    default = Hyperparameters()
    first = hp.stage1_epochs * hp.stage1_steps * hp.stage1_rows
    first /= default.stage1_epochs * default.stage1_steps * default.stage1_rows
    second = hp.stage2_epochs * hp.stage2_steps * hp.stage2_rows
    second /= default.stage2_epochs * default.stage2_steps * default.stage2_rows
    width = n_genes / 2000
    of_a_batch = SECONDS_PER_BATCH + SECONDS_PER_BATCH_OF_2000_GENES * width
    seconds = START_SECONDS + SECONDS_PER_1000_CELLS * width * n_cells / 1000
    seconds += of_a_batch * n_batches * (first + second) / 2
    return seconds, LIBRARIES_GB + COPIES * 4 * n_cells * n_genes / 1e9
