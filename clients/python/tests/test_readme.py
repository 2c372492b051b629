"""The examples of the README run as they are written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from gateway import Gateway

README = Path(__file__).parents[1] / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_readme_has_examples() -> None:
    assert len(EXAMPLES) == 4


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example(
    example: str, gateway: Gateway, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {"url": gateway.url, "token": token})
    assert not list(tmp_path.glob("*.part*"))
