"""The report as one HTML page: no script, no request, readable offline, in the dark, on a telephone and on paper."""

from __future__ import annotations

from evalgate.gate.report.html.page import error_html, html

__all__ = ["error_html", "html"]
