"""How near the students of every activation came to the answers."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from expand_and_cluster.activation_choice import ActivationChoice
from expand_and_cluster.report import style


def draw_activation_ranking(choice: ActivationChoice) -> Figure:
    """Error of the best students of every candidate, on a log axis, the chosen one in colour.

    Args:
        choice: How the activation was named.
    """
    ranking = choice.ranking
    errors = np.array([each.error for each in ranking])
    floor = style.log_floor(errors)
    top = style.log_ceiling(errors, floor=floor)
    left = 0.3 * floor
    # A candidate that was not tried has no bar.
    shown = np.where(np.isfinite(errors), style.on_log_axis(errors, floor), left)
    figure = style.new_figure(8.0, 1.9 + 0.28 * len(ranking))
    axes = figure.add_subplot()
    places = np.arange(len(ranking))
    chosen = style.BLUE if choice.decided else style.ORANGE
    colours = [chosen if each.name == choice.chosen else style.PALE for each in ranking]
    axes.barh(places, shown, height=0.7, color=colours)
    for place, each in zip(places, ranking, strict=True):
        text = f"width {each.width}" if each.width else "not tried"
        axes.text(float(shown[place]), float(place), f" {text}", va="center", ha="left",
                  fontsize=7.5, color=style.MUTED)  # fmt: skip
    style.dress(axes, x="error of the best students on held-out pairs / outputs' spread", grid="x")
    axes.set_xscale("log")
    axes.set_xlim(left, top * 30.0)
    axes.set_yticks(places, [each.name for each in ranking])
    axes.invert_yaxis()
    name = "named" if choice.decided else "nearest, not confirmed"
    style.legend_below(figure, [Patch(facecolor=chosen, label=name)])
    style.headline(figure, str(choice)[0].upper() + str(choice)[1:])
    return figure
