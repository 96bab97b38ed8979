"""How values read on a page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from evalgate.web.application import templates
from evalgate.web.assets import Assets
from evalgate.web.filters import ago_at, byte_count, day, duration, iso, moment, money, number

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2 import Environment

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("filtered", "value", "text"),
    [
        (number, 1234567, "1\u202f234\u202f567"),
        (number, None, "–"),
        (money, 0, "$0"),
        (money, 12.3, "$12.30"),
        (money, 0.0042, "$0.0042"),
        (money, 0.00001, "<$0.0001"),
        (duration, 0.4, "0.4 ms"),
        (duration, 999.6, "1.0 s"),
        (duration, 59_960, "1 min 0 s"),
        (duration, 3_600_000, "1 h 0 min"),
        (byte_count, 999, "999 B"),
        (byte_count, 1000, "1.0 kB"),
        (byte_count, 20_000_000, "20 MB"),
        (day, 1_763_726_400_000_000_000, "2025-11-21"),
        (moment, NOW, "2026-11-21 12:00:00"),
        (iso, NOW, "2026-11-21T12:00:00.000Z"),
        (day, None, "–"),
    ],
)
def test_figures(filtered: Callable[[Any], str], value: object, text: str) -> None:
    assert filtered(value) == text


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (timedelta(seconds=2), "now"),
        (timedelta(seconds=-20), "now"),
        (timedelta(seconds=42), "42 s ago"),
        (timedelta(minutes=59, seconds=59), "59 min ago"),
        (timedelta(hours=47), "47 h ago"),
        (timedelta(days=3), "3 days ago"),
        (timedelta(days=90), "2026-08-23"),
        (timedelta(days=-1), "2026-11-22"),
    ],
)
def test_how_long_ago(passed: timedelta, text: str) -> None:
    assert ago_at(NOW, NOW - passed) == text


@pytest.fixture(scope="module")
def environment() -> Environment:
    return templates(Assets(), lambda: NOW)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("a\u202eb\x1b[31m\x00", "a\\u202eb\\x1b[31m\\x00"),
        ("{{ 7 * 7 }} {% raw %}", "{{ 7 * 7 }} {% raw %}"),
        (None, ""),
        (0, "0"),
    ],
)
def test_a_text_is_shown_as_text_whether_or_not_a_template_asks(
    environment: Environment, said: object, shown: str
) -> None:
    assert environment.from_string("<p>{{ said }}</p>").render(said=said) == f"<p>{shown}</p>"
    assert environment.from_string('<p title="{{ said }}">').render(said='" onload="x') == (
        '<p title="&#34; onload=&#34;x">'
    )


def test_every_template_can_be_read(environment: Environment) -> None:
    names = environment.list_templates()
    assert "base.html" in names
    for name in names:
        environment.get_template(name)


def test_no_template_has_script_or_style_of_its_own(environment: Environment) -> None:
    for name in environment.list_templates():
        assert environment.loader is not None
        text = environment.loader.get_source(environment, name)[0].lower()
        for word in (
            " style=",
            "<style",
            " onclick=",
            " onload=",
            "javascript:",
            "hx-on",
            "hx-vals='js",
            'hx-vals="js',
        ):
            assert word not in text, f"{name}: {word} is against the policy of the pages"
        assert "<script>" not in text, name
        assert "autoescape false" not in text, name
