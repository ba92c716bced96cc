#!/bin/sh
# Makes the demo model from nothing: corpora, tokenizer, seven stages of training, scores
# (docs/sprout.md). What is there already is kept and a stopped training goes on, so the script can
# be stopped and run again; begin anew by removing build/sprout.
set -eu
cd "$(dirname "$0")/.."
program=${SLUICE:-build/release/bin/sluice}
work=build/sprout
# corpus FOLDER SEED SAMPLES HELD_OUT [KINDS]: one that is there is kept.
corpus() {
  if [ ! -f "$work/$1/held_out.jsonl" ]; then
    "$program" corpus "$work/$1" --seed "$2" --samples "$3" --held-out "$4" --overwrite ${5:+--kinds "$5"}
  fi
}
corpus corpus 1 110000 100
corpus copying 2 8000 0 echo
corpus letters 3 36000 0 letters
corpus labels 5 100000 100 labels
corpus few_labels 5 35000 0 labels
corpus tool_names 6 70000 50 tool_names
corpus made_up_tools 7 6000 50 made_up_tools
corpus tools 4 40000 100 labels,made_up_tools,tool_names
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
# The rest of its schedule was given to the later stages.
train models/sprout/recipe_main.json "$work/main_model" --until 4100
train models/sprout/recipe_letters.json "$work/letters_model"
train models/sprout/recipe_labels.json "$work/labels_model"
train models/sprout/recipe_names.json "$work/names_model"
train models/sprout/recipe_tools.json "$work/tools_model"
train models/sprout/recipe_finishing.json "$work/model"
for file in config.json generation_config.json model.safetensors tokenizer.json tokenizer_config.json; do
  cp "$work/model/$file" "models/sprout/$file"
done
mkdir -p docs/sprout
for stage in copying_model main_model letters_model labels_model names_model tools_model model; do
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
