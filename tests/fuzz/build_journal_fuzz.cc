// Any bytes as the journal of a build, as they are and with the hashes that their lines would need
// to be believed: refused, or entries that are the same wherever the journal is cut behind them,
// and that are read back from what is written of them.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tools/quantize/journal_lines.h"

namespace {

using sluice::quantize::JournalEntry;
using sluice::quantize::ParsedJournal;

void require(bool condition) {
  if (!condition) std::abort();
}

bool same(const JournalEntry& a, const JournalEntry& b) {
  if (a.output_error.has_value() != b.output_error.has_value()) return false;
  const bool output = !a.output_error || (a.output_error->plain == b.output_error->plain &&
                                          a.output_error->written == b.output_error->written);
  return output && a.tensor == b.tensor && a.hash == b.hash &&
         a.error.squared_error == b.error.squared_error &&
         a.error.squared_norm == b.error.squared_norm;
}

void check(std::string_view text) {
  const auto journal = sluice::quantize::parse_journal(text);
  if (!journal.ok()) return;
  uint64_t last = journal->head.end, chain = 0;
  require(last > 0 && last <= text.size());
  std::string again = sluice::quantize::journal_head(journal->identity, chain);
  for (const JournalEntry& entry : journal->entries) {
    require(!entry.tensor.empty() && entry.end > last && entry.end <= text.size());
    last = entry.end;
    again += sluice::quantize::journal_line(entry, chain);
  }
  const auto cut = sluice::quantize::parse_journal(text.substr(0, last));
  const auto rewritten = sluice::quantize::parse_journal(again);
  for (const auto* other : {&cut, &rewritten}) {
    require(other->ok() && (*other)->damage.empty());
    require((*other)->identity == journal->identity);
    require((*other)->entries.size() == journal->entries.size());
    for (size_t i = 0; i < journal->entries.size(); ++i)
      require(same((*other)->entries[i], journal->entries[i]));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(text);
  std::string sealed;
  uint64_t chain = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    sealed += sluice::quantize::sealed_line(text.substr(at, end - at), chain);
    at = end + 1;
  }
  check(sealed);
  return 0;
}
