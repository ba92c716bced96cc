#!/bin/sh
# Makes the demo model from nothing: corpora, tokenizer, three stages of training, scores
# (docs/sprout.md). What is there already is kept and a stopped training goes on, so the script can
# be stopped and run again; begin anew by removing build/sprout.
set -eu
cd "$(dirname "$0")/.."
program=${SLUICE:-build/release/bin/sluice}
work=build/sprout
if [ ! -f "$work/corpus/held_out.jsonl" ]; then
  "$program" corpus "$work/corpus" --seed 1 --samples 110000 --held-out 100 --overwrite
fi
if [ ! -f "$work/copying/held_out.jsonl" ]; then
  "$program" corpus "$work/copying" --seed 2 --samples 8000 --held-out 0 --kinds echo --overwrite
fi
if [ ! -f "$work/letters/held_out.jsonl" ]; then
  "$program" corpus "$work/letters" --seed 3 --samples 36000 --held-out 0 --kinds letters --overwrite
fi
if [ ! -f "$work/tokenizer/tokenizer_config.json" ]; then
  "$program" train-tokenizer "$work/tokenizer" --corpus "$work/corpus/train.jsonl" \
    --template models/sprout/chat_template.jinja --overwrite
fi

# train RECIPE FOLDER [--until STEP]: a stage that was stopped goes on, one that is done is left as it is.
train() {
  recipe=$1
  resume=
  if [ -f "$2/training/state.safetensors" ]; then resume=--resume; fi
  shift 2
  "$program" train "$recipe" $resume "$@"
}
train models/sprout/recipe_copying.json "$work/copying_model"
# The rest of its schedule was given to the last stage.
train models/sprout/recipe_main.json "$work/main_model" --until 4100
train models/sprout/recipe_finishing.json "$work/model"
for file in config.json generation_config.json model.safetensors tokenizer.json tokenizer_config.json; do
  cp "$work/model/$file" "models/sprout/$file"
done
mkdir -p docs/sprout
for stage in copying_model main_model model; do
  cp "$work/$stage/training/log.jsonl" "docs/sprout/$stage.jsonl"
  cp "$work/$stage/training/loss.svg" "docs/sprout/$stage.svg"
done
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
