"""Every number the method can be tuned by, in one place, under the paper's words."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from math import isfinite
from numbers import Integral, Real

import numpy as np

from .blocks import INITIALIZATIONS
from .pairs import METRICS, SEARCHES


@dataclass(frozen=True)
class Hyperparameters:
    """Hyperparameters of iMAP; the defaults are this kit's, :data:`REFERENCE` holds the paper's code.

    Parameters
    ----------
    latent_dim
        Width l of the content code and of the generator's middle layer.
    hidden
        Hidden widths of E and of G's first half; decoders and G's second half mirror them.
    critic_hidden
        Hidden widths of the critic.
    initialization
        ``"zero_bias"`` or ``"reference"``, see :class:`imap_keras.blocks.Initializers`.
    lambda_content, lambda_reconstruction
        Weights of the two stage I losses.
    stage1_epochs, stage1_steps
        Most epochs of stage I, and steps an epoch.
    stage1_rows
        Rows drawn from each batch in each step.
    stage1_learning_rate
        Adam's in stage I.
    stage1_patience
        Stop stage I when the loss has not fallen by 1 % for so many epochs; None trains them all.
    recalibrate
        Re-estimate BatchNorm's running statistics on real cells after training.
    n_samples
        Most cells of a batch (or of the merged anchor) in the search for pairs.
    k1
        Neighbours across batches looked at for MNN pairs, at most a quarter of the smaller batch;
        None: the paper's rule, half of its k2, at least 1.
    k2
        Neighbours within a batch the walks step to, at most a quarter of the smaller batch; None:
        the paper's rule, a hundredth of the smaller batch, at least 1.
    walk_length
        Pairs each MNN seed grows to (m).
    pair_space
        Space the neighbours are searched in: ``"content"`` (E(x), the paper), ``"pca"`` (the 30 first
        principal components of the expression) or ``"both"`` (those of the content beside those of
        the expression, at one scale).
    pair_agreement
        Only MNN pairs whose two cells see both batches at least so much alike count, see
        :func:`imap_keras.agreement.pair_agreement`; 0 takes every pair, as the paper does.
    metric
        Distance of the neighbours: ``"angular"``, ``"euclidean"``, ``"manhattan"``.
    search, n_trees
        ``"annoy"`` with so many trees, or ``"exact"``.
    incremental
        Each merged batch joins the anchor (the paper); False: all go to the first batch alone.
    stage2_epochs, stage2_steps
        Epochs of stage II for each query batch, and critic steps an epoch.
    stage2_rows
        Pairs a step.
    critic_steps
        Critic steps to one generator step.
    stage2_learning_rate
        Adam's in stage II, generator and critic.
    gradient_penalty
        Weight of the WGAN-GP penalty.
    keep_pairs
        Row i of query and anchor are one pair; False draws the two sides independently.
    lambda_pair
        Weight of the squared difference between a carried cell and its pair; 0 leaves it out.
    identity_start
        The generator starts as G(x) = x.
    shift_start
        The generator starts by adding the mean difference of its pairs to every cell.
    average_epochs
        The generator's weights are averaged over so many last epochs; 1 takes the last as they are.
    n_components
        Principal components of the corrected expression in ``obsm["X_imap"]``.
    seed
        Seed of everything random, 0 to 2**32 - 1.

    Raises
    ------
    ValueError
        A value is out of range; the message names it.

    References
    ----------
    Wang et al., Genome Biology 22:63 (2021), Methods, "Network architectures and hyperparameters".

    Examples
    --------
    >>> from imap_keras.hyperparameters import Hyperparameters
    >>> Hyperparameters(latent_dim=64).lambda_content
    3.0
    """

    latent_dim: int = 256
    hidden: tuple[int, ...] = (1024, 512)
    critic_hidden: tuple[int, ...] = (512, 512)
    initialization: str = "zero_bias"
    lambda_content: float = 3.0
    lambda_reconstruction: float = 1.0
    stage1_epochs: int = 15
    stage1_steps: int = 20
    stage1_rows: int = 64
    stage1_learning_rate: float = 1e-3
    stage1_patience: int | None = None
    recalibrate: bool = True
    n_samples: int = 3000
    k1: int | None = 20
    k2: int | None = 20
    walk_length: int = 3
    pair_space: str = "both"
    pair_agreement: float = 0.5
    metric: str = "angular"
    search: str = "annoy"
    n_trees: int = 10
    incremental: bool = True
    stage2_epochs: int = 50
    stage2_steps: int = 10
    stage2_rows: int = 64
    critic_steps: int = 5
    stage2_learning_rate: float = 2e-4
    gradient_penalty: float = 10.0
    keep_pairs: bool = True
    lambda_pair: float = 10.0
    identity_start: bool = True
    shift_start: bool = True
    average_epochs: int = 20
    n_components: int = 30
    seed: int = 0

    def __post_init__(self):
        for name in ("hidden", "critic_hidden"):
            self._set(name, _widths(name, getattr(self, name)))
        for name in NOT_NEGATIVE:
            self._set(name, _number(name, getattr(self, name), "0 or more", lambda value: value >= 0))
        for name in ("stage1_learning_rate", "stage2_learning_rate"):
            self._set(name, _number(name, getattr(self, name), "above 0", lambda value: value > 0))
        for name, least in {**dict.fromkeys(COUNTS, 1), "seed": 0}.items():
            optional = name in ("k1", "k2", "stage1_patience")
            self._set(name, _count(name, getattr(self, name), least, optional))
        choices = {
            "initialization": INITIALIZATIONS,
            "pair_space": PAIR_SPACES,
            "metric": METRICS,
            "search": tuple(SEARCHES),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}={getattr(self, name)!r} is unknown; choose one of {allowed}.")
        if self.seed >= 2**32:
            raise ValueError(f"seed={self.seed} must be below 2**32.")
        for name in ("recalibrate", "incremental", "keep_pairs", "identity_start", "shift_start"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise ValueError(f"{name}={getattr(self, name)!r} must be True or False.")
            self._set(name, bool(getattr(self, name)))
        if self.critic_steps > self.stage2_steps:
            raise ValueError(
                f"critic_steps={self.critic_steps} must be at most stage2_steps={self.stage2_steps}, "
                "or an epoch passes without a generator step."
            )

    def _set(self, name: str, value) -> None:
        object.__setattr__(self, name, value)  # the dataclass is frozen

    def as_dict(self) -> dict:
        """All names and values, ready for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


