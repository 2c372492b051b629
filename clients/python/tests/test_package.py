"""The installed wheel."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

import pytest

import sluice_client


@pytest.fixture
def distribution() -> metadata.Distribution:
    if not os.environ.get("PYTHON_CLIENT_INSTALLED"):
        pytest.skip("PYTHON_CLIENT_INSTALLED is not set: the tests run from the sources")
    return metadata.distribution("sluice-client")


def test_the_tests_use_the_installed_wheel(distribution: metadata.Distribution) -> None:
    assert Path(sluice_client.__file__).parent == distribution.locate_file("sluice_client")
    assert "site-packages" in sluice_client.__file__


def test_the_wheel_has_types_license_and_readme(distribution: metadata.Distribution) -> None:
    names = {file.name for file in distribution.files or ()}
    assert {"py.typed", "LICENSE", "METADATA"} <= names
    assert distribution.metadata["License-Expression"] == "Apache-2.0"
    assert "read_polars" in (distribution.read_text("METADATA") or "")
    assert not [file for file in distribution.files or () if "tests" in file.parts]


def test_everything_public_has_a_docstring() -> None:
    for name in sluice_client.__all__:
        public = getattr(sluice_client, name)
        if isinstance(public, type):
            assert public.__doc__, name
