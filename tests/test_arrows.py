"""Data flows down: no room imports one below it, and importing the package changes nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = "expand_and_cluster"
SOURCE = Path(__file__).parents[1] / "src" / PACKAGE

# Top to bottom. A room may import itself and what stands above it.
ROOMS = (
    "core",
    "queries",
    "fitting",
    "students",
    "clusters",
    "symmetries",
    "reconstruction",
    "verdict",
    "recovery",
    "summary",
    "pipeline",
    # What stands above this line recovers, and cannot see what it recovers.
    "datasets",
    "teachers",
    "scoring",
    "baselines",
    "experiments",
    "report",
    "cli",
    "__main__",
)
FIRST_BELOW_THE_LINE = ROOMS.index("datasets")
# A record and how it is written to files: one room in two modules.
SAME_ROOM = {
    "activation_choice": "recovery",
    "convolutions": "pipeline",
    "convolutions_asked": "pipeline",
    "convolutions_given": "pipeline",
    "convolutions_verdict": "pipeline",
    "depth": "pipeline",
    "depth_given": "pipeline",
    "one_layer": "pipeline",
    "one_layer_given": "pipeline",
    "preparation": "pipeline",
    "recovery_files": "recovery",
    "summary": "pipeline",
    "unknown_activation": "pipeline",
}

# A name put together while the program runs cannot be checked by reading. Above the line, only
# these modules may import by one, to ask for an optional package.
COMPUTED = "a computed name"
MAY_COMPUTE_NAMES = {f"{PACKAGE}.core.extras"}


def imports(source: str, module: str, is_package: bool = False) -> set[str]:
    """Absolute names of everything a module imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                parents = parents[: len(parents) - node.level + is_package]
                base = ".".join([*parents, *([node.module] if node.module else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            name = node.args[0] if node.args else None
            value = name.value if isinstance(name, ast.Constant) else None
            found.add(value if isinstance(value, str) else COMPUTED)
    return found


def _called(node: ast.Call) -> str:
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def room_of(module: str) -> str:
    """Room of an absolute name; empty for the package itself."""
    room = module.split(".")[1] if "." in module else ""
    return SAME_ROOM.get(room, room)


def complaints(source: str, module: str, is_package: bool = False) -> list[str]:
    """What is wrong with the imports of one module, in sentences."""
    if module == PACKAGE:  # the public names come from every room
        return []
    room = room_of(module)
    if room not in ROOMS:
        return [f"{module}: room '{room}' has no place in ROOMS"]
    above = ROOMS.index(room) < FIRST_BELOW_THE_LINE
    wrong = []
    for name in sorted(imports(source, module, is_package)):
        if name == COMPUTED and above and module not in MAY_COMPUTE_NAMES:
            wrong.append(f"{module} imports by {COMPUTED}")
        if name.partition(".")[0] != PACKAGE:
            continue
        target = room_of(name)
        if target not in ROOMS:
            if room not in ("cli", "__main__"):  # elsewhere it would hide which room is meant
                wrong.append(f"{module} imports {name}: import from a room")
        elif ROOMS.index(target) > ROOMS.index(room):
            wrong.append(f"{module} imports {name}: {target} is below {room}")
    return wrong


def module_name(path: Path) -> tuple[str, bool]:
    parts = [PACKAGE, *path.relative_to(SOURCE).with_suffix("").parts]
    is_package = parts[-1] == "__init__"
    return ".".join(parts[:-1] if is_package else parts), is_package


def test_no_arrow_runs_back():
    paths = sorted(SOURCE.rglob("*.py"))
    assert SOURCE / "core" / "network.py" in paths
    wrong = []
    for path in paths:
        module, is_package = module_name(path)
        wrong += complaints(path.read_text(encoding="utf-8"), module, is_package)
    assert not wrong, "\n".join(wrong)


ALLOWED = [
    ("fitting.adam", "from expand_and_cluster.core.network import Network"),
    ("fitting.adam", "from expand_and_cluster.fitting.result import Fit"),
    ("fitting.adam", "from expand_and_cluster.queries import pairs\nimport jax.numpy as jnp"),
    ("fitting.adam", "from .result import Fit"),
    ("fitting.adam", "from importlib import import_module\nimport_module('torch')"),
    ("recovery", "from expand_and_cluster.recovery_files import save_recovery"),
    ("pipeline", "from expand_and_cluster.verdict.judge import judge"),
    ("teachers.trained", "from expand_and_cluster.datasets.load import load"),
    ("cli", "import expand_and_cluster as eac\nfrom expand_and_cluster import __version__"),
    ("core.files", "import expand_and_cluster_helpers"),
    ("core.extras", "importlib.import_module(package)"),
    ("cli.oracles", "importlib.import_module(package)"),
]


@pytest.mark.parametrize(("module", "source"), ALLOWED)
def test_arrows_that_run_down_pass(module: str, source: str):
    assert complaints(source, f"{PACKAGE}.{module}") == []


REFUSED = [
    ("fitting.adam", "from expand_and_cluster.clusters.tree import cut"),
    ("fitting.adam", "import expand_and_cluster.clusters.tree as tree"),
    ("fitting.adam", "from expand_and_cluster import clusters"),
    ("fitting.adam", "from ..clusters.tree import cut"),
    ("fitting.adam", "from .. import clusters"),
    ("fitting.adam", "def f():\n    from expand_and_cluster.clusters import tree"),
    ("fitting.adam", "if TYPE_CHECKING:\n    from expand_and_cluster.clusters import tree"),
    ("fitting.adam", "try:\n    import expand_and_cluster.clusters\nexcept ImportError:\n    pass"),
    ("fitting.adam", "importlib.import_module('expand_and_cluster.clusters.tree')"),
    ("fitting.adam", "__import__('expand_and_cluster.clusters')"),
    ("fitting.adam", "importlib.import_module(package)"),
    ("fitting.adam", "import_module(name=package)"),
    ("fitting.adam", "import expand_and_cluster"),
    ("fitting.adam", "from expand_and_cluster import Network"),
    ("fitting.adam", "from expand_and_cluster import *"),
    ("core.network", "from expand_and_cluster.queries.pairs import QueryPairs"),
    ("verdict.judge", "from expand_and_cluster.recovery import Verdict"),
    ("verdict.judge", "from expand_and_cluster.recovery_files import save_recovery"),
    ("recovery_files", "from expand_and_cluster.pipeline import recover"),
    ("report.page", "from expand_and_cluster.cli import main"),
    ("attic.old", "import numpy"),
]


@pytest.mark.parametrize(("module", "source"), REFUSED)
def test_arrows_that_run_back_are_found(module: str, source: str):
    assert len(complaints(source, f"{PACKAGE}.{module}")) == 1


@pytest.mark.parametrize("above", ROOMS[:FIRST_BELOW_THE_LINE])
@pytest.mark.parametrize("below", ROOMS[FIRST_BELOW_THE_LINE:])
def test_what_recovers_cannot_see_what_it_recovers(above: str, below: str):
    assert complaints(f"from {PACKAGE}.{below} import x", f"{PACKAGE}.{above}.module")


def test_relative_imports_of_a_package_start_at_itself():
    assert imports("from . import tree", "a.clusters", is_package=True) == {"a.clusters.tree"}
    assert imports("from ..core import files", "a.clusters", is_package=True) == {"a.core.files"}


# What other packages do on import is theirs: they are imported before the first look.
LOOK = """
import importlib, logging, os, random, sys, warnings

def look():
    import jax
    from jax import config
    plots = sys.modules.get("matplotlib")
    return {
        "environment": dict(os.environ),
        "warning filters": list(warnings.filters),
        "log handlers": list(logging.getLogger().handlers),
        "log level": logging.getLogger().level,
        "double precision": config.jax_enable_x64,
        "platforms": config.jax_platforms,
        "plot settings": plots and dict(plots.rcParams),
        "pyplot": "matplotlib.pyplot" in sys.modules,
        "random state": random.getstate(),
        "recursion limit": sys.getrecursionlimit(),
        "except hook": sys.excepthook,
    }

for name in sys.argv[1:]:
    importlib.import_module(name)
before = look()
import expand_and_cluster
after = look()
changed = [name for name in before if before[name] != after[name]]
assert not changed, changed
assert not after["double precision"] and not after["log handlers"] and not after["pyplot"]
"""

OTHERS = f"""
import sys
before = set(sys.modules)
import {PACKAGE}
names = set(sys.modules) - before
print(*sorted(n for n in names if not n.startswith(("{PACKAGE}", "_")) and "._" not in n))
"""


def run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_sets_nothing_global():
    others = [name for name in run(OTHERS).split() if not name.startswith("jax_plugins")]
    run(LOOK, *others)
