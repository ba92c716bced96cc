// Memory of the CPU backend: blocks of large pages that are refused with the arithmetic when they
// cannot fit.
#pragma once

#include <cstddef>
#include <string>

#include "base/memory.h"
#include "base/result.h"

namespace sluice::cpu {

// A zero-filled block, or kDoesNotFit with what was asked for and what is left. Nothing is touched
// here, so two blocks that fit one by one may not fit together: the memory plan's business.
Result<PageBlock> take_block(const std::string& what, size_t bytes);

}  // namespace sluice::cpu
