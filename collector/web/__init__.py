"""Answering HTTP safely, for every extension that does: limits, TLS, hosts, other sites' pages."""

from collector.web.listener import WebListener

__all__ = ["WebListener"]
