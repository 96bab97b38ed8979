"""A statement that came as a form, as clients send one whose parameters are too long for an address.

    --BOUNDARY CRLF
    Content-Disposition: form-data; name="query" CRLF
    CRLF
    SELECT … CRLF
    --BOUNDARY CRLF  …  name="param_ids"  …
    --BOUNDARY-- CRLF

Source: RFC 7578, RFC 2046 section 5.1. A part with a file name is external data, which is not spoken here.
"""

from __future__ import annotations

import re
from typing import Final

from schema.errors import Reason, Refused

BOUNDARY: Final = re.compile(
    r"""multipart/form-data\s*;(?:.*;)?\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))""", re.IGNORECASE
)
NAME: Final = re.compile(r';\s*name="([^"]{1,200})"', re.IGNORECASE)
FILE: Final = re.compile(r";\s*filename\*?=", re.IGNORECASE)
MAX_PARTS: Final = 1000
CRLF: Final = b"\r\n"


def is_form(content_type: str) -> bool:
    """Tell whether a body is a form of parts."""
    return content_type.strip().lower().startswith("multipart/")


def form_fields(body: bytes, content_type: str) -> dict[str, str]:
    """Return the query and the parameters of a form.

    Raises:
        Refused: UNSUPPORTED_MEDIA_TYPE for external data, BAD_DATA for what is no such form.

    """
    match = BOUNDARY.match(content_type.strip())
    if match is None:
        raise Refused(Reason.UNSUPPORTED_MEDIA_TYPE, "send a form as multipart/form-data with a boundary")
    delimiter = CRLF + b"--" + (match[1] or match[2]).encode("latin-1")
    preamble, *parts = (CRLF + body).split(delimiter, MAX_PARTS + 1)
    if preamble or not parts or len(parts) > MAX_PARTS or not parts[-1].startswith(b"--"):
        raise Refused(Reason.BAD_DATA, f"the body is no form: at most {MAX_PARTS} parts, and its last boundary")
    found: dict[str, str] = {}
    for part in parts[:-1]:
        name, value = _field(part)
        if name in found:
            raise Refused(Reason.BAD_DATA, f"the form has the field {name[:40]!r} twice")
        found[name] = value
    return found


def _field(part: bytes) -> tuple[str, str]:
    head, blank, content = part.partition(CRLF + CRLF)
    said = head.decode("latin-1")
    if FILE.search(said):
        raise Refused(Reason.UNSUPPORTED_MEDIA_TYPE, "external data (files in a form) are not taken here")
    name = NAME.search(said)
    if not blank or name is None:
        raise Refused(Reason.BAD_DATA, "a part of the form has no name")
    if name[1] != "query" and not name[1].startswith("param_"):
        raise Refused(Reason.BAD_DATA, f"a form holds query and param_…, not {name[1][:40]!r}")
    try:
        return name[1], content.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(Reason.BAD_DATA, f"the field {name[1][:40]!r} is not UTF-8") from None
