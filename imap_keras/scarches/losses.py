"""What the conditional VAE minimises: a likelihood, the KL term, the gap between batches."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

EPSILON = 1e-8
# Widths of the RBF kernels, 1e-6 ... 1e6: whatever the scale of the latent space, some of them see it.
# The published code has more of them between 1 and 100, where most distances are.
WIDTHS = {
    "decades": [10.0**power for power in range(-6, 7)],
    "published": [
        1e-6,
        1e-5,
        1e-4,
        1e-3,
        1e-2,
        0.1,
        1,
        5,
        10,
        15,
        20,
        25,
        30,
        35,
        100,
        1e3,
        1e4,
        1e5,
        1e6,
    ],
}


def negative_binomial(counts, mean, dispersion):
    """Log-likelihood of counts under a negative binomial, gene by gene.

    Parameters
    ----------
    counts, mean, dispersion
        Rows x genes. The variance is ``mean + mean^2 / dispersion``.

    Returns
    -------
    tf.Tensor
        Rows x genes.

    References
    ----------
    Lotfollahi et al., Nature Biotechnology 40:121 (2022), Methods; the form is that of scVI (Lopez
    et al., Nature Methods 15:1053, 2018).

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.scarches import negative_binomial
    >>> one = np.ones((1, 1), "float32")  # with dispersion 1 it is geometric: P(0) = 1/2, P(1) = 1/4
    >>> round(float(np.exp(negative_binomial(one, one, one))[0, 0]), 4)
    0.25
    """
    log_total = tf.math.log(mean + dispersion + EPSILON)
    ways = tf.math.lgamma(counts + dispersion) - tf.math.lgamma(dispersion) - tf.math.lgamma(counts + 1)
    failures = dispersion * (tf.math.log(dispersion + EPSILON) - log_total)
    successes = counts * (tf.math.log(mean + EPSILON) - log_total)
    return ways + failures + successes


def zero_inflated(counts, mean, dispersion, zero_logit):
    """Log-likelihood of counts under a zero-inflated negative binomial, gene by gene.

    With probability ``sigmoid(zero_logit)`` a count is 0 whatever the gene does; else it is negative
    binomial.

    Parameters
    ----------
    counts, mean, dispersion, zero_logit
        Rows x genes.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.scarches import zero_inflated
    >>> zero, one = np.zeros((1, 1), "float32"), np.ones((1, 1), "float32")
    >>> round(float(np.exp(zero_inflated(zero, one, one, zero))[0, 0]), 4)  # 1/2 + 1/2 * 1/2
    0.75
    """
    counted = negative_binomial(counts, mean, dispersion)
    # At 0 both ways lead there: log(pi + (1 - pi) NB(0)), in logits so that nothing overflows.
    at_zero = tf.math.softplus(zero_logit - counted) + counted
    return tf.where(counts > 0, counted, at_zero) - tf.math.softplus(zero_logit)


def kl_divergence(mean, log_variance):
    """KL divergence from ``N(mean, exp(log_variance))`` to ``N(0, 1)``, one number a row.

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.scarches import kl_divergence
    >>> float(kl_divergence(np.array([[2.0, 0.0]]), np.zeros((1, 2)))[0])
    2.0
    """
    return 0.5 * tf.reduce_sum(tf.exp(log_variance) + mean**2 - 1 - log_variance, axis=1)


def mmd(z, n_batches: int, widths: Sequence[float] = WIDTHS["published"]):
    """Squared maximum mean discrepancy, summed over all pairs of batches.

    The mean kernel between two clouds compares all their moments at once: it is 0 only where they
    agree. Kernels are ``exp(-|a - b|^2 / (2 w))``, summed over the widths w.

    Parameters
    ----------
    z
        Rows x dimensions, grouped by batch, the same number of rows each.
    n_batches
        Number of groups.
    widths
        Widths of the kernels, squared distances; :data:`WIDTHS` names two sets.

    References
    ----------
    Gretton et al., JMLR 13:723 (2012), eq. 5; Lotfollahi et al., Bioinformatics 36:i610 (2020).

    Examples
    --------
    >>> import numpy as np
    >>> from imap_keras.scarches import mmd
    >>> same = np.array([[0.0], [1.0], [0.0], [1.0]], "float32")
    >>> round(float(mmd(same, 2)), 4)
    0.0
    """
    squared = tf.reduce_sum((z[:, None] - z[None]) ** 2, axis=2)
    kernel = tf.reduce_sum(tf.exp(-squared[..., None] / (2 * np.float32(widths))), axis=2)
    rows = tf.shape(z)[0] // n_batches
    blocks = tf.reshape(kernel, (n_batches, rows, n_batches, rows))
    mean = tf.reduce_mean(blocks, axis=(1, 3))  # batches x batches
    # The sum over pairs i < j of m_ii + m_jj - 2 m_ij.
    return n_batches * tf.linalg.trace(mean) - tf.reduce_sum(mean)
