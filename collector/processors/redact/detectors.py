"""What a secret looks like: one pattern for each kind, tied to the place where the kernel (or a search) begins to look.

    kernel ─▶ candidates: detector, where it may begin ─▶ the detector's pattern there ─▶ its check ─▶ what is masked

A pattern says exactly what is masked: one of its groups. Patterns read bytes; what they mask is ASCII. Each is
linear in what it reads, or bounded: a sender chooses the text. `MIN_RUN` characters above "*" in a row (RUN) are part
of everything but e-mail addresses, payment cards and URLs; the kernel rests on that.

Sources: the providers' own descriptions of their keys; ISO/IEC 7812-1 for payment cards (issuer numbers, Luhn);
RFC 6750, RFC 7617, RFC 7468, RFC 7519, RFC 3986.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MIN_RUN: Final = 19
"""Bytes of RUN that every prefixed or assigned secret has in a row."""
DIGITS: Final = frozenset(b"0123456789")
UPPER_OR_DIGIT: Final = re.compile(rb"[A-Z0-9]")


class Anchor(IntEnum):
    """Where the kernel finds a candidate; the number is its own."""

    PREFIX = 0
    """A word begins with a prefix that is the detector's."""
    SCHEME = 1
    """`Bearer ` or `Basic ` before a run."""
    NAME = 2
    """A name that tells of a secret, then `:` or `=`, then a run."""
    PEM = 3
    """The five dashes behind `KEY` or `BLOCK`, soon before a run."""
    URL = 4
    """The "://" of a URL with "@" in its authority."""
    CARD = 5
    """Digits with spaces and dashes, 13 or more."""
    EMAIL = 6
    """An "@"."""


@dataclass(frozen=True, slots=True)
class Detector:
    """One kind of secret."""

    name: str
    """As in the configuration, the mask and the counts."""
    anchor: Anchor
    pattern: re.Pattern[bytes]
    prefixes: tuple[bytes, ...] = ()
    """What candidates of Anchor.PREFIX begin with; the pattern does so, too."""
    check: Callable[[bytes], bool] = lambda _: True
    """Tell of the masked bytes whether they are what they look like."""
    whole_run: bool = False
    """Of a run of letters, digits, "_" and "-", the first prefix decides: a later one finds no more than it."""
    default: bool = True
    group: int = 0
    """Of the pattern: what is masked."""
    finder: re.Pattern[bytes] | None = None
    """Finds candidates where the kernel is not used; other anchors are found by their name."""


def luhn(text: bytes) -> bool:
    """Tell whether the digits of a text are a card's number: known issuer, length and check digit."""
    number = [b - 48 for b in text if b in DIGITS]
    if not _issued(number):
        return False
    odd, even = number[-1::-2], number[-2::-2]
    return (sum(odd) + sum(2 * d - 9 * (d > 4) for d in even)) % 10 == 0


def _issued(number: list[int]) -> bool:
    """Tell whether an issuer has numbers like this, by its first four digits and its length. Source: ISO/IEC 7812-1."""
    n, first = len(number), int("".join(map(str, number[:4])))
    if 4000 <= first < 5000:
        return n in (13, 16, 19)
    if 5100 <= first < 5600 or 2221 <= first <= 2720:
        return n == 16
    if 3400 <= first < 3500 or 3700 <= first < 3800:
        return n == 15
    if 3000 <= first < 3060 or 3600 <= first < 3700 or 3800 <= first < 4000:
        return n == 14
    return (first == 6011 or 3528 <= first < 3590 or 6200 <= first < 6300 or 6440 <= first < 6600) and 16 <= n <= 19


def _mixed(text: bytes) -> bool:
    """Tell whether there is a digit or a capital: words joined with dashes, such as names of CSS classes, have none."""
    return UPPER_OR_DIGIT.search(text) is not None


def _prefixed(name: str, *prefixes: bytes, rest: bytes, whole_run: bool = False, mixed: bool = False) -> Detector:
    starts = b"|".join(re.escape(p) for p in prefixes)
    pattern = re.compile(b"(?:" + starts + b")" + rest)
    check = _mixed if mixed else lambda _: True
    return Detector(name, Anchor.PREFIX, pattern, prefixes, check, whole_run)


