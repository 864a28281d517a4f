"""The folder of one run: what was asked for, and whether it is done."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from expand_and_cluster.core.checkpoint import write_atomically
from expand_and_cluster.core.errors import FileFormatError, InvalidInputError
from expand_and_cluster.core.strict_json import dumps, loads, plain
from expand_and_cluster.recovery_files import RECORD_FILE, versions

# More time does not change what is computed, so an unfinished run may go on with another budget;
# where it does, with many given pairs, the checkpoint refuses.
_FREE_WHILE_UNFINISHED = ("time_budget",)


class RunFolder:
    """A folder that belongs to one command with one set of arguments.

    Args:
        path: The folder; created by `start`.
        command: Name of the command.
        arguments: Everything that decides the result. Values are compared as JSON.

    Raises:
        InvalidInputError: The folder belongs to a run with other settings, or to something else.
        FileFormatError: Its settings cannot be read.
    """

    def __init__(self, path: Path, command: str, arguments: Mapping[str, Any]) -> None:
        self.path = path
        self.command = command
        self.arguments = plain(arguments)
        self.fresh = not (path / "settings.json").exists()
        if self.fresh:
            self._refuse_foreign()
        else:
            self._refuse_other_settings()

    @property
    def finished(self) -> bool:
        """Whether the recovery was saved to its end."""
        return (self.path / RECORD_FILE).exists()

    @property
    def checkpoint(self) -> Path:
        """Where the library keeps what is needed to resume."""
        return self.path / "checkpoint"

    @property
    def metrics(self) -> Path:
        """Progress over time, one JSON object a line."""
        return self.path / "metrics.jsonl"

    def start(self) -> None:
        """Write `settings.json`, unless the run is being resumed."""
        if not self.fresh:
            return
        settings = {
            "command": self.command,
            "arguments": self.arguments,
            "seed": self.arguments.get("seed"),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
        }
        write_atomically(self.path / "settings.json", dumps(settings, indent=2).encode())

    def discard(self) -> None:
        """Remove what `start` made, after the arguments were refused before any work.

        Where questions were answered by then, all stays: the same command need not ask them again.
        """
        if not self.fresh or any(self.checkpoint.glob("queries/*")):
            return
        claim = self.checkpoint / "request.safetensors"
        for path in (self.path / "settings.json", self.metrics, claim):
            path.unlink(missing_ok=True)
        for folder in (self.checkpoint, self.path):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def _refuse_foreign(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise InvalidInputError(f"--folder {self.path} is a file; give a folder.")
        # A process killed while writing its first file leaves a hidden temporary one.
        if self.path.is_dir() and any(not p.name.startswith(".") for p in self.path.iterdir()):
            raise InvalidInputError(
                f"--folder {self.path} holds other files and no run; give a new or empty folder."
            )

    def _refuse_other_settings(self) -> None:
        path = self.path / "settings.json"
        try:
            stored = loads(path.read_bytes())
            before = {"command": stored["command"], **stored["arguments"]}
        except (ValueError, KeyError, TypeError) as error:
            raise FileFormatError(
                f"{path} is damaged ({error}); remove {self.path} to start again."
            ) from error
        now = {"command": self.command, **self.arguments}
        for name in [*now, *(name for name in before if name not in now)]:
            free = name in _FREE_WHILE_UNFINISHED and not self.finished
            if before.get(name) != now.get(name) and not free:
                raise InvalidInputError(
                    f"{self.path} holds a run with {_say(name, before)}, but now it is "
                    f"{_say(name, now)}; give another --folder, or the same settings."
                )


def _say(name: str, settings: Mapping[str, Any]) -> str:
    value = settings.get(name)
    return f"{name.replace('_', ' ')} {'not set' if value is None else value}"