PAIR_SPACES = ("content", "pca", "both")
NOT_NEGATIVE = (
    "lambda_content",
    "lambda_reconstruction",
    "pair_agreement",
    "gradient_penalty",
    "lambda_pair",
)
COUNTS = (
    "latent_dim",
    "stage1_epochs",
    "stage1_steps",
    "stage1_rows",
    "stage1_patience",
    "n_samples",
    "k1",
    "k2",
    "walk_length",
    "n_trees",
    "stage2_epochs",
    "stage2_steps",
    "stage2_rows",
    "critic_steps",
    "average_epochs",
    "n_components",
)


def _widths(name: str, value) -> tuple[int, ...]:
    """Hidden widths as a tuple (a list comes from JSON)."""
    widths = tuple(value) if isinstance(value, Iterable) else (value,)
    if not widths or not all(isinstance(w, Integral) and w >= 1 for w in widths):
        raise ValueError(f"{name}={value!r} must be one or more whole numbers of at least 1.")
    return tuple(int(w) for w in widths)


def _number(name: str, value, what: str, allowed) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, Real)
        or not (isfinite(value) and allowed(value))
    ):
        raise ValueError(f"{name}={value!r} must be a number, {what}.")
    return float(value)  # numpy's numbers do not go into JSON


def _count(name: str, value, least: int, optional: bool) -> int | None:
    if value is None and optional:
        return None
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        or_none = ", or None" if optional else ""
        raise ValueError(f"{name}={value!r} must be a whole number of at least {least}{or_none}.")
    return int(value)


# The published code, number by number (package imap 1.0.0; Wang et al. 2021). All are named, so that
# another default cannot change them.
REFERENCE = Hyperparameters(
    latent_dim=256,
    hidden=(1024, 512),
    critic_hidden=(512, 512),
    initialization="reference",
    lambda_content=3.0,
    lambda_reconstruction=1.0,
    stage1_epochs=150,
    stage1_steps=20,
    stage1_rows=512,
    stage1_learning_rate=5e-4,
    stage1_patience=None,
    recalibrate=False,
    n_samples=3000,
    k1=None,
    k2=None,
    walk_length=50,
    pair_space="content",
    pair_agreement=0.0,
    metric="angular",
    search="annoy",
    n_trees=10,
    incremental=False,
    stage2_epochs=150,
    stage2_steps=10,
    stage2_rows=1024,
    critic_steps=10,
    stage2_learning_rate=2e-4,
    gradient_penalty=10.0,
    keep_pairs=False,
    lambda_pair=0.0,
    identity_start=False,
    shift_start=False,
    average_epochs=1,
)
PRESETS = {"default": Hyperparameters(), "reference": REFERENCE}


def resolve(preset: str = "default", **changes) -> Hyperparameters:
    """Take a preset and change some of its values.

    Parameters
    ----------
    preset
        ``"default"`` or ``"reference"``.
    changes
        Hyperparameters by name.

    Raises
    ------
    ValueError
        Unknown preset, or a value out of range.
    TypeError
        Unknown hyperparameter; the message offers the nearest name.

    Examples
    --------
    >>> from imap_keras.hyperparameters import resolve
    >>> resolve("reference", stage1_epochs=50).walk_length
    50
    """
    if preset not in PRESETS:
        raise ValueError(f"preset={preset!r} is unknown; choose one of {tuple(PRESETS)}.")
    names = [field.name for field in fields(Hyperparameters)]
    for name in changes:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}."
            raise TypeError(f"{name!r} is not a hyperparameter of iMAP; {hint}")
    return replace(PRESETS[preset], **changes)
