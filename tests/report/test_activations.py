"""The ranking of activations as a picture."""

import dataclasses

import pytest
from tests.report.fakes import fake_recovery

from expand_and_cluster.activation_choice import ActivationChoice, RankedActivation
from expand_and_cluster.report import draw_activation_ranking, style, write_pictures


def choice(*errors, decided=True):
    names = ("tanh", "gelu", "relu")[: len(errors)]
    ranking = tuple(
        RankedActivation(name, 0 if error == float("inf") else 8, error)
        for name, error in zip(names, errors, strict=True)
    )
    others = names[1] if len(names) > 1 else ""
    return ActivationChoice("tanh", decided, others, 1e12, ("sigmoid",), ranking)


def test_the_chosen_one_stands_out():
    figure = draw_activation_ranking(choice(1e-15, 1e-3, 2e-1))
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["tanh", "gelu", "relu"]
    colours = {patch.get_facecolor() for patch in axes.patches}
    assert len(colours) == 2
    title = "Activation tanh, or sigmoid; gelu errs 1.0e+12 times as much"
    assert figure.get_suptitle() == title


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize(
    "made",
    [choice(0.0), choice(1e-15, float("inf")), choice(0.1, 0.2, 0.3, decided=False)],
    ids=["one", "untried", "undecided"],
)
def test_all_rankings_can_be_drawn(made, tmp_path):
    assert style.save(draw_activation_ranking(made), tmp_path / "ranking.png").exists()


def test_a_run_that_named_its_activation_has_the_picture(tmp_path):
    recovery = dataclasses.replace(
        fake_recovery(), activations=choice(1e-15, 1e-3), expansion=None, clustering=None
    )
    written = write_pictures(tmp_path, recovery=recovery)
    assert [path.stem for path in written] == ["activations", "losses", "neurons"]
