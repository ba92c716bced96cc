// Normalization form C (UAX #15) of UTF-8 text, in time n log n whatever the text.
//
// The form is that of Unicode 9.0: characters assigned later count as unassigned, stay where they
// are and join nothing. Hugging Face's tokenizers normalize so, hence the models were trained on
// such ids. It shows in 98 combining marks assigned up to version 14, which later versions reorder,
// and in one letter that they compose.
//
// The character data are ICU's; the loop is ours, because ICU sorts combining marks by insertion: a
// megabyte of marks in the wrong order takes it minutes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::tokenizer {

// A part of the source that normalization replaced. Between such parts the bytes are equal.
struct NfcChange {
  size_t source_begin = 0, source_end = 0;
  size_t target_begin = 0, target_end = 0;
};

// Writes the normal form of `text` (well-formed UTF-8) to `out` and returns true, or returns false
// and leaves `out` alone if `text` is in normal form already. `changes`, if given, gets the
// replaced parts in order.
bool normalize_nfc(std::string_view text, std::string& out,
                   std::vector<NfcChange>* changes = nullptr);

}  // namespace sluice::tokenizer
