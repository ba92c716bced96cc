// Where error-compensating rounding gets its factors from, as far as the writer of a build needs to
// know.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "base/threads.h"
#include "tools/quantize/compensation_factor.h"

namespace sluice::quantize {

class CompensationSource {
 public:
  virtual ~CompensationSource() = default;

  // The canonical modules in the order in which their factors will be asked for. Before the first.
  virtual Status expect(std::span<const std::string> modules) = 0;
  // The factor of this module's input, columns in the order of published checkpoints. Modules with
  // one input share it.
  virtual Result<std::shared_ptr<const CompensationFactor>> factor(const std::string& module,
                                                                   ThreadPool& pool) = 0;
  // What the factors were made of, for the report.
  virtual std::string text() const = 0;
  virtual uint64_t tokens() const = 0;
  // A hash over all that the factors depend on beside source and program. Not memory and threads,
  // which change no bit.
  virtual std::string identity() const = 0;
};

}  // namespace sluice::quantize
