"""Recover a network whose activation is not known: rank the catalogue, then try who can be it."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from expand_and_cluster.activation_choice import ActivationChoice, RankedActivation
from expand_and_cluster.core.activations import Activation, catalogue
from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.core.errors import EacError
from expand_and_cluster.core.network import Network
from expand_and_cluster.recovery import Recovery, Verdict
from expand_and_cluster.students.screening import Trial
from expand_and_cluster.symmetries.relations import (
    equivalence_classes,
    find_relation,
    same_networks,
)

# Candidates with which a whole recovery is tried where none stands out.
TRIED = 2
# A skip whose weights are all below this share of the network's own counts as none.
NO_SKIP = 1e-9
# Confidence that is left where the activation is open.
UNDECIDED = 0.4


def recover_unknown(
    screen: Callable[[Sequence[Activation]], tuple[Trial, ...]],
    recover_with: Callable[[Activation, Checkpoint], Recovery],
    *,
    checkpoint: Checkpoint,
    deadline: float | None,
) -> Recovery:
    """Name the activation and recover the network with it.

    One activation of every class of equivalent ones is screened. Those that reach rounding, with
    their near relations, or the best two where none does, are each given an ordinary recovery,
    whose verdict decides: a wrong activation leaves an error, a skip, or neurons to spare.

    Args:
        screen: Ranks activations.
        recover_with: The ordinary recovery with a named activation, and where it keeps its stages.
        checkpoint: Keeps the ranking.
        deadline: `time.monotonic()` after which no further candidate is tried.

    Returns:
        The best recovery with the choice in `activations`; not identified where two unrelated
        activations explain the answers equally well.

    Raises:
        EacError: With no candidate any student imitates the teacher.
    """
    classes = equivalence_classes(catalogue.values())
    trials = _screened(screen, [members[0] for members in classes], checkpoint, deadline)
    # Where time was over by then, those without an error may not have been looked at.
    skipped = [each.activation.name for each in trials if not np.isfinite(each.error)]
    skipped = skipped if is_over(deadline) else []
    tried: dict[str, Recovery] = {}
    failure: EacError | None = None
    for trial in _finalists(trials):
        name = trial.activation.name
        if tried and is_over(deadline):
            skipped.append(name)
            continue
        folder = None if checkpoint.folder is None else checkpoint.folder / f"with-{name}"
        try:
            tried[name] = recover_with(trial.activation, Checkpoint(folder))
        except EacError as error:
            failure = error
    if not tried:
        assert failure is not None
        raise failure
    # Smaller is better; among equals the better rank stands first.
    best = min(tried.values(), key=_flaws)
    return _with_choice(best, trials, tried, tuple(dict.fromkeys(skipped)))


def _finalists(trials: Sequence[Trial]) -> Sequence[Trial]:
    """Candidates at rounding, and those that differ from one of them by a linear part only.

    Twice as many neurons make up for the linear part (relu and leaky_relu), so that students at
    rounding do not decide between these: the whole recovery does.
    """
    reached = [trial for trial in trials if trial.reached]
    return [
        trial
        for trial in trials
        if any(
            trial is each or find_relation(trial.activation, each.activation) for each in reached
        )
    ] or trials[:TRIED]


def _flaws(recovery: Recovery) -> tuple[bool, bool, int]:
    network = recovery.network
    return not recovery.verdict.identified, network.skip is not None, network.hidden_widths[0]


def _with_choice(
    best: Recovery,
    trials: Sequence[Trial],
    tried: dict[str, Recovery],
    skipped: tuple[str, ...],
) -> Recovery:
    chosen = best.network.activation
    related = {
        each.name: find_relation(chosen, each) for each in catalogue.values() if each is not chosen
    }
    equivalent = tuple(
        name
        for name, relation in related.items()
        if relation is not None
        and (relation.slope == 0.0 or best.network.skip is None)
        and _no_skip(relation.rewrite(best.network, catalogue[name]))
    )  # fmt: skip
    rivals = [
        name
        for name, recovery in tried.items()
        if name not in (chosen.name, *equivalent)
        and recovery.verdict.identified
        and _flaws(recovery) <= _flaws(best)
    ]
    errors = {trial.activation.name: trial.error for trial in trials}
    others = [name for name in errors if name != chosen.name and not related[name]]
    runner_up = min(others, key=errors.__getitem__, default="")
    skipped = tuple(name for name in skipped if name not in (chosen.name, *equivalent))
    # Where noise is what is left, an error at rounding tells nobody from the others.
    open_ones = best.standard_errors is not None and not any(trial.reached for trial in trials)
    decided = best.verdict.identified and not rivals and not skipped and not open_ones
    choice = ActivationChoice(
        chosen.name,
        decided,
        runner_up,
        errors.get(runner_up, float("inf")) / errors[chosen.name],
        equivalent,
        tuple(_ranked(trial, tried, chosen) for trial in trials),
    )
    return dataclasses.replace(
        best, activations=choice, verdict=_verdict(best.verdict, choice, rivals, skipped)
    )


def _ranked(trial: Trial, tried: dict[str, Recovery], chosen: Activation) -> RankedActivation:
    name = trial.activation.name
    notes = []
    if trial.activation is not chosen and not same_networks(chosen, trial.activation):
        relation = find_relation(chosen, trial.activation)
        if relation is not None:
            notes.append(f"{chosen.name} is {name} with a linear part")
    if name in tried:
        network = tried[name].network
        found = "identified" if tried[name].verdict.identified else "not identified"
        skip = "" if network.skip is None else " and a skip"
        notes.append(f"{found} with {network.hidden_widths[0]} neurons{skip}")
    return RankedActivation(name, trial.width, trial.error, "; ".join(notes))


def _verdict(
    verdict: Verdict, choice: ActivationChoice, rivals: Sequence[str], skipped: Sequence[str]
) -> Verdict:
    if choice.decided:
        reason = f"only {choice.chosen} of the catalogue fits to rounding"
        if choice.equivalent:
            reason += f", or {' or '.join(choice.equivalent)}, which cannot be told from it"
        return dataclasses.replace(verdict, reasons=(*verdict.reasons, reason))
    if rivals:
        reason = f"{choice.chosen} and {' and '.join(rivals)} cannot be told apart on these answers"
    elif skipped and verdict.identified:
        reason = f"time was over before {' and '.join(skipped)} could be tried in its place"
    elif verdict.identified:
        reason = (
            f"noise hides the activation: {choice.chosen} is the best of the few that were tried"
        )
    else:
        reason = f"no activation of the catalogue is confirmed; {choice.chosen} comes nearest"
    confidence = min(verdict.confidence, UNDECIDED)
    return Verdict(False, confidence, (*verdict.reasons, reason))


def _no_skip(network: Network) -> bool:
    if network.skip is None:
        return True
    size = max(float(np.abs(layer.weight).max()) for layer in network.layers)
    return float(np.abs(network.skip.weight).max()) <= NO_SKIP * size


def _screened(
    screen: Callable[[Sequence[Activation]], tuple[Trial, ...]],
    candidates: Sequence[Activation],
    checkpoint: Checkpoint,
    deadline: float | None,
) -> tuple[Trial, ...]:
    """The ranking, kept unless time was over before all had a place in it."""
    saved = checkpoint.load("activations")
    if saved is None:
        trials = screen(candidates)
        rows = [(t.activation.name, t.width, t.error, t.reached) for t in trials]
        if not is_over(deadline):
            checkpoint.save("activations", {}, {"trials": rows})
        return trials
    return tuple(Trial(catalogue[name], *rest) for name, *rest in saved[1]["trials"])
