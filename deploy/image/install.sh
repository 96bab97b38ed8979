#!/bin/sh
# Install the collector into a folder that is then never written again: what the Dockerfile runs, and a test too.
#
#   install.sh TARGET        TARGET/bin/evalgate-collector is what to start; TARGET must not exist
#
# Needs Python 3.11 or newer with venv (PYTHON=... names another), and the package index that pip is configured for.
# Everything is installed from hashes. What is only needed to build stays outside of TARGET and is removed.
#
# TARGET is for the place it was made at, for the Python it was made with, and, as to its kernels, for processors that
# are at least NUMBA_CPU_NAME (default x86-64-v3, on x86-64; elsewhere the one it was made on).
set -eu

target=$1
python=${PYTHON:-python3}
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
# Files get one time of whole seconds: image layers keep no parts of a second, and what numba and Python keep of a file
# holds for its time.
epoch=${SOURCE_DATE_EPOCH:-1577836800}

if [ -e "$target" ]; then
    echo "install.sh: $target exists; name a folder that does not" >&2
    exit 2
fi
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

say() { echo "install.sh: $1" >&2; }

say "tools to build with, in $build"
"$python" -m venv "$build/tools"
pip="$build/tools/bin/python -m pip --disable-pip-version-check --no-input --quiet"
$pip install --require-hashes -r "$here/build.lock"

say "the collector's dependencies, from hashes"
"$python" -m venv --without-pip "$target"
$pip --python "$target/bin/python" install --no-compile --only-binary :all: --require-hashes -r "$here/collector.lock"

say "the collector"
# A copy: building must not write beside the source.
mkdir "$build/source"
(cd "$source" && tar -cf - pyproject.toml README.md LICENSE collector exporters schema evalgate) | tar -xf - -C "$build/source"
find "$build/source" -name __pycache__ -prune -exec rm -rf {} +
$pip wheel --no-deps --no-build-isolation --wheel-dir "$build" "$build/source"
$pip --python "$target/bin/python" install --no-compile --no-deps "$build"/otel_evalgate-*.whl
cp "$here/healthcheck.py" "$target/bin/healthcheck"
chmod 755 "$target/bin/healthcheck"

say "without what the collector never loads"
packages=$("$target/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# scipy is for the statistics of `evalgate`, which is not for this image; nor are Arrow's servers, headers and tests.
rm -rf "$packages"/scipy "$packages"/scipy.libs "$target/bin/evalgate"
rm -rf "$packages"/pyarrow/include "$packages"/pyarrow/src "$packages"/pyarrow/includes "$packages"/numpy/_core/include
rm -f "$packages"/pyarrow/*flight* "$packages"/pyarrow/*.pyx "$packages"/pyarrow/*.pxd
for package in numba numpy pyarrow llvmlite; do
    find "$packages/$package" -type d -name tests -prune -exec rm -rf {} +
done
rm -f "$target/bin/activate"* "$target/bin/Activate.ps1"

say "bytecode and kernels, for good"
find "$target" -exec touch -h -d "@$epoch" {} +
"$target/bin/python" -m compileall -q -j 0 "$packages" || say "some files of dependencies are not for this Python"
NUMBA_CACHE_DIR="$target/kernels"
if [ "$(uname -m)" = x86_64 ]; then
    NUMBA_CPU_NAME=${NUMBA_CPU_NAME:-x86-64-v3}
    NUMBA_CPU_FEATURES=
    export NUMBA_CPU_NAME NUMBA_CPU_FEATURES
fi
export NUMBA_CACHE_DIR
"$target/bin/evalgate-collector" compile
# How to start it warm: the same words as in the Dockerfile, which cannot read them from here.
{
    echo "NUMBA_CACHE_DIR=$NUMBA_CACHE_DIR"
    if [ -n "${NUMBA_CPU_NAME:-}" ]; then
        echo "NUMBA_CPU_NAME=$NUMBA_CPU_NAME"
        echo "NUMBA_CPU_FEATURES="
    fi
} > "$target/environment"
chmod -R a+rX,go-w "$target"
say "done: $(du -sm "$target" | cut -f1) MB in $target"
