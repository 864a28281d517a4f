"""One hidden layer from many given pairs: which of them come first, and how all others follow."""

import dataclasses

import numpy as np

from expand_and_cluster.core.activation import centred
from expand_and_cluster.core.held import hold
from expand_and_cluster.preparation import Job, Prepared, prepare
from expand_and_cluster.queries.common_pairs import CommonPairs, Shown
from expand_and_cluster.queries.pairs import QueryPairs
from expand_and_cluster.queries.pieces import has_kink
from expand_and_cluster.queries.validation import Request
from expand_and_cluster.reconstruction.completion import Completed
from expand_and_cluster.reconstruction.extension import extend
from expand_and_cluster.reconstruction.ordinary import whole_error
from expand_and_cluster.reconstruction.rare_inputs import rare_inputs, with_least_weights
from expand_and_cluster.reconstruction.rebuild import Rebuilt
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.standardisation import UNSTRETCHED
from expand_and_cluster.students.training import NARROW, default_fit

# Pairs from which on students see batches, and are merged into one.
MANY = 20_000
# Shares of the time after which a search among common pairs ends, for all others to be explained,
# and after which that, or a search among all pairs, ends, for weights of rare inputs to be solved
# for.
SHARE_COMMON, SHARE_ALL = 0.65, 0.95
# Error of the outputs, in units of their spread, at which such a search ends: all others are
# explained by steps that move every weight, and come to rounding then.
CLOSE = 1e-8


def has_many_pairs(request: Request) -> bool:
    """Whether one hidden layer is recovered from so many given pairs that students see batches."""
    return request.hidden_layers == 1 and request.pairs is not None and len(request.pairs) >= MANY


def by_first_order(request: Request) -> bool:
    """Whether students are trained by first-order steps."""
    return (request.fit or default_fit(request.input_size, request.width or NARROW)) == "adam"


def sees_batches(request: Request) -> bool:
    """Whether many given pairs are seen in batches, by students of first-order steps."""
    return has_many_pairs(request) and by_first_order(request)


def common_pairs(request: Request, pairs: QueryPairs) -> CommonPairs | None:
    """Those that students see alone, all others to be explained afterwards; None for all.

    Not where neurons have kinks: those that few pairs are beyond need all of them.
    """
    if not sees_batches(request):
        return None
    activation = request.activation
    if activation is None or activation.kinds or has_kink(activation):
        return None
    return Shown(pairs.inputs).common()


def search_deadline(job: Job) -> float | None:
    """`time.monotonic()` after which a search ends."""
    if job.answers.common is not None:
        return _after(SHARE_COMMON, job)
    return _after(SHARE_ALL, job) if sees_batches(job.request) else job.deadline


def _after(share: float, job: Job) -> float | None:
    """`time.monotonic()` when this share of the time is over."""
    return None if job.deadline is None else job.began + share * (job.deadline - job.began)


def search_noise(job: Job) -> float:
    """Standard deviation of the outputs' error that a search takes for rounding, standardised."""
    noise = job.prepared.noise
    return noise if job.answers.common is None else max(noise, CLOSE)


def bench_of(
    whole: Prepared, rebuilt: Rebuilt, job: Job, deadline: float | None = None
) -> Workbench:
    """Where a network that was found on some coordinates or pairs goes on with all of them."""
    return Workbench(
        whole.training,
        centred(job.request.named),
        skip=rebuilt.network.skip is not None,
        noise=whole.noise,
        deadline=deadline or job.deadline,
        report=job.request.progress,
    )


def extended(rebuilt: Rebuilt, job: Job) -> Completed:
    """The network over all inputs, where students saw common ones."""
    request, answers, standard = job.request, job.answers, job.prepared.standard
    common, everything = answers.common, answers.whole
    assert common is not None
    assert everything is not None
    whole = prepare(everything, request.seed, job.reader, UNSTRETCHED)
    bench = bench_of(whole, rebuilt, job, _after(SHARE_ALL, job))
    # Inputs that these pairs do not vary kept what students began with.
    still = np.ptp(job.prepared.training.inputs, axis=0) == 0.0
    within = hold(standard.restore(rebuilt.network).at_rest(), still, standard.input_center)
    lifted = common.lift(within)
    network, removals = extend(bench, whole.standard.enter(lifted).at_rest(), common.least)
    missed = network(whole.held_out.inputs) - whole.held_out.targets
    final = dataclasses.replace(
        rebuilt,
        network=network,
        removals=rebuilt.removals + removals,
        skip_left=0.0 if network.skip is None else rebuilt.skip_left,
    )
    found = Completed(final, bench, float(np.mean(missed**2)), whole.standard)
    found = with_rare_inputs(found, whole, job)
    network = found.rebuilt.network
    polished = bench.as_candidate(network)
    polished = dataclasses.replace(polished, loss=whole_error(bench, polished))
    seen = common.restrict(whole.standard.restore(network).at_rest())
    return dataclasses.replace(
        found,
        rebuilt=dataclasses.replace(
            found.rebuilt, loss=polished.loss, exact=bench.at_floor(polished)
        ),
        own=standard.enter(seen).at_rest(),
    )


def with_rare_inputs(found: Completed, prepared: Prepared, job: Job) -> Completed:
    """The same with small weights of inputs that too few pairs show, or that have none yet.

    The pairs that were held out, and judged by before, are seen too.

    Args:
        found: A network over all inputs.
        prepared: The pairs.
        job: The recovery.
    """
    network = found.rebuilt.network
    everything = prepared.training.joined(prepared.held_out)
    untold = ~np.any(network.layers[0].weight, axis=0) & (everything.shown.times > 0)
    if network.skip is not None or network.activation.kinds:
        return dataclasses.replace(found, rare=untold) if untold.any() else found
    rare = rare_inputs(everything.shown, network.hidden_widths[0], network.output_size)
    asked = rare | untold
    explained = with_least_weights(network, everything, asked, job.request.progress, job.deadline)
    seen = explained is not network
    rebuilt = dataclasses.replace(found.rebuilt, network=explained)
    # Inputs without weights stay so where they are too many, as when time was up.
    return dataclasses.replace(found, rebuilt=rebuilt, rare=rare if seen else asked, seen=seen)
