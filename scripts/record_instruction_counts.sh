#!/bin/sh
# Renews tests/backend/cpu/instruction_counts.txt from the release build, after a change of kernels that is meant.
set -eu
cd "$(dirname "$0")/.."
cmake --preset release >/dev/null
cmake --build --preset release --target record_instruction_counts
git --no-pager diff --stat -- tests/backend/cpu/instruction_counts.txt
