// The smallest tokenizer of the family: one token per byte, and the markers that the runtime looks
// for.
#pragma once

#include "tokenizer/tokenizer.h"

namespace sluice::test {

// Ids 0..255 are the bytes; 256 "<|im_end|>" (special), 257 "<think>", 258 "</think>".
const tokenizer::Tokenizer& byte_tokenizer();

}  // namespace sluice::test
