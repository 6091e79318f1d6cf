"""Which folder the registry lives in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tireg.errors import ConfigError
from tireg.store.home import check_writable, registry_home


def test_variable_is_used_and_nothing_is_created(home: Path) -> None:
    assert registry_home() == home
    assert not home.exists()


def test_tilde_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TIREG_HOME", "~/words")
    assert registry_home() == tmp_path / "words"


@pytest.mark.parametrize("value", ["", "   "])
def test_empty_variable_means_the_platform_folder(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("TIREG_HOME", value)
    assert registry_home().name == "tireg"
    assert registry_home().is_absolute()


def test_a_file_is_no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("TIREG_HOME", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="not a folder") as caught:
        registry_home()
    assert caught.value.exit_code == 2
    assert "TIREG_HOME" in caught.value.hint
    monkeypatch.setenv("TIREG_HOME", str(tmp_path / "file" / "below"))
    with pytest.raises(ConfigError, match="not a folder"):
        registry_home()


def test_unknown_user_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIREG_HOME", "~nobody-of-that-name/x")
    with pytest.raises(ConfigError):
        registry_home()


def test_check_writable(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "home")
    assert list((tmp_path / "new" / "home").iterdir()) == []
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="registry folder"):
        check_writable(tmp_path / "file")
