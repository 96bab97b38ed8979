"""What redaction should find, by the definition alone: every pattern tried at every byte of every text."""

from __future__ import annotations

import re

from collector.processors.redact.detectors import DETECTORS, Anchor, Detector

STARTS = re.compile(rb"(?:(?<![A-Za-z0-9\\])|(?<=\\)(?![nrtbfu])|(?<=\\[nrtbf])|(?<=\\u[0-9A-Fa-f]{4}))")


def secrets(text: bytes, detectors: tuple[Detector, ...] = DETECTORS) -> set[int]:
    """Return the places in the text that are part of a secret."""
    found: set[int] = set()
    for detector in detectors:
        for at in range(len(text)):
            if detector.anchor is Anchor.PREFIX and not STARTS.match(text, at):
                continue
            match = detector.pattern.match(text, at)
            if match and detector.check(match[detector.group]):
                found.update(range(*match.span(detector.group)))
    return found


SECRETS: tuple[tuple[str, str], ...] = (
    ("openai", "sk-proj-Zx81kd02LmQpRs7TuVwX"),
    ("openai", "sk-abcdefghijklmnopqrstuvwx1"),
    ("anthropic", "sk-ant-api03-a1b2c3d4e5f6g7h8"),
    ("google", "AIzaSyA1234567890abcdefghijklmnopqrstuv"),
    ("google", "ya29.a0AfH6SMBx1234567890abcdef"),
    ("aws", "AKIAIOSFODNN7EXAMPLE"),
    ("aws", "ASIAIOSFODNN7EXAMPLE"),
    ("github", "ghp_0123456789abcdefghijABCDEFGHIJ012345"),
    ("github", "github_pat_11ABCDEFG0123456789_abcdefghij"),
    ("gitlab", "glpat-0123456789abcdefghij"),
    ("slack", "xoxb-123456789012-abcdefGHIJKL"),
    ("slack", "hooks.slack.com/services/T000/B000/XXXXXXXXXXXX"),
    ("stripe", "sk_live_0123456789abcdefABCD"),
    ("stripe", "whsec_0123456789abcdefABCDEFGH"),
    ("huggingface", "hf_0123456789abcdefghijABCDEFGHIJ"),
    ("groq", "gsk_0123456789abcdefghijABCDEFGHIJ0123"),
    ("langsmith", "lsv2_pt_0123456789abcdef_0123456789"),
    ("npm", "npm_0123456789abcdefghijABCDEFGHIJ012345"),
    ("sendgrid", "SG.0123456789abcdefghijAB.0123456789abcdefghijABCDEFGHIJ"),
    ("vault", "hvs.0123456789abcdefghijABCD"),
    ("evalgate", "eg_a1b2c3d4_0123456789abcdefghijABCDEFGHIJ0123456789abc"),
    ("jwt", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N"),
    ("authorization", "0123456789abcdefABCDEF+/=="),
    ("assigned", "9f8e7d6c5b4a39281706"),
    (
        "private_key",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAu1SU1LfVLPHCozMxH2Mo\nab0=\n-----END RSA PRIVATE KEY-----",
    ),
    ("private_key", "-----BEGIN PRIVATE KEY-----\\nMIIEowIBAAKCAQEAu1SU1LfVLPHCozMxH2Mo\\n-----END PRIVATE KEY-----"),
    ("url_password", "hunter2-hunter2"),
    ("card", "4111 1111 1111 1111"),
    ("card", "378282246310005"),
    ("card", "5555-5555-5555-4444"),
    ("email", "someone@example.com"),
)  # fmt: skip
"""Of each kind some, as made up as those in the providers' documentation."""
AROUND = {
    "authorization": "Authorization: Bearer {}",
    "assigned": '"api_key": "{}"',
    "url_password": "postgresql://user:{}@db.example.com/x",
}
"""What a secret is only one within."""


def in_context(name: str, secret: str) -> str:
    """Return a secret with what makes it one."""
    return AROUND.get(name, "{}").format(secret)
