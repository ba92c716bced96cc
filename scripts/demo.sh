#!/bin/sh
# Answers with the model that ships with sluice: from the command line, then over HTTP.
set -eu
program=build/release/bin/sluice
"$program" inspect sprout
"$program" plan sprout --context 1024
"$program" run sprout "What is a sluice?" --max-tokens 48 --seed 1
"$program" run sprout "What is 347 + 285?" --seed 1

log=$(mktemp)
"$program" serve sprout --port 0 >"$log" 2>/dev/null &
server=$!
trap 'kill $server 2>/dev/null || true; rm -f "$log"' EXIT
tries=0
until grep -q ready "$log"; do
  tries=$((tries + 1))
  if [ $tries -gt 100 ] || ! kill -0 $server; then
    echo "the server did not start" >&2
    exit 1
  fi
  sleep 0.1
done
cat "$log"
address=$(grep -oE 'http://[^ ]+' "$log")
question='{"model":"sprout","messages":[{"role":"user","content":"Hello!"}],"seed":1}'
curl --silent --show-error --fail "$address/v1/chat/completions" --header 'content-type: application/json' --data "$question"
echo
