"""What the documents show runs, prints what they say, and names files that exist."""

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

# A block of code and, where one follows at once, the block that holds its output.
EXAMPLE = re.compile(
    r"^```python\n(?P<code>.*?)^```\n\s*(?:<!-- output -->\s*)?(?:^```text\n(?P<output>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
NUMBER = re.compile(r"[-+]?(?:\d[\d,]*\.?\d*(?:e[-+]?\d+)?|\binf\b|\bnan\b)")

# Fragments that only show attributes of a recovery at hand.
FRAGMENTS = {"how-it-decides.md"}
# Recoveries that take more than a few seconds.
SLOW = {"asking.md", "depth.md", "outputs.md"}


def examples(text: str) -> list[tuple[str, str | None]]:
    return [(match["code"], match["output"]) for match in EXAMPLE.finditer(text)]


def pages_with_examples() -> list:
    return [
        pytest.param(page, id=page.name, marks=[pytest.mark.slow] if page.name in SLOW else [])
        for page in PAGES
        if page.name not in FRAGMENTS and examples(page.read_text(encoding="utf-8"))
    ]


def without_numbers(text: str) -> list[str]:
    return [NUMBER.sub("#", line).rstrip() for line in text.strip().splitlines()]


@pytest.mark.parametrize("page", pages_with_examples())
def test_examples_run_and_print_what_the_page_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for code, output in examples(page.read_text(encoding="utf-8")):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, page.name, "exec"), names)
        if output is not None:  # the last digits of a number differ from machine to machine
            assert without_numbers(printed.getvalue()) == without_numbers(output)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    named = re.findall(r"`((?:[\w.-]+/)*[\w-]+\.py)`", page.read_text(encoding="utf-8"))
    places = (ROOT, ROOT / "src" / "expand_and_cluster")
    missing = [name for name in named if not any((place / name).is_file() for place in places)]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_documents_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


def test_the_pages_that_must_be_checked_are_found():
    assert {"README.md", "symmetries.md", "asking.md"} <= {
        param.id for param in pages_with_examples()
    }
    text = "```python\nprint(1)\n```\n\n<!-- output -->\n\n```text\n2\n```\n"
    assert examples(text) == [("print(1)\n", "2\n")]
    assert examples("```python\nx = 1\n```\n\nWords.\n\n```text\nno output\n```\n")[0][1] is None
    assert without_numbers("loss 3.1e-16 of 12,000") == without_numbers("loss 2e-15 of 1")
    assert without_numbers("identified") != without_numbers("not identified")
