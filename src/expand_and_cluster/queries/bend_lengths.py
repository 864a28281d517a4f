"""Lengths of input vectors, and biases, of neurons whose kinks are soft.

Far out a network of neurons that are straight lines far from zero is one of relu neurons, and its
layers are read off kinks: each neuron up to a positive factor, for relu hides it, and without its
bias, which is nothing out there. Nearer by, with kinks still far apart, each can be looked at by
itself: how far outputs are from straight lines around it tells how steep its pre-activation is, and
where the lines meet tells its bias.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.queries.asymptotes import Asymptotes
from expand_and_cluster.queries.bend_domain import Domain
from expand_and_cluster.queries.bend_places import bends_between
from expand_and_cluster.queries.kinks import Ask
from expand_and_cluster.queries.pieces import Bends, Pieces

# Distance at which kinks are looked at, in units of that of questions: far enough out for some
# kinks of each neuron to stand alone, and near enough for what was read, right to some eight
# digits, to tell biases to some five.
DISTANCE = 3e3
# Inputs among which places are looked for, places for each neuron, and lengths that are wanted.
AMONG, PLACES, WANTED = 8192, 24, 3
# Share of the room around a kink up to which answers are asked, halvings of it on either side, and
# those of them that the straight lines are taken from.
ROOM, HALVINGS, STRAIGHT = 0.5, 36, 2
# Error of a profile, relative to its size, up to which it is a neuron's.
LEFT = 1e-3
# Rows for every feature that output weights are solved from.
ROWS = 4


@dataclass(frozen=True)
class Profile:
    """Answers on a line through one neuron's kink.

    Attributes:
        neuron: Counted through all layers.
        point: Where the neuron is thought to bend.
        way: Direction of its gradient there, of length 1.
        steep: Length of that gradient, as the neuron was read.
        room: Distance to the next kink.
    """

    neuron: int
    point: Float[np.ndarray, " inputs"]
    way: Float[np.ndarray, " inputs"]
    steep: float
    room: float

    @property
    def places(self) -> Float[np.ndarray, " places"]:
        """Distances from the point, nearest to it in the middle."""
        side = ROOM * self.room * 0.5 ** np.arange(HALVINGS)
        return np.concatenate([-side, [0.0], side[::-1]])


def with_lengths(
    ask: Ask, read: Network, asymptotes: Asymptotes, domain: Domain
) -> tuple[Network | None, str]:
    """The network with its activation, lengths and biases; None where some neuron shows none.

    Args:
        ask: Answers inputs with outputs.
        read: What was read far out: weights up to a positive factor for each neuron.
        asymptotes: Of the activation.
        domain: Where questions usually come from.
    """
    none = [
        Bends(np.asarray(layer.weight), np.zeros(len(layer.bias))) for layer in read.layers[:-1]
    ]
    pieces = Pieces(domain.inputs, asymptotes.slopes, tuple(none))
    waiting = _profiles(pieces, domain)
    factors: list[list[float]] = [[] for _ in waiting]
    points: list[list[np.ndarray]] = [[] for _ in waiting]
    while True:
        # Where neurons above are off outputs do not bend, and another place is asked.
        some = [
            one
            for own, known in zip(waiting, factors, strict=True)
            for one in own[: WANTED - len(known)]
        ]
        if not some:
            break
        rows = [one.point + one.places[:, None] * one.way for one in some]
        answers = ask(np.concatenate(rows)).reshape(len(some), len(some[0].places), -1)
        waiting = [
            own[max(WANTED - len(known), 0) :] for own, known in zip(waiting, factors, strict=True)
        ]
        for one, own in zip(some, answers, strict=True):
            shape = _shape(one, own, asymptotes)
            if shape is not None:
                factors[one.neuron].append(shape[0] / one.steep)
                points[one.neuron].append(one.point + shape[1] * one.way)
    silent = sum(not each for each in factors)
    if silent:
        return None, f"{silent} neurons show no length"
    layers = _rebuilt(read, asymptotes, np.array([np.median(each) for each in factors]), points)
    return _with_outputs(ask, layers, read, asymptotes, domain), ""


def _profiles(pieces: Pieces, domain: Domain) -> list[list[Profile]]:
    """For every neuron some kinks of its own, those with most room first."""
    points = DISTANCE * domain.wide(AMONG)
    found: list[list[Profile]] = []
    for index, pre in enumerate(pieces.pre(points).T):
        on, off = np.flatnonzero(pre > 0.0), np.flatnonzero(pre <= 0.0)
        found.append([])
        if not len(on) or not len(off):
            continue
        ends = (points[some[domain.rng.integers(len(some), size=PLACES)]] for some in (on, off))
        for point in bends_between(pieces, index, *ends):
            place = pieces.at(point)
            steep = float(np.linalg.norm(place.slopes[index]))
            if steep > 0.0:
                room = float(np.delete(place.distances(), index).min(initial=np.inf))
                way = place.slopes[index] / steep
                room = min(room, DISTANCE * domain.spread)
                found[-1].append(Profile(index, point, way, steep, room))
        found[-1].sort(key=lambda one: -one.room)
    return found


def _shape(
    one: Profile, answers: Float[np.ndarray, "places outputs"], asymptotes: Asymptotes
) -> tuple[float, float] | None:
    """How steep a pre-activation is, and where on the line the two straight lines meet.

    None if the answers there are not those of one neuron.
    """
    places = one.places
    first, last = slice(0, STRAIGHT), slice(len(places) - STRAIGHT, len(places))
    before, after = (
        (answers[some][-1] - answers[some][0]) / (places[some][-1] - places[some][0])
        for some in (first, last)
    )
    jump = after - before
    size = float(jump @ jump)
    if size == 0.0:
        return None
    # Along the jump, so that it is 1 there, and the lines are 0 and the distance to their meeting.
    own = (answers - answers[0] - (places - places[0])[:, None] * before) @ jump / size
    meeting = float(places[-1] - own[-1])
    beyond = places[STRAIGHT:-STRAIGHT] - meeting
    soft = own[STRAIGHT:-STRAIGHT] - np.maximum(beyond, 0.0)

    def missed(exponent: np.ndarray) -> np.ndarray:
        slope = float(np.exp(exponent[0]))
        return asymptotes.softness(slope * beyond) / (slope * asymptotes.bend) - soft

    tried = np.log(asymptotes.reach / one.room) + np.log(2.0) * np.arange(1, HALVINGS)
    errors = [float(np.sum(missed(np.array([each])) ** 2)) for each in tried]
    fit = least_squares(missed, tried[[int(np.argmin(errors))]], xtol=1e-15, ftol=1e-15, gtol=1e-15)
    if np.abs(fit.fun).max() > LEFT * np.abs(soft).max():
        return None
    return float(np.exp(fit.x[0])), meeting


def _rebuilt(
    read: Network,
    asymptotes: Asymptotes,
    factors: Float[np.ndarray, " neurons"],
    points: list[list[np.ndarray]],
) -> list[Layer]:
    """Hidden layers in their own lengths, with their biases."""
    layers: list[Layer] = []
    below, start = np.ones(read.layers[0].weight.shape[1]), 0
    for layer in read.layers[:-1]:
        own = factors[start : start + len(layer.bias)]
        weight = own[:, None] * layer.weight / below
        biases = []
        for index, row in enumerate(weight):
            values = np.array(points[start + index])
            for known in layers:
                pre = values @ known.weight.T + known.bias
                values = asymptotes.activation.values(pre)
            biases.append(asymptotes.meeting - float(np.median(values @ row)))
        layers.append(Layer(weight, np.array(biases)))
        below, start = own, start + len(own)
    return layers


def _with_outputs(
    ask: Ask, layers: list[Layer], read: Network, asymptotes: Asymptotes, domain: Domain
) -> Network:
    """The hidden layers with the output weights that answers have, where questions come from."""
    points = domain.draw(ROWS * (len(layers[-1].bias) + 1))
    values = points
    for layer in layers:
        values = asymptotes.activation.values(values @ layer.weight.T + layer.bias)
    features = np.column_stack([values, np.ones(len(values))])
    weights = np.linalg.lstsq(features, ask(points), rcond=1e-12)[0].T
    pairs = [(layer.weight, layer.bias) for layer in layers] + [(weights[:, :-1], weights[:, -1])]
    return Network.from_arrays(pairs, asymptotes.activation)
