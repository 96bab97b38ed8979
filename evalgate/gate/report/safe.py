"""Text that is not ours, made fit for each thing that reads it. Content is data everywhere: it is cut, and defused.

terminal, log     `line`      one line, control and bidirectional characters as their codes, no workflow command
GitHub            `data`, `prop`   as above, with % : , escaped as a runner reads them
Markdown          `prose`     every mark as a character reference; no link, no mention, no issue number
                  `fenced`    a block of code that its content cannot close
XML               `xml`       without what XML 1.0 forbids, escaped
"""

from __future__ import annotations

import re
from typing import Final

from evalgate.terminal import clean, one_line

LINE_CHARS: Final = 400
"""Of content that stands on one line of a report."""
BLOCK_CHARS: Final = 4000
"""Of content that stands in a block of its own."""
MARKUP: Final = frozenset("\\`*_{}[]()+!|@~#")
NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What may not stand in XML 1.0, section 2.2."""
LINKS: Final = re.compile(r"(?i)\b(https?|ftp|mailto|www)([:.])")
"""What GitHub makes a link of without any mark."""


def cut(text: str, limit: int) -> str:
    """Return the text, or its beginning and how much is left out; content can be of any length."""
    if len(text) <= limit:
        return text
    return f"{text[:limit].rstrip()}… ({len(text) - limit:,} more characters)".replace(",", " ")


def line(text: str, limit: int = LINE_CHARS) -> str:
    """Return content on one line that neither a terminal nor a CI runner takes for a command."""
    whole = one_line(text[: 4 * limit], limit + 1)
    said = whole if len(whole) <= limit else whole[:limit].rstrip() + "…"
    return said.replace("##[", "## [").replace("::", ": :")


def block(text: str, limit: int = BLOCK_CHARS) -> str:
    """Return content on its own lines, cut, with what could act shown as its code."""
    return clean(cut(text, limit).replace("\r\n", "\n"))


def data(text: str, limit: int = LINE_CHARS) -> str:
    """Return content as the message of a workflow command.

    Source: https://docs.github.com/actions/reference/workflow-commands-for-github-actions
    """
    return line(text, limit).replace("%", "%25")


def prop(text: str, limit: int = LINE_CHARS) -> str:
    """Return content as a property of a workflow command."""
    return data(text, limit).replace(":", "%3A").replace(",", "%2C")


def prose(text: str, limit: int = LINE_CHARS) -> str:
    """Return content that Markdown, HTML and GitHub leave alone."""
    said = line(text, limit).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return LINKS.sub(_unlink, "".join(f"&#{ord(c)};" if c in MARKUP else c for c in said))


def code(text: str, limit: int = LINE_CHARS) -> str:
    """Return content as a span of code that fits a cell of a table."""
    return "`" + (line(text, limit).replace("`", "'").replace("|", "\\|") or " ") + "`"


def fenced(text: str, limit: int = BLOCK_CHARS) -> str:
    """Return content as a block of code; its fence is longer than any run of backticks in it."""
    said = block(text, limit)
    longest = max((len(run) for run in re.findall("`+", said)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{said}\n{fence}"


def xml(text: str, limit: int = BLOCK_CHARS) -> str:
    """Return content for an attribute or the text of an element."""
    said = NOT_XML.sub("\N{REPLACEMENT CHARACTER}", block(text, limit))
    for mark, reference in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        said = said.replace(mark, reference)
    return said.replace("\n", "&#10;").replace("\t", "&#9;")


def xml_body(text: str, limit: int = BLOCK_CHARS) -> str:
    """Return content for the text of an element, its lines kept as lines."""
    return xml(text, limit).replace("&#10;", "\n").replace("&#9;", "\t")


def _unlink(match: re.Match[str]) -> str:
    return match[1] + f"&#{ord(match[2])};"
