"""Model folders by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidamodal.errors import InputError
from vidamodal.hub import bundled_models, find_model, first_line


def test_models_are_found_by_folder_and_by_bundled_name(tmp_path: Path) -> None:
    assert find_model(str(tmp_path)) == tmp_path
    assert all((find_model(name) / "config.json").is_file() for name in bundled_models())


@pytest.mark.parametrize("name", ["", "nosuch", "./owner/name", "/owner/name", "a/b/c"])
def test_names_that_cannot_be_on_the_hub_are_refused_with_the_bundled_names(name: str) -> None:
    with pytest.raises(InputError, match="Pass a folder, a bundled name") as raised:
        find_model(name)
    assert all(bundled in str(raised.value) for bundled in bundled_models())


def test_a_model_that_cannot_be_downloaded_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="downloading it from the Hub failed") as raised:
        find_model("nobody/nothing")
    assert "\n" not in str(raised.value)


def test_the_first_line_of_an_error_is_never_empty() -> None:
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(ValueError("  ")) == "ValueError"
