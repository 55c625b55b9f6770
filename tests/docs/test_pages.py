"""Every Python example in the documentation runs and gives the output shown.

Blocks marked `python` are executed, and blocks marked `pycon` are checked against their output. The
blocks of one page share a namespace, as if a reader typed them in.
"""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(python|pycon)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if BLOCK.search(page.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_of_the_page_run_as_shown(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": "__main__"}
    for block in BLOCK.finditer(text):
        kind, code = block.groups()
        before = text.count("\n", 0, block.start(2))
        if kind == "python":
            # Leading newlines make tracebacks show the line number in the page.
            exec(compile("\n" * before + code, page, "exec"), names)
        else:
            check(code, names, page, before)


def test_the_pages_that_teach_have_examples() -> None:
    assert {"README.md", "tutorial.md", "DETERMINISM.md"} <= {page.name for page in PAGES}


def check(code: str, names: dict[str, object], page: Path, line: int) -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(verbose=False, optionflags=flags)
    test = doctest.DocTest(
        doctest.DocTestParser().get_examples(code), names, page.name, str(page), line, code
    )
    report: list[str] = []
    runner.run(test, out=report.append, clear_globs=False)
    names.update(test.globs)
    assert not runner.failures, "".join(report)
