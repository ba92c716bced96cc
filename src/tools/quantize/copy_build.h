// Builds made of another build's bytes: a part taken out (strip), or a donor's draft head put in
// (graft). No tensor but the donor's is decoded.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "base/threads.h"
#include "tools/convert/source.h"
#include "tools/quantize/build.h"
#include "tools/quantize/report.h"

namespace sluice::quantize {

struct CopyRequest {
  std::filesystem::path out;
  bool overwrite = false;
  bool drop_vision = false, drop_draft = false;
  const convert::Source* donor = nullptr;  // its head replaces the source's, matrices in BF16
};

// Same container as the source's. Errors: a part that is not there, a donor without a head or with
// one for another model.
Result<BuildReport> make_copy(const convert::Source& source, const CopyRequest& request,
                              ThreadPool& pool, const BuildEvents& events);

}  // namespace sluice::quantize
