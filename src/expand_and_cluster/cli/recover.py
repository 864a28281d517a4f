"""`expand-and-cluster recover`: from pairs or a model file to a network."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from expand_and_cluster.cli.guard import Debug, guarded

_QUESTIONS = "What to ask, or what was asked"
_METHOD = "Method (left out: the library decides)"


@guarded
def recover(
    activation: Annotated[
        str,
        typer.Option(
            help='Activation of the hidden neurons, by name; "auto" to find it; names with commas '
            "where each neuron has one of these."
        ),
    ],
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="TEACHER",
            help="Pairs (.npz with arrays inputs and outputs, .csv with --output-columns), or a "
            "model to ask (.onnx, .pt, .pt2, .safetensors).",
        ),
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option(
            help="Inputs (.npy, .npz, .csv): those asked, with --outputs; or a pool to draw from.",
            rich_help_panel=_QUESTIONS,
        ),
    ] = None,
    outputs: Annotated[
        Path | None,
        typer.Option(help="Answers to --inputs (.npy, .npz, .csv).", rich_help_panel=_QUESTIONS),
    ] = None,
    answers: Annotated[
        Literal["logits", "probabilities", "log_probabilities"],
        typer.Option(help="What the answers are.", rich_help_panel=_QUESTIONS),
    ] = "logits",
    noise: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation of noise in the answers, if known.",
            rich_help_panel=_QUESTIONS,
        ),
    ] = None,
    output_columns: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many last columns of a .csv are answers.", rich_help_panel=_QUESTIONS
        ),
    ] = None,
    gaussian: Annotated[
        bool,
        typer.Option(
            "--gaussian", help="Ask at Gaussian inputs (the default).", rich_help_panel=_QUESTIONS
        ),
    ] = False,
    scale: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation of Gaussian inputs; left out, it is found from answers.",
            rich_help_panel=_QUESTIONS,
        ),
    ] = None,
    uniform: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="Ask at uniform inputs.", rich_help_panel=_QUESTIONS),
    ] = None,
    input_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of inputs, if the model file does not say.",
            rich_help_panel=_QUESTIONS,
        ),
    ] = None,
    max_queries: Annotated[
        int | None,
        typer.Option(min=1, help="Most rows to ask; never exceeded.", rich_help_panel=_QUESTIONS),
    ] = None,
    students: Annotated[
        int | None, typer.Option(min=2, help="Number of students.", rich_help_panel=_METHOD)
    ] = None,
    hidden_layers: Annotated[
        int | None,
        typer.Option(min=1, help="Number of hidden layers; default 1.", rich_help_panel=_METHOD),
    ] = None,
    width: Annotated[
        int | None, typer.Option(min=1, help="Students' hidden width.", rich_help_panel=_METHOD)
    ] = None,
    min_cluster_fraction: Annotated[
        float | None,
        typer.Option(help="Share of students that must support a neuron.", rich_help_panel=_METHOD),
    ] = None,
    max_cluster_angle: Annotated[
        float | None,
        typer.Option(help="Widest median angle in a cluster, radians.", rich_help_panel=_METHOD),
    ] = None,
    fit: Annotated[
        Literal["levenberg_marquardt", "adam", "gradient_flow"] | None,
        typer.Option(help="How students are trained.", rich_help_panel=_METHOD),
    ] = None,
    time_budget: Annotated[
        float | None, typer.Option(help="Most seconds to take.", rich_help_panel=_METHOD)
    ] = None,
    seed: Annotated[int, typer.Option(help="Fixes everything random.")] = 0,
    teacher: Annotated[
        Path | None,
        typer.Option(help="The true network (.safetensors or run folder), to compare with."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Run folder; default runs/<name>-seed<seed>.")
    ] = None,
    debug: Debug = False,
) -> int:
    """Recover a network from its answers.

    Either from pairs that exist, or by asking a model file. The same command with the same folder
    resumes.

    Exit codes: 0 identified, 1 error, 2 usage, 3 finished but not identified, 130 stopped.
    """
    from expand_and_cluster.cli.execution import run
    from expand_and_cluster.cli.inputs import digest, read_network
    from expand_and_cluster.cli.questions import Asked
    from expand_and_cluster.core.activations import resolve
    from expand_and_cluster.queries.validation import AUTO

    asked = Asked(
        source, inputs, outputs, output_columns, gaussian, scale, uniform, input_size, max_queries
    )
    asked.check_usage()
    if activation != AUTO:
        resolve(activation)  # refuses an unknown name before anything is written
    files = {"source": source, "inputs": inputs, "outputs": outputs}
    chosen: dict[str, Any] = {
        "students": students,
        "hidden_layers": hidden_layers,
        "width": width,
        "min_cluster_fraction": min_cluster_fraction,
        "max_cluster_angle": max_cluster_angle,
        "fit": fit,
        "outputs": None if answers == "logits" else answers,
        "noise": noise,
        "time_budget": time_budget,
    }
    options = {name: value for name, value in chosen.items() if value is not None}
    options |= {"activation": activation, "seed": seed}
    return run(
        folder or Path("runs") / f"{asked.name}-seed{seed}",
        "recover",
        {
            "seed": seed,
            "activation": activation,
            **{f"{name} content": path and digest(path) for name, path in files.items()},
            **asked.settings(),
            **{("answers" if k == "outputs" else k): v for k, v in chosen.items()},
        },
        lambda: asked.prepare(options),
        teacher and read_network(teacher, activation),
    )
