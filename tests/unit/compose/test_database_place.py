"""Where the database's URL comes from, and that a home's bundles stay with their database."""

from __future__ import annotations

import pytest

from inferry.compose.database import keep_together
from inferry.compose.database_url import find_database
from inferry.compose.settings import Layout
from inferry.errors import Conflict, InvalidInput

URL = "postgresql://u:secret@db/d"


def test_the_flag_comes_before_the_environment() -> None:
    assert find_database("", {}) == ""
    assert find_database("", {"INFERRY_DATABASE_URL": f" {URL}\n"}) == URL
    assert find_database("postgresql://u@db/e", {"INFERRY_DATABASE_URL": URL}) == "postgresql://u@db/e"


def test_a_file_may_hold_the_url(tmp_path) -> None:
    path = tmp_path / "url"
    path.write_text(URL + "\n")
    assert find_database("", {"INFERRY_DATABASE_URL_FILE": str(path)}) == URL
    path.write_text("\n")
    with pytest.raises(InvalidInput, match="empty"):
        find_database("", {"INFERRY_DATABASE_URL_FILE": str(path)})
    with pytest.raises(InvalidInput, match="No such file"):
        find_database("", {"INFERRY_DATABASE_URL_FILE": str(tmp_path / "none")})
    with pytest.raises(InvalidInput, match="Both"):
        find_database("", {"INFERRY_DATABASE_URL_FILE": str(path), "INFERRY_DATABASE_URL": URL})


def test_a_password_on_the_command_line_is_refused() -> None:
    with pytest.raises(InvalidInput, match="command line can be read") as caught:
        find_database(URL, {})
    assert "secret" not in caught.value.sentence()


def test_a_home_stays_with_its_database(tmp_path) -> None:
    layout = Layout(tmp_path, tmp_path)
    keep_together(layout, URL)
    keep_together(layout, URL.replace("secret", "another"))  # a password may change
    assert "secret" not in layout.database_name.read_text()
    for other in ("", "postgresql://u:secret@db/e"):
        with pytest.raises(Conflict, match="The bundles in"):
            keep_together(layout, other)
    layout.database_name.unlink()
    keep_together(layout, "postgresql://u:secret@db/e")


def test_a_home_from_before_is_sqlites(tmp_path) -> None:
    layout = Layout(tmp_path, tmp_path)
    layout.database.touch()
    with pytest.raises(Conflict, match="the SQLite database there"):
        keep_together(layout, URL)
    keep_together(layout, "")
