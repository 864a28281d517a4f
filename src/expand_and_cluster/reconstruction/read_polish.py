"""Polish a network that was read off: it is nearly right, and steps on all its weights are dear."""

from expand_and_cluster.core.network import Network
from expand_and_cluster.reconstruction.deep_bench import DeepBench, Scored

# Steps of polishing: near a minimum a few suffice, and in a flat valley none do.
WIDE_STEPS = 60
# Damping at first, and that of the last step.
FIRST_DAMPING, LAST_DAMPING = 1e-8, 1e-14
# Equations for every weight that the first steps see, and pairs at least.
EQUATIONS, FEWEST = 6, 512


def pairs_for(read: Network) -> int:
    """How many pairs hold the weights of a network that is nearly right."""
    return max(FEWEST, EQUATIONS * read.parameter_count // read.output_size)


def polish_read(read: Network, few: DeepBench, bench: DeepBench) -> Scored:
    """The network polished on few pairs, which bring it to rounding on all; else on all.

    The last step is on all pairs and hardly damped: directions that they hardly hold are still on
    their way when nothing but rounding is left of the error.

    Args:
        read: What was read off.
        few: As many pairs as hold its weights.
        bench: All pairs.
    """
    now = _better(few, bench, bench.score(read))
    if few is not bench and not bench.at_floor(now):
        now = _better(bench, bench, now)
    return _better(bench, bench, now, steps=1, damping=LAST_DAMPING, beyond=0.0)


def _better(
    some: DeepBench,
    bench: DeepBench,
    now: Scored,
    *,
    steps: int = WIDE_STEPS,
    damping: float = FIRST_DAMPING,
    beyond: float = 1.0,
) -> Scored:
    """The network polished on some pairs, if it is better for it on all."""
    polished = some.polish(
        some.score(now.network),
        steps=steps,
        damping=damping,
        beyond=beyond,
        stage="polish all layers",
    )
    return min(now, bench.score(polished.network), key=lambda each: each.loss)
