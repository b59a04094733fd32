"""Model folders by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from vidamodal.errors import InputError
from vidamodal.hub import DownloadError, bundled_models, fetch, find_model, first_line, is_offline, offline


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
    with pytest.raises(
        InputError, match=r"nothing' is neither a folder nor bundled .* it is not in the cache"
    ) as raised:
        find_model("nobody/nothing")
    assert "\n" not in str(raised.value)


def test_the_first_line_of_an_error_is_never_empty() -> None:
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(ValueError("  ")) == "ValueError"


@dataclass
class FakeHub:
    """A Hub with one repository of two files, of which the cache may hold some."""

    folder: Path
    cached: set[str] = field(default_factory=set)
    licence: str | None = "apache-2.0"
    local_only: list[bool] = field(default_factory=list)

    def snapshot_download(
        self, name: str, allow_patterns: list[str], dry_run: bool = False, local_files_only: bool = False
    ) -> object:
        sizes = {"config.json": 1500, "model.safetensors": 155_900_000}
        missing = [file for file in allow_patterns if file not in self.cached]
        if dry_run:
            return [SimpleNamespace(filename=f, file_size=sizes[f], will_download=f in missing) for f in allow_patterns]
        self.local_only.append(local_files_only)
        if local_files_only and missing:
            raise OSError("not in the cache\nat all")
        self.cached |= set(allow_patterns)
        return str(self.folder)

    def model_info(self, name: str) -> object:
        return SimpleNamespace(card_data=None if self.licence is None else {"license": self.licence})


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.snapshot_download", fake.snapshot_download)
    monkeypatch.setattr("huggingface_hub.model_info", fake.model_info)
    return fake


def test_size_and_licence_are_printed_before_a_download(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    files = ("config.json", "model.safetensors")
    assert fetch("owner/name", files) == hub.folder
    note = "note: downloading owner/name from the Hugging Face Hub: 155.9 MB, licence: apache-2.0\n"
    assert capsys.readouterr().err == note
    assert find_model("owner/name", files) == hub.folder and not capsys.readouterr().err  # all of it is cached
    hub.cached, hub.licence = {"model.safetensors"}, None
    fetch("owner/name", files)
    assert capsys.readouterr().err.endswith("1.5 kB, licence: not stated\n")


def test_nothing_is_downloaded_offline(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    with offline():
        assert is_offline()
        with offline(False):
            assert is_offline()
        with pytest.raises(DownloadError, match="it is not in the cache, and downloads are forbidden by offline="):
            fetch("owner/name", ("config.json",))
        hub.cached = {"config.json"}
        assert fetch("owner/name", ("config.json",)) == hub.folder
    assert hub.local_only == [True, True] and not is_offline() and not capsys.readouterr().err


def test_a_failed_download_is_reported_in_one_line(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> object:
        raise OSError("gated\nand more")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(InputError, match=r"downloading it from the Hub failed: gated. `hf download o/n") as raised:
        find_model("o/n")
    assert "\n" not in str(raised.value)