WORD: Final = rb"[A-Za-z0-9_-]"
TOKEN: Final = rb"(?:[A-Za-z0-9._~+/=-]|\\++(?:/|u00(?:2[bBfF]|3[dD])))"
"""Of a value; "/", "+" and "=" also as JSON may escape them."""
SLASH: Final = rb"\\{0,7}/"
SPACES: Final = rb"[ \t]{0,4}"
QUOTES: Final = rb"(?:\\{0,7}[\"']|(?:\\{0,3}[\"']){2})?"
"""With the backslashes that belong to them: one that does not belongs to an escape, which a mask must not cut."""
BEHIND_ESCAPE: Final = rb"(?:(?<=\\)(?:[nrtbf]|u[0-9A-Fa-f]{4}))?+" + b"".join(
    rb"(?<!" + inside + rb")" for inside in (rb"\\", *(rb"\\u" + rb"[0-9A-Fa-f]" * n for n in range(4)))
)
"""Steps over an escape of JSON, and begins within none."""
ESCAPED_SPACE: Final = rb"\\{1,7}[nrt]"
NAMES: Final = (
    rb"secret|passwd|password|pwd|passphrase|token|api[_-]?key|access[_-]?key|account[_-]?key|secret[_-]?key|private[_-]?key"
    rb"|credential|credentials"
)

