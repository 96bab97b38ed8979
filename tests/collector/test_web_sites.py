"""Pages of other sites reach nothing that listens on this machine, but by a link that a person follows."""

from __future__ import annotations

import pytest

from collector.web.sites import foreign, forged

HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
OURS = "127.0.0.1:4319"
LINK = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"])
@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),  # no browser
        ({"sec-fetch-site": "same-origin", "origin": f"http://{OURS}"}, True),
        ({"sec-fetch-site": "none"}, True),  # a person typed it
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "cross-site", **LINK}, False),
        ({"sec-fetch-site": "same-site", "origin": "http://127.0.0.1:8000"}, False),  # another port is another program
        ({"origin": "http://evil.example"}, False),  # a browser without Sec-Fetch-Site: no TLS, not loopback
        ({"origin": "null"}, False),  # a sandboxed frame
        ({"origin": "http://127.0.0.1:8000"}, False),
        ({"origin": f"https://{OURS}"}, True),  # a proxy ended TLS
        ({"sec-fetch-site": "same-origin, cross-site"}, False),  # twice
    ],
)
def test_what_changes_something_comes_from_our_own_pages(method: str, headers: dict[str, str], passes: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert (forged(method, {"host": OURS, **headers}) is None) == passes


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}, True),
        ({"sec-fetch-site": "cross-site", **LINK}, True),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, False),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}, False),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}, False),
    ],
)
def test_another_site_may_link_here_and_no_more(headers: dict[str, str], passes: bool) -> None:  # noqa: FBT001 - as above
    assert (forged("GET", {"host": OURS, **headers}) is None) == passes


@pytest.mark.parametrize(
    "host", ["", "evil.example", "127.0.0.1.evil.example", "evil.example:4319", "[::1", "127.0.0.2"]
)
def test_another_name_of_this_address_is_no_name_of_ours(host: str) -> None:
    assert foreign({"host": host}, HOSTS) is not None


@pytest.mark.parametrize("host", [OURS, "localhost:4319", "[::1]:4319", "LOCALHOST"])
def test_our_own_names_are(host: str) -> None:
    assert foreign({"host": host}, HOSTS) is None
