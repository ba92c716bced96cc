// How much memory a model will take in a given shape, told before it is loaded (design.md P5).
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "model/binding.h"
#include "model/text/text_model.h"
#include "ops/backend.h"
#include "runtime/cache/packed_state.h"
#include "runtime/spec/draft_vocabulary.h"

namespace sluice::runtime {

// Where prompts that were read live on when memory is short and after a restart
// (cache/disk_tier.h).
struct DiskCache {
  std::string folder;  // empty: nowhere
  uint64_t bytes = 0;
  std::string model;  // what tells these weights and this program from all others

  bool on() const { return !folder.empty(); }
};

// Everything about an engine that costs memory.
struct EngineShape {
  int64_t context = 4096;  // tokens of one sequence, prompt and answer
  int64_t sequences = 1;   // running at once
  ops::KvFormat kv = ops::KvFormat::kBF16;
  int draft_depth = 0;  // greatest number of drafts per step; 0 = the draft head is not loaded
  bool adaptive_depth = false;  // each sequence's depth follows what its drafts are worth
  int64_t draft_rows = DraftVocabulary::kAll;  // rows of the output head behind proposals
  int64_t prompt_rows = 512;  // prompt tokens read per step, at most; a multiple of 64
  bool keep_pace = false;     // fewer of them beside answers (scheduler/prompt_pace.h)
  uint64_t prefix_cache = 0;  // bytes for prompts that have been read; 0: each is read anew
  StateForm saved_states = StateForm::kF32;  // other forms hold more of them and are lossy
  DiskCache disk;                            // needs a prefix cache
  uint64_t most_memory = 0;                  // bytes that all of it may take; 0: what is available

  int64_t pages_per_sequence() const;
  int64_t max_rows() const;        // rows of the largest step
  int64_t max_logit_rows() const;  // rows whose logits exist at one time
};

// What the bytes of the prefix cache buy: saved recurrent states, and pages beyond those of the
// sequences (which hold prompts too while no sequence needs them). One state for every 16 pages: a
// state costs as much as 20 to 35 pages, and without a state pages are of no use. Forms of fewer
// bits have as much fewer pages each, so that they buy more states and not more pages.
struct CacheShape {
  static constexpr uint64_t kPagesPerState = 16;
  static uint64_t pages_per_state(StateForm form);
  int64_t checkpoints = 0, pages = 0;  // none: too few bytes for one state and one page, or off
  // Bytes of the least cache that is one.
  static uint64_t least_bytes(const model::TextConfig& config, size_t page_bytes, bool with_mtp,
                              StateForm form = StateForm::kF32);
  static CacheShape of(uint64_t bytes, const model::TextConfig& config, size_t page_bytes,
                       bool with_mtp, StateForm form = StateForm::kF32);
};

struct MemoryPlan {
  uint64_t weights = 0;    // text model, packed as the backend keeps it
  uint64_t kv = 0;         // keys and values of the text model
  uint64_t recurrent = 0;  // GDN states, convolution columns, pending rows
  uint64_t draft = 0;      // draft head: weights and its keys and values
  uint64_t workspace = 0;  // activations, logits, scratch, tokenizer, the program itself
  uint64_t prefix_cache = 0;
  uint64_t available = 0;
  int64_t saved_states = 0;  // that the prefix cache's bytes hold

  uint64_t total() const { return weights + kv + recurrent + draft + workspace + prefix_cache; }
  bool fits() const { return total() <= available; }
};

// `resident_bytes`: what the program holds beside the model (tokenizer, template, itself).
MemoryPlan plan_memory(const model::Binding& binding, const ops::Backend& backend,
                       const EngineShape& shape, uint64_t resident_bytes);

// The largest shape with at most the asked sizes that fits: first the prefix cache shrinks (in
// MiB), then the context (in pages), then the number of sequences. context 0 if not even one page
// of one sequence fits.
EngineShape nearest_shape(const model::Binding& binding, const ops::Backend& backend,
                          const EngineShape& asked, uint64_t resident_bytes);

// The refusal, in the same words for every command: the arithmetic and the nearest setting that
// fits.
Error does_not_fit(const std::string& model, const MemoryPlan& plan, const EngineShape& asked,
                   const EngineShape& nearest);

// Bytes as people read them: "16.8 GB".
std::string format_bytes(uint64_t bytes);

}  // namespace sluice::runtime
