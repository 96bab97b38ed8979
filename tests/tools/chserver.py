#!/usr/bin/env python3
"""Run a real ClickHouse server (HTTP and native TCP) from libchdb.so, for tests. Loopback only.

    chserver.py --lib libchdb.so --path DIR --http-port 18123 --tcp-port 19000 [--config node.xml]

The library (see fetch_chserver.py) exports the main function of clickhouse-local, which since 26.6 knows SYSTEM START
LISTEN. Not there: Keeper, so neither ON CLUSTER nor Replicated tables; CREATE USER. Ends on SIGTERM, after --seconds,
or with its parent.
"""

from __future__ import annotations

import argparse
import ctypes
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


def main() -> int:
    """Serve until told otherwise."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--lib", type=Path, required=True)
    parser.add_argument("--path", type=Path, required=True)
    parser.add_argument("--http-port", type=int, default=18123)
    parser.add_argument("--tcp-port", type=int, default=19000)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--seconds", type=int, default=14_400, help="longer than the longest soak of the fault tests")
    options = parser.parse_args()
    options.path.mkdir(parents=True, exist_ok=True)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    return _serve(_arguments(options), options.lib)


def _arguments(options: argparse.Namespace) -> list[str]:
    query = (
        "SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP; "
        f"SELECT sleepEachRow(1) FROM numbers({max(1, options.seconds)}) "
        "SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0 FORMAT Null"
    )
    config = [f"--config-file={options.config.resolve()}"] if options.config else []
    return [
        "clickhouse",
        *config,
        f"--path={options.path.resolve()}",
        "--listen_host=127.0.0.1",
        f"--http_port={options.http_port}",
        f"--tcp_port={options.tcp_port}",
        f"--query={query}",
    ]


def _serve(arguments: list[str], library: Path) -> int:
    lib = ctypes.CDLL(str(library.resolve()))
    lib.chdb_query_cmdline.restype = ctypes.c_void_p
    lib.chdb_query_cmdline.argtypes = [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)]
    lib.chdb_result_error.restype = ctypes.c_char_p
    lib.chdb_result_error.argtypes = [ctypes.c_void_p]
    argv = (ctypes.c_char_p * len(arguments))(*[a.encode() for a in arguments])
    error = lib.chdb_result_error(lib.chdb_query_cmdline(len(arguments), argv))
    if error:
        sys.stderr.write(error.decode(errors="replace") + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
