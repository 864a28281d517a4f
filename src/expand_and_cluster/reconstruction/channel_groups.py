"""Kinks of one channel together: how they are grouped, what is tried, the kernel's sign."""

from collections.abc import Iterator, Sequence

import numpy as np

from expand_and_cluster.reconstruction.below import Below
from expand_and_cluster.reconstruction.kernel_equations import Kernel
from expand_and_cluster.reconstruction.sightings import Sighting

# Distance of unit vectors of two kinks that bend the outputs alike.
ALIKE = 1e-5
# Parts of a group that are tried where the whole has no solution.
TRIES = 8
# Choices of kinks of several units.
TRIES_ACROSS = 64


def groups_alike(sightings: Sequence[Sighting]) -> list[list[Sighting]]:
    """Kinks that bend the outputs in the same proportion, largest group first."""
    if not sightings:
        return []
    units = np.array([one.jump / np.linalg.norm(one.jump) for one in sightings])
    left, groups = np.arange(len(units)), []
    while len(left):
        one = units[left[0]]
        off = np.minimum(
            np.linalg.norm(units[left] - one, axis=1),
            np.linalg.norm(units[left] + one, axis=1),
        )
        groups.append([sightings[k] for k in left[off < ALIKE]])
        left = left[off >= ALIKE]
    return sorted(groups, key=len, reverse=True)


def parts_of(
    group: list[Sighting], least: int, rng: np.random.Generator
) -> Iterator[list[Sighting]]:
    """A whole group, and some of its parts.

    Where a single neuron is active above, all units bend the outputs in one proportion.

    Args:
        group: Kinks that bend the outputs alike.
        least: Kinks without which there are fewer equations than unknowns.
        rng: Source of randomness.
    """
    yield group
    enough = least + (least > 1)
    if len(group) > enough:
        for _ in range(TRIES):
            yield [group[k] for k in rng.choice(len(group), enough, replace=False)]


def parts_across(
    bundles: Sequence[list[Sighting]], least: int, rng: np.random.Generator
) -> Iterator[list[Sighting]]:
    """Kinks of several units at a time: all units of a channel have the same kernel.

    A channel that is seldom on shows each of its units too seldom; what is left unexplained in the
    end belongs to few channels, so that a part chosen at random is soon of a single one.

    Args:
        bundles: Kinks that bend the outputs alike, and so belong together.
        least: Kinks without which there are fewer equations than unknowns.
        rng: Source of randomness.
    """
    for _ in range(TRIES_ACROSS):
        wanted, part = int(rng.integers(least + 1, 2 * least + 3)), []
        for number in rng.permutation(len(bundles)):
            part += bundles[number]
            if len(part) >= wanted:
                yield part
                break


def sign_of(kernel: Kernel, sightings: Sequence[Sighting], below: Below) -> float:
    """The sign with which every kink is one of the largest value of its pooling window.

    Args:
        kernel: Solves the equations of all sightings.
        sightings: At least one, all with equations.
        below: The layers below the kernel's.

    Returns:
        1 or -1.
    """
    layer = below.architecture.layers[below.depth]
    points = np.array([one.point for one in sightings])
    # Without a bias there are only kinks between two positions, and differences do not show it.
    values = below.windows(points, layer) @ kernel.weight + (kernel.bias or 0.0)
    votes = 0
    for one, grid in zip(sightings, values, strict=True):
        assert one.equations is not None
        places = one.equations.positions
        row, column = (at // layer.step * layer.step for at in places[0])
        others = [
            float(grid[i, j] - grid[places[0]])
            for i in range(row, row + layer.step)
            for j in range(column, column + layer.step)
            if (i, j) not in places
        ]
        votes += all(x <= 0 for x in others) - all(x >= 0 for x in others)
    return 1.0 if votes >= 0 else -1.0
