// Memory of the CPU backend: blocks of large pages that are refused with the arithmetic when they
// cannot fit.
#pragma once

#include <cstddef>
#include <string>

#include "base/memory.h"
#include "base/result.h"
#include "base/threads.h"

namespace sluice::cpu {

// A zero-filled block that the caller has touched, or kDoesNotFit with what was asked for and what
// is left.
Result<PageBlock> take_block(const std::string& what, size_t bytes);

// The same for memory that all members of the team use, none of them a part of its own (keys and
// values, states of sequences): they touch large pages by turns, so that on several sockets every
// node has its share of them and of the reading.
Result<PageBlock> take_shared_block(const std::string& what, size_t bytes, ThreadPool& pool);

}  // namespace sluice::cpu
