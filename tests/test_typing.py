"""The types are part of the interface: a caller who forgets `Denied` does not get past mypy."""

import re
from pathlib import Path

from mypy import api

CONFIGURATION = Path(__file__).parent.parent / "pyproject.toml"
CALLERS = Path(__file__).parent / "snippets" / "callers.txt"


def test_a_caller_who_forgets_an_outcome_fails_under_strict(tmp_path: Path) -> None:
    """And one who thinks of all of them does not: no line is refused but those that are marked."""
    source = CALLERS.read_text(encoding="utf-8")
    callers = tmp_path / "callers.py"
    callers.write_text(source, encoding="utf-8")
    marked = {
        (number, code)
        for number, line in enumerate(source.splitlines(), start=1)
        for code in re.findall(r"# E: ([a-z-]+)$", line)
    }

    said, trouble, _ = api.run(["--config-file", str(CONFIGURATION), "--no-pretty", str(callers)])

    refused = re.findall(r"callers\.py:(\d+): error: .*\[([a-z-]+)\]$", said, re.MULTILINE)
    assert {(int(number), code) for number, code in refused} == marked, said + trouble
    assert len(marked) >= 8