DETECTORS: Final = (
    _prefixed("anthropic", b"sk-ant-", rest=WORD + rb"{12,}+", whole_run=True),
    _prefixed("openai", b"sk-", rest=rb"(?!ant-)" + WORD + rb"{16,}+", whole_run=True, mixed=True),
    _prefixed("google", b"AIza", rest=WORD + rb"{35}"),
    _prefixed("google", b"GOCSPX-", rest=WORD + rb"{20,}+", whole_run=True),
    _prefixed("google", b"ya29.", rest=WORD + rb"{20,}+"),
    _prefixed("aws", b"AKIA", b"ASIA", rest=rb"[A-Z0-9]{16}(?![A-Za-z0-9])"),
    _prefixed("github", b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", rest=rb"[A-Za-z0-9]{20,}+"),
    _prefixed("github", b"github_pat_", rest=rb"[A-Za-z0-9_]{20,255}+"),
    _prefixed("gitlab", b"glpat-", rest=WORD + rb"{16,}+", whole_run=True),
    _prefixed("slack", b"xoxa-", b"xoxb-", b"xoxe-", b"xoxo-", b"xoxp-", b"xoxr-", b"xoxs-", b"xapp-",
              b"xoxc-", b"xoxd-", rest=rb"[A-Za-z0-9-]{14,255}+", mixed=True),
    _prefixed("slack", b"hooks.slack.com", rest=SLASH + rb"services" + SLASH + rb"(?:[A-Za-z0-9/]|\\++/){8,}+"),
    _prefixed("stripe", b"sk_live_", b"sk_test_", b"rk_live_", b"rk_test_", b"whsec_", rest=rb"[A-Za-z0-9]{16,}+"),
    _prefixed("huggingface", b"hf_", rest=rb"[A-Za-z0-9]{30,}+"),
    _prefixed("groq", b"gsk_", rest=rb"[A-Za-z0-9]{30,}+"),
    _prefixed("xai", b"xai-", rest=rb"[A-Za-z0-9]{40,}+"),
    _prefixed("perplexity", b"pplx-", rest=rb"[A-Za-z0-9]{30,}+"),
    _prefixed("replicate", b"r8_", rest=rb"[A-Za-z0-9]{30,}+"),
    _prefixed("langsmith", b"lsv2_pt_", b"lsv2_sk_", b"ls__", rest=rb"[A-Za-z0-9_]{20,255}+"),
    _prefixed("npm", b"npm_", rest=rb"[A-Za-z0-9]{36,}+"),
    _prefixed("pypi", b"pypi-AgE", rest=WORD + rb"{40,}+", whole_run=True),
    _prefixed("sendgrid", b"SG.", rest=WORD + rb"{16,64}+\." + WORD + rb"{16,64}+"),
    _prefixed("vault", b"hvs.", b"hvb.", rest=WORD + rb"{20,}+"),
    _prefixed("evalgate", b"eg_", rest=rb"[A-Za-z0-9-]{4,64}+_" + WORD + rb"{20,128}+"),
    _prefixed("jwt", b"eyJ", rest=WORD + rb"{10,}+\." + WORD + rb"{5,}+(?:\." + WORD + rb"*+){1,3}+",
              whole_run=True),
    Detector(
        "authorization",
        Anchor.SCHEME,
        re.compile(rb"(?i:bearer|basic)[ \t]{1,4}(" + TOKEN + rb"{20,}+)"),
        check=_mixed,
        group=1,
    ),
    Detector(
        "assigned",
        Anchor.NAME,
        re.compile(
            rb"[A-Za-z0-9_-]{0,40}?(?i:" + NAMES + rb")"
            + QUOTES + SPACES + rb"[:=]" + SPACES + rb"(?:" + ESCAPED_SPACE + rb"|" + QUOTES + rb")"
            + rb"(" + TOKEN + rb"{20,}+)"
        ),
        check=_mixed,
        group=1,
        finder=re.compile(rb"(?i:" + NAMES + rb")(?=[\"'\\ \t:=])"),
    ),
    Detector(
        "private_key",
        Anchor.PEM,
        re.compile(
            rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            rb"(?:(?!-----)[^\"]){0,120}?(?:(?<=[\r\n])|(?<=\\[nr])|(?<=\\u000[aAdD])|(?<=----- )|(?<=-----))"
            rb"(?:[A-Za-z0-9+/]|\\++/){20}"
            rb"(?:(?!-----)(?:[A-Za-z0-9+/=\s.:,-]|\\++(?:[nrt/]|u00[0-9A-Fa-f]{2})))*+"
            rb"(?:-----END [A-Z0-9 ]{0,40}-----)?"
        ),
    ),
    Detector(
        "url_password",
        Anchor.URL,
        re.compile(rb"(?<=[A-Za-z0-9+.-]):(?:\\{0,7}/){2}[^\x00-\x20\"'<>/@:\\]{0,128}:([^\x00-\x20\"'<>/@\\]{1,128})@"),
        group=1,
    ),
    Detector(
        "card",
        Anchor.CARD,
        re.compile(
            rb"(?:(?<![0-9A-Za-z_.])|(?<=\\[nrt])|(?<=\\u000[aAdD]))"
            rb"(?:[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,7}|3[0-9]{3}([ -])[0-9]{6}\2[0-9]{4,5}|[0-9]{13,19})"
            rb"(?![0-9A-Za-z_]|\.[0-9])"
        ),
        check=luhn,
    ),
    Detector(
        "email",
        Anchor.EMAIL,
        re.compile(
            BEHIND_ESCAPE + rb"([A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}+(?:\.[A-Za-z0-9-]{1,63}+){1,5})"
        ),
        group=1,
        default=False,
    ),
)  # fmt: skip
"""Every detector; several may share a name."""

SCHEMES: Final = re.compile(rb"(?i:bearer|basic)(?=[ \t])")
"""Finds candidates of Anchor.SCHEME."""
SCHEME_ENDS: Final = re.compile(rb":(?=(?:\\{0,7}/){2})")
"""Finds candidates of Anchor.URL."""
CARD_DIGITS: Final = re.compile(rb"[0-9][0-9 -]{12,}+")
"""Finds candidates of Anchor.CARD."""

NAMES_OF_DETECTORS: Final = tuple(dict.fromkeys(d.name for d in DETECTORS))

BOUNDARY: Final = re.compile(rb"(?:(?<![A-Za-z0-9\\])|(?<=\\)(?![nrtbfu])|(?<=\\[nrtbf])|(?<=\\u[0-9A-Fa-f]{4}))")
"""Where a word may begin: not within another nor within an escape of JSON, but right behind one."""
