#!/bin/sh
# Puts the Python clients of tests/clients into build/clients (a virtual environment; only tests use it).
# Does nothing where they are already, and says so where they cannot be had: the tests are then skipped by name.
set -eu
cd "$(dirname "$0")/.."
folder=build/clients
[ ! -f "$folder/complete" ] || exit 0
if python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --requirement tests/clients/requirements.txt; then
  touch "$folder/complete"
else
  rm -rf "$folder"
  echo "SKIPPED: the Python clients could not be installed; their tests will be skipped" >&2
fi
