"""What no page of ours has, whatever it shows: looked for in the markup, as a parser of HTML reads it."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

TAGS: Final = frozenset(
    {
        *("html", "head", "meta", "title", "link", "script", "body", "header", "main", "nav", "section", "footer"),
        *("aside", "article", "div", "span", "p", "a", "ul", "ol", "li", "dl", "dt", "dd", "h1", "h2", "h3", "h4"),
        *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "col", "colgroup", "figure", "figcaption"),
        *("form", "fieldset", "legend", "label", "input", "textarea", "select", "option", "optgroup", "button"),
        *("details", "summary", "dialog", "template", "code", "pre", "kbd", "strong", "em", "b", "i", "small", "sup"),
        *("q", "blockquote", "mark", "time", "abbr", "del", "ins", "hr", "br", "datalist", "output", "progress"),
        *("svg", "g", "rect", "path", "line", "polyline", "polygon", "circle", "text", "tspan", "title", "desc"),
        *("samp", "var", "wbr", "meter", "data", "noscript"),
    }
)
"""Elements that our templates use; those that load, run or embed something are not among them."""
ADDRESSES: Final = frozenset({"href", "src", "action", "formaction", "xlink:href", "data", "poster", "srcset", "ping"})
RUNNING: Final = ("hx-on", "hx-vals", "hx-vars", "hx-ext")
"""Attributes of htmx that run scripts, or may."""
OWN: Final = ("/", "#", "?")
"""How an address on this site begins; "//" does not count."""


class Inert(HTMLParser):
    """Collects what should not be there."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Judge one element."""
        given = {name: value or "" for name, value in attrs}
        if tag not in TAGS:
            self.wrong.append(f"<{tag}>")
        if tag == "script" and not given.get("src", "").startswith("/static/"):
            self.wrong.append("<script> of the page itself")
        if tag == "meta" and "http-equiv" in given:
            self.wrong.append("<meta http-equiv>")
        if tag == "link" and not given.get("href", "").startswith("/static/"):
            self.wrong.append("<link> to elsewhere")
        for name, value in given.items():
            if wrong := _attribute(name, value, given):
                self.wrong.append(f"<{tag} {wrong}>")


def _attribute(name: str, value: str, given: Mapping[str, str]) -> str:
    """Return what is wrong with an attribute, "" where nothing is."""
    plain = name.removeprefix("data-")
    if name.startswith("on") or name in ("style", "srcdoc") or plain.startswith(RUNNING):
        return name
    if plain.startswith("hx-") and ("[" in value or "js:" in value):
        return f"{name}={value[:40]}"
    is_request = plain in ("hx-get", "hx-post", "hx-put", "hx-delete", "hx-patch")
    if (name in ADDRESSES or is_request) and not _is_own(value):
        parts = urlsplit(value)
        is_link = name == "href" and parts.scheme in ("http", "https") and "noopener" in given.get("rel", "")
        return "" if is_link and not is_request else f"{name}={value[:40]}"
    return ""


def _is_own(address: str) -> bool:
    return address == "" or (address.startswith(OWN) and not address.startswith(("//", "/\\")))


def wrong_in(html: str) -> list[str]:
    """Return what a page has that it should not have."""
    found = Inert()
    found.feed(html)
    found.close()
    return found.wrong
