#!/bin/sh
# Makes .venv with what the lock file names, hash by hash. Debian splits venv off its Python: it is installed where we may.
set -eu
lock=$1
cd "$(dirname "$0")/.."

python=${PYTHON:-}
for candidate in python3.11 python3 python3.12 python3.13; do
  [ -n "$python" ] && break
  if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then python=$candidate; fi
done
[ -n "$python" ] || { echo "Offhook needs Python 3.11 or newer; none was found on PATH. On Debian 12: apt-get install python3" >&2; exit 1; }

if ! "$python" -c 'import ensurepip' 2>/dev/null; then
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing python$version-venv (Debian keeps venv apart from Python) ..."
    apt-get update -qq >/dev/null || true  # the lists that are there may do
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o DPkg::Lock::Timeout=60 --no-install-recommends "python$version-venv" >/dev/null || {
      echo "It could not be installed; apt-get says why above. Mend that, or install python$version-venv yourself, and run this again." >&2
      exit 1
    }
  else
    echo "Python's venv module is missing. As root: apt-get install python$version-venv" >&2
    exit 1
  fi
fi

# One that was interrupted while it was made, or whose Python has left the machine, has no pip that works.
.venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv
echo "Installing what $lock names into .venv ..."
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$lock"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --no-index --editable .
