#!/bin/sh
# Runs every libFuzzer target for an equal share of the given seconds, two at a time. Stops with an error at a crash.
# Usage: scripts/fuzz.sh SECONDS
set -eu
seconds=$1
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --parallel "$(nproc)" --target fuzzers
targets=$(cd build/fuzz/bin && ls -1 -- *_fuzz)
number=$(echo "$targets" | wc -l)
each=$((seconds * 2 / number / 2))
[ "$each" -ge 1 ] || each=1
echo "fuzzing $number targets, $each s each"
one() {
  target=$1
  corpus=build/fuzz/corpus/$target
  mkdir -p "$corpus" build/fuzz/artifacts
  seeds=tests/fuzz/seeds/${target%_fuzz}
  [ -d "$seeds" ] || seeds=""
  # shellcheck disable=SC2086 # an empty seed folder must vanish
  if ! "build/fuzz/bin/$target" -max_total_time="$each" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 \
      -artifact_prefix="build/fuzz/artifacts/$target-" "$corpus" $seeds >"build/fuzz/$target.log" 2>&1; then
    tail -n 40 "build/fuzz/$target.log"
    echo "fuzz: $target found something, see build/fuzz/artifacts"
    return 1
  fi
  echo "fuzz: $target $(grep -oE 'number_of_executed_units: [0-9]+' "build/fuzz/$target.log" | grep -oE '[0-9]+') inputs"
}
failed=0
set -- $targets
while [ $# -gt 0 ]; do
  one "$1" & first=$!
  second=""
  if [ $# -gt 1 ]; then one "$2" & second=$!; shift; fi
  shift
  wait "$first" || failed=1
  [ -z "$second" ] || wait "$second" || failed=1
done
exit $failed
