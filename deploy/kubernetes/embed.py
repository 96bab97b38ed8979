#!/usr/bin/env python3
"""Put deploy/gateway.yaml and deploy/sidecar.yaml into the ConfigMaps of the manifests beside this file."""

import re
from pathlib import Path

HERE = Path(__file__).parent
BLOCK = re.compile(r"(?<=  collector\.yaml: \|\n)(?:    .*\n|\n)*(?=---\n)")


def embedded(manifest: str, config: str) -> str:
    """Return the manifest with the config in it."""
    lines = "".join(f"    {line}\n" if line else "\n" for line in config.splitlines())
    text, n = BLOCK.subn(lambda _: lines, manifest)
    if n != 1:
        raise SystemExit("the manifest has no one ConfigMap with a collector.yaml in it")
    return text


def main() -> None:
    """Write both."""
    for name in ("gateway", "sidecar"):
        manifest = HERE / f"{name}.yaml"
        manifest.write_text(embedded(manifest.read_text("utf-8"), (HERE.parent / f"{name}.yaml").read_text("utf-8")))


if __name__ == "__main__":
    main()
