// Names of tools and parameters that cannot be guessed: two or three words, in either of the two
// usual ways to join them.
#pragma once

#include <string>
#include <string_view>

#include "tools/distill/corpus/draw.h"

namespace sluice::tools::corpus {

// "lamp_gopu", "getCrowLine". With a `noun`, one of the words is it: "show_file", "fileLamp".
std::string made_up_name(Draw& draw, std::string_view noun = "");

// `name` with one of its words replaced: "get_crow" for "get_file".
std::string similar_name(Draw& draw, std::string_view name);

// Most often one word.
std::string made_up_parameter(Draw& draw);

}  // namespace sluice::tools::corpus
