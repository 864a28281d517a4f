"""Which questions a `recover` command means: pairs that exist, or a model and where to ask it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from expand_and_cluster.cli.execution import Question
from expand_and_cluster.cli.inputs import read_array, read_pairs
from expand_and_cluster.cli.oracles import MODELS, open_model, size_of


@dataclass(frozen=True)
class Asked:
    """The arguments of the command that speak of questions, as given."""

    source: Path | None
    inputs: Path | None
    outputs: Path | None
    output_columns: int | None
    gaussian: bool
    scale: float | None
    uniform: tuple[float, float] | None
    input_size: int | None
    max_queries: int | None

    @property
    def active(self) -> bool:
        """Whether there is a model to ask."""
        return self.source is not None and self.source.suffix.lower() in MODELS

    @property
    def name(self) -> str:
        """A short name for the default folder."""
        return (self.source or self.inputs or Path("run")).stem

    def check_usage(self) -> None:
        """Refuse arguments that contradict each other.

        Raises:
            typer.BadParameter: They do; the sentence says which.
        """
        if self.source is None and self.inputs is None and self.outputs is None:
            raise typer.BadParameter("give a file with pairs or a model, or --inputs and --outputs")
        if self.source is not None and self.outputs is not None:
            raise typer.BadParameter(f"--outputs holds answers, and so does {self.source.name}")
        ways = {
            "--inputs": self.inputs is not None,
            "--gaussian": self.gaussian or self.scale is not None,
            "--uniform": self.uniform is not None,
        }
        given = [name for name, used in ways.items() if used]
        if self.active:
            if len(given) > 1:
                raise typer.BadParameter(f"{' and '.join(given)} exclude each other")
            return
        if self.source is not None and self.inputs is not None:
            raise typer.BadParameter(f"--inputs is for asking a model, not with {self.source.name}")
        for name, used in (
            ("--gaussian", ways["--gaussian"]),
            ("--uniform", ways["--uniform"]),
            ("--input-size", self.input_size is not None),
            ("--max-queries", self.max_queries is not None),
        ):
            if used:
                raise typer.BadParameter(f"{name} is for asking a model; here the pairs are given")

    def settings(self) -> dict[str, Any]:
        """What decides the result, besides the files' contents."""
        return {
            "output_columns": self.output_columns,
            "scale": self.scale,
            "uniform": self.uniform,
            "input_size": self.input_size,
            "max_queries": self.max_queries,
        }

    def prepare(self, options: dict[str, Any]) -> Question:
        """Read the files.

        Args:
            options: Keywords of `recover` that do not concern questions.
        """
        if self.source is None or not self.active:
            pairs = read_pairs(self.source, self.inputs, self.outputs, self.output_columns)
            return Question(pairs, options)
        from expand_and_cluster.queries.samplers import Gaussian, Pool, Uniform

        model = open_model(self.source, options["activation"])
        if self.inputs is not None:
            sampler = Pool(read_array(self.inputs))
        elif self.uniform is not None:
            sampler = Uniform(size_of(model, self.input_size, self.source), *self.uniform)
        else:
            sampler = Gaussian(size_of(model, self.input_size, self.source), self.scale)
        extra = {} if self.max_queries is None else {"max_queries": self.max_queries}
        return Question(model.function, {**options, **extra, "inputs": sampler})
