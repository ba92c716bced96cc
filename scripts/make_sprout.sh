#!/bin/sh
# Makes the demo model from nothing: corpus, tokenizer, training, scores
# (docs/sprout.md). What is there already is kept and a stopped training goes on, so the script can be
# stopped and run again; begin anew by removing build/sprout.
set -eu
cd "$(dirname "$0")/.."
program=${SLUICE:-build/release/bin/sluice}
work=build/sprout
if [ ! -f "$work/corpus/held_out.jsonl" ]; then
  "$program" corpus "$work/corpus" --seed 1 --samples 95000 --held-out 100 --overwrite
fi
if [ ! -f "$work/tokenizer/tokenizer_config.json" ]; then
  "$program" train-tokenizer "$work/tokenizer" --corpus "$work/corpus/train.jsonl" \
    --template models/sprout/chat_template.jinja --overwrite
fi
resume=""
[ ! -f "$work/model/training/state.safetensors" ] || resume="--resume"
# shellcheck disable=SC2086 # an empty flag must vanish
"$program" train models/sprout/recipe.json $resume
for file in config.json generation_config.json model.safetensors tokenizer.json tokenizer_config.json; do
  cp "$work/model/$file" "models/sprout/$file"
done
mkdir -p docs/sprout
cp "$work/model/training/log.jsonl" "$work/model/training/loss.svg" docs/sprout/
"$program" eval models/sprout --suite "$work/corpus/held_out.jsonl" --max-items 50 \
  --answers "$work/answers.jsonl" > "$work/scores.txt"
# The table of docs/sprout.md between its two marks.
awk -v scores="$work/scores.txt" '
  /<!-- scores -->/ { print; print "```"; while ((getline line < scores) > 0) print line; print "```"; inside = 1 }
  /<!-- end of scores -->/ { inside = 0 }
  !inside && !/<!-- scores -->/ { print }
' docs/sprout.md > "$work/sprout.md"
cp "$work/sprout.md" docs/sprout.md
cat "$work/scores.txt"
