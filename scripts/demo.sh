#!/bin/sh
# Answers with the model that ships with sluice, from the command line.
set -eu
program=build/release/bin/sluice
if [ -f models/sprout/model.safetensors ]; then
  model=models/sprout
else
  model=tests/model/data/tiny
  echo "The demo model is not trained yet: this is a small random checkpoint of the same architecture."
  echo "It shows that loading, drafting and decoding work; its words mean nothing."
fi
"$program" inspect "$model"
"$program" plan "$model" --context 1024
"$program" run "$model" "What is a sluice?" --max-tokens 48 --seed 1
