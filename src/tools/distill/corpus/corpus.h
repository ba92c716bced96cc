// The corpus of the demo model: which kinds it has, in what shares, and the files it becomes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "tools/distill/corpus/draw.h"
#include "tools/distill/corpus/sample.h"

namespace sluice::tools::corpus {

struct Kind {
  const char* name;
  Sample (*make)(Draw&);
  int weight;          // share of the samples in training, out of the sum of all weights
  bool judged;         // has held-out items
  bool drill = false;  // a single skill, many labels a sample: only made when asked for by name
};
std::span<const Kind> kinds();

// Sample `index` of a kind: the same for the same arguments, whatever else is generated. Some get a
// system message or an earlier turn in front. Never a held-out pair or wording in training, only
// held-out ones in held-out items.
Sample make_sample(const Kind& kind, Split split, uint64_t seed, int64_t index);

struct CorpusOptions {
  uint64_t seed = 1;
  int64_t samples = 0;                  // training samples of all kinds together
  int64_t held_out_items = 0;           // of each judged kind
  std::vector<std::string> kinds = {};  // only these; empty: all but drills
  bool overwrite = false;
};

struct CorpusReport {
  std::map<std::string, int64_t> samples, bytes;  // training, by kind; bytes of the lines
  int64_t held_out = 0;
};

// Writes `folder`/train.jsonl, kinds mixed, and `folder`/held_out.jsonl, kind by kind.
Result<CorpusReport> write_corpus(const std::filesystem::path& folder,
                                  const CorpusOptions& options);

}  // namespace sluice::tools::corpus
