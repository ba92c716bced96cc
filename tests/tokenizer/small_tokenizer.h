// The tokenizer of tests/tokenizer/data, and text to try it on.
#pragma once

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "tokenizer/tokenizer.h"

namespace sluice::tokenizer::test {

std::string read_data(
    std::string_view name);  // a file of tests/tokenizer/data; throws if it is missing
Json small_tokenizer_json();
Tokenizer small_tokenizer();

// Ids of a JSON array of integers.
std::vector<TokenId> ids_of(const Json& list);

// A text of `characters` characters, drawn from pools that the pre-tokenizer and normalization care
// about and now and then from all of Unicode up to `newest` (a version that ICU knows).
std::string random_text(std::mt19937& random, size_t characters, int newest = 255);

// `unit` over and over, `bytes` bytes or a little less, whole units only.
std::string repeated(std::string_view unit, size_t bytes);

}  // namespace sluice::tokenizer::test
