// How one question is answered with thinking on and off.
#pragma once

#include <string>

#include "tools/distill/corpus/draw.h"
#include "tools/distill/corpus/sample.h"

namespace sluice::tools::corpus {

// For tasks that need working: it is the thought, or with thinking off the beginning of the answer,
// because a small model cannot do without.
Sample worked(Draw& draw, std::string user, std::string working, std::string answer, Json check);

// For tasks that do not: with thinking off the thought is left out. `percent_off` of the samples
// have thinking off.
Sample spoken(Draw& draw, std::string user, std::string thought, std::string answer, Json check,
              int percent_off);

}  // namespace sluice::tools::corpus
