"""Read a whole relu network off the kinks of its outputs, one layer after the other.

Neurons of the first layer bend along whole hyperplanes; those of the next along planes that turn
where neurons below them bend, and so on. What belongs to a layer is what its equations explain.
Rolnick & Kording (2020) and Carlini, Jagielski & Mironov (2020) read layers in this order. Where
the gradients of the layer below are independent, a single kink shows a neuron's weights
(`proportions`); elsewhere several kinks of a neuron, followed from piece to piece, are solved at
once, so that layers may be wider than the one below them and a single output is enough.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.activation import Activation
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.queries.bend_domain import Domain, Draw
from expand_and_cluster.queries.bend_follow import Follower
from expand_and_cluster.queries.bend_neurons import (
    Found,
    distinct,
    hidden_below,
    signs_told,
    with_open,
)
from expand_and_cluster.queries.bend_outputs import read_outputs
from expand_and_cluster.queries.bend_places import places_around
from expand_and_cluster.queries.bend_signs import flips_told
from expand_and_cluster.queries.bend_survey import Survey
from expand_and_cluster.queries.kinks import Ask
from expand_and_cluster.queries.limit import Limit, SpentError
from expand_and_cluster.queries.pieces import Pieces, slopes_of

# How often a network is read, on other lines each time: which kinks the first lines come upon
# decides whether neurons of one layer pass for some of another, and which signs are told.
READINGS = 3
# Share of answers that a network explains which more questions would not improve: the rest is of
# neurons seldom active, and a matter of polishing.
NEARLY_ALL = 0.99


@dataclass(frozen=True)
class BendDraft:
    """What was read off.

    Attributes:
        network: The network, or None.
        queries: Rows asked.
        note: What happened, in words.
        places: Inputs on both sides of every neuron's bends, seldom active ones included: answers
            there hold its weights.
        complete: Whether the network explains nearly all answers that it was compared with.
    """

    network: Network | None
    queries: int
    note: str
    places: Float[np.ndarray, "rows inputs"] | None = None
    complete: bool = False


def read_layers(
    ask: Ask,
    draw: Draw,
    activation: Activation,
    hidden_layers: int,
    rng: np.random.Generator,
    *,
    max_queries: int,
    least: int = 0,
    report: Reporter = silent,
) -> BendDraft:
    """Read all layers of a piecewise linear network.

    Args:
        ask: Answers inputs with outputs, in double precision.
        draw: Draws inputs.
        activation: Linear on either side of zero, with a bend there.
        hidden_layers: Number of hidden layers; widths are found.
        rng: Source of randomness.
        max_queries: Rows that may be asked.
        least: Neurons that the first layer has at least.
        report: Told about every round of lines.
    """
    limit = Limit(ask, max_queries)
    best = BendDraft(None, 0, "nothing was asked")
    for _ in range(READINGS):
        reader = _Reader(limit.ask, Domain.of(draw, rng), activation, least, report)
        try:
            network, note = reader.run(hidden_layers)
        except SpentError:
            spent = f"{max_queries} questions were spent on {reader.progress}"
            best = best if best.network is not None else BendDraft(None, 0, spent)
            break
        if network is not None or best.network is None:
            best = BendDraft(network, limit.asked, note, reader.places, reader.complete)
        if best.complete:
            break
    return replace(best, queries=limit.asked)


class _Reader:
    def __init__(
        self, ask: Ask, domain: Domain, activation: Activation, least: int, report: Reporter
    ) -> None:
        self._ask, self._domain, self._least = ask, domain, least
        self._activation, self._report = activation, report
        self._survey = Survey(ask, domain)
        self._draws: list[Draw] = [domain.wide]
        # Where all of the first layer is on and gradients above it can be told apart.
        self._clear: Draw = domain.wide
        self.places: Float[np.ndarray, "rows inputs"] | None = None
        self.progress = "the first layer"
        self.complete = False

    def run(self, hidden_layers: int) -> tuple[Network | None, str]:
        pieces = Pieces(self._domain.inputs, slopes_of(self._activation))
        found: list[Found] = []
        hidden = np.zeros(self._domain.inputs, dtype=bool)
        for depth in range(hidden_layers):
            last = depth == hidden_layers - 1
            self.progress = f"layer {depth + 1}"
            pieces, found = self._layer(pieces, hidden, last=last)
            if pieces.open is not None and found:
                flipped = signs_told(pieces, found, hidden, search=True)
                if flipped is None:
                    return None, f"signs of layer {depth} stay open"
                pieces = pieces.signed(flipped)
                found = distinct(pieces, [bends for _, bends in found])
            if not found:
                return None, f"no neuron of layer {depth + 1} was found"
            if not last:
                hidden = hidden_below(found, pieces)
                pieces = self._with_signs(pieces, found)
        return self._with_outputs(pieces, found)

    def _layer(
        self, pieces: Pieces, hidden: np.ndarray, *, last: bool
    ) -> tuple[Pieces, list[Found]]:
        """All neurons of the next layer that lines come upon, and the layers below."""
        if pieces.open is not None:
            return self._followed(pieces, [], hidden, last=last)
        legible = not pieces.known or self._survey.is_legible(pieces)
        least = 0 if pieces.known else self._least
        found = self._survey.layer(pieces, self._draws, last=last, least=least)
        self._tell(len(pieces.known) + 1, found)
        # Nothing bends above the last layer: what is left is of neurons seldom seen.
        if pieces.known and self._survey.pool and (last or not legible):
            return self._followed(pieces, found, hidden, last=last)
        return pieces, found

    def _with_signs(self, pieces: Pieces, found: list[Found]) -> Pieces:
        """One layer more; its signs open where outputs do not tell them at its kinks."""
        opened = with_open(pieces, found)
        flipped = flips_told(self._survey, opened, found, self._clear)
        if flipped is None:
            return opened
        signed = opened.signed(flipped)
        if not pieces.known and (within := self._domain.within(signed.layers[0])) is not None:
            self._clear = within
            self._draws.append(within)
        spreading = self._domain.spreading(signed.layers)
        self._draws += [] if spreading is None else [spreading]
        return signed

    def _followed(
        self, pieces: Pieces, found: list[Found], hidden: np.ndarray, *, last: bool
    ) -> tuple[Pieces, list[Found]]:
        """Neurons of the next layer whose bends are followed from piece to piece."""
        follower = Follower(self._survey, pieces, found, hidden, last=last)
        for known in follower.run():
            self._tell(len(pieces.known) + 1, known)
        return follower.pieces, follower.found

    def _tell(self, depth: int, found: list[Found]) -> None:
        self.progress = f"layer {depth}, of which {len(found)} neurons were found"
        self._report(Progress(f"read layer {depth}", len(found), note=f"{len(found)} neurons"))

    def _with_outputs(self, below: Pieces, found: list[Found]) -> tuple[Network | None, str]:
        read = read_outputs(self._survey, below, found)
        if read.last is None:
            return None, f"signs of layer {len(below.known) + 1} stay open"
        if read.pieces is None:
            return None, f"what was read off explains only {read.right:.2g} of answers"
        self.complete = read.right >= NEARLY_ALL
        self.places = places_around(read.pieces, self._domain)
        layers = [*read.pieces.layers, read.last]
        network = Network.from_arrays(
            [(layer.weight, layer.bias) for layer in layers], self._activation
        )
        widths = ", ".join(map(str, network.hidden_widths))
        share = f"{read.right:.4g} of answers"
        return network, f"layers of {widths} neurons were read off kinks; they explain {share}"
