// llama.cpp's logits of every position of a prompt, for llama_builds.py. Not part of the build:
// made by hand against the sources and libraries of llama.cpp (October 2026 or later; the draft
// head needs its staging header src/llama-ext.h):
//
//   g++ -std=c++17 -O1 -I$L/include -I$L/src -I$L/ggml/include llama_logits.cc -o llama_logits \
//       -L$B/bin -lllama -lggml-base -Wl,-rpath,$B/bin
//
//   llama_logits MODEL.gguf OUT 1,2,3 [drafts]
//
// OUT gets raw F32 [tokens, vocabulary]. With `drafts` the file's draft head is loaded too, and
// OUT.drafts gets [tokens - 1, vocabulary]: slot p pairs the hidden vector p with token p + 1.
// (llama.cpp's own driver feeds a slot before these, of a zero vector and the first token, to which
// all later ones attend; here it is left out, as in training.)
#include "llama_model.h"

int main(int argc, char** argv) {
  require(argc == 4 || argc == 5, "usage: llama_logits MODEL.gguf OUT IDS [drafts]");
  const std::string out = argv[2];
  const std::vector<int32_t> ids = parse_numbers(argv[3]);
  const int tokens = static_cast<int>(ids.size());
  const bool drafts = argc == 5;
  const Model model = load_model(argv[1], drafts);
  require(!drafts || llama_model_n_layer_nextn(model.get()) > 0, "the file has no draft head");
  const Context target = make_context(model.get(), ids.size(), nullptr);
  if (drafts) llama_set_embeddings_nextn(target.get(), true, false);

  std::vector<float> logits;
  const Batch batch(llama_batch_ext_init(target.get()));
  for (int32_t row = 0; row < tokens; ++row) {
    require(llama_batch_ext_add_token(batch.get(), 0, ids[row]) == row, "add a token");
    llama_batch_ext_set_pos(batch.get(), row, &row);
    llama_batch_ext_set_output_logits(batch.get(), row, true);
  }
  decode(target.get(), batch.get(), tokens, logits);
  write_floats(out, logits);
  if (!drafts) return 0;

  const size_t width = static_cast<size_t>(llama_model_n_embd_out(model.get()));
  const float* hidden = llama_get_embeddings_nextn(target.get());
  require(hidden != nullptr, "hidden vectors of the target");
  const Context head = make_context(model.get(), ids.size(), target.get());
  llama_set_embeddings_nextn(head.get(), true, true);
  const Batch slots(llama_batch_ext_init(head.get()));
  for (int32_t slot = 0; slot + 1 < tokens; ++slot) {
    require(llama_batch_ext_add_token(slots.get(), 0, ids[slot + 1]) == slot, "add a slot");
    llama_batch_ext_set_pos(slots.get(), slot, &slot);
    llama_batch_ext_set_output_logits(slots.get(), slot, true);
    require(llama_batch_ext_set_embd_token(slots.get(), slot, {hidden + slot * width, 1, width}),
            "give a slot its hidden vector");
  }
  std::vector<float> draft_logits;
  decode(head.get(), slots.get(), tokens - 1, draft_logits);
  write_floats(out + ".drafts", draft_logits);
  return 0;
}
