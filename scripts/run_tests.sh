#!/bin/sh
# Runs ctest of a preset and closes with one line of counts: "tests: N passed, N failed, N skipped" (GoogleTest cases,
# and one each for the script tests). Usage: scripts/run_tests.sh PRESET [ctest flags].
set -u
preset=$1
shift
log=build/$preset/test.log
ctest --preset "$preset" --verbose "$@" >"$log" 2>&1
code=$?
# What was left out, by name and reason, and on which instruction sets kernels ran.
sed -n -E 's/^[0-9]+: (\[  SKIPPED \] [A-Za-z][^ ]+).*/\1/p' "$log" | sort -u
grep -oE '(instruction sets (run|skipped).*|SKIPPED:.*)' "$log" | sort -u
if [ $code -ne 0 ]; then
  grep -E '^[0-9]+: (\[  FAILED  \]|.*Failure$|.*error:)|Failed|\*\*\*' "$log" | sort -u | head -50
  echo "the whole log is in $log"
fi
count() { grep -cE "^[0-9]+: \[ *$1 *\] [^ ]+ \([0-9]+ ms\)" "$log"; }
passed=$(count OK)
failed=$(count FAILED)
skipped=$(count SKIPPED)
# Programs that are not GoogleTest count as one test each.
scripts_passed=$(grep -cE '^ *[0-9]+/[0-9]+ Test +#[0-9]+: script_.*Passed' "$log")
scripts_failed=$(grep -cE '^ *[0-9]+/[0-9]+ Test +#[0-9]+: script_.*\*\*\*(Failed|Timeout)' "$log")
scripts_skipped=$(grep -cE '^ *[0-9]+/[0-9]+ Test +#[0-9]+: script_.*Skipped' "$log")
passed=$((passed + scripts_passed))
failed=$((failed + scripts_failed))
skipped=$((skipped + scripts_skipped))
# A program that crashed shows as a failed ctest entry without a GoogleTest line.
[ $code -eq 0 ] || [ $failed -gt 0 ] || failed=1
tail -n 30 "$log" | grep -E 'tests passed|Total Test time'
echo "tests: $passed passed, $failed failed, $skipped skipped" | tee "build/$preset/test-counts.txt"
exit $code
