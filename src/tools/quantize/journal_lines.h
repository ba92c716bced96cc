// The text of a build's journal: a line for what was asked, and one for each tensor that is whole.
// Bytes from outside: a kill, a full disk or an editor may have been at them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tools/convert/error_sum.h"
#include "tools/quantize/build_identity.h"
#include "tools/quantize/report.h"

namespace sluice::quantize {

inline constexpr const char* kJournalName = "build.journal";

struct JournalEntry {
  std::string tensor;
  uint64_t hash = 0;        // of its bytes
  convert::ErrorSum error;  // zero where none is measured
  std::optional<TensorReport::OutputError> output_error = {};
  uint64_t end = 0;    // of its line, from the journal's first byte
  uint64_t chain = 0;  // what the next line's hash begins with
};

struct ParsedJournal {
  BuildIdentity identity;
  JournalEntry head;  // end and chain of the first line
  std::vector<JournalEntry> entries;
  // Why what follows the entries is not believed; empty if nothing does. Half a line at the end is
  // what a kill leaves, no damage.
  std::string damage;
};

// A line is `HASH JSON`, where HASH covers the JSON and all lines before: a line that was changed,
// lost or moved ends what is believed. An error if not even the first line can be.
Result<ParsedJournal> parse_journal(std::string_view text);

// What parse_journal reads, each with its end of line. `chain` is that of the line before, 0 for
// the first, and becomes this one's.
std::string journal_head(const BuildIdentity& identity, uint64_t& chain);
std::string journal_line(const JournalEntry& entry, uint64_t& chain);
// A line of any JSON.
std::string sealed_line(std::string_view json, uint64_t& chain);

}  // namespace sluice::quantize
