// Who and what a question is about: from the lists of world.h, or made up.
//
// A model that has only ever seen 24 names learns to tell them apart by habit; a name that it has
// never seen has to be copied from where it stands. So every argument of a call and every value to
// look up is made up in a fixed share of the samples.
#pragma once

#include <string>

#include "tools/distill/corpus/draw.h"

namespace sluice::tools::corpus {

// Two or three syllables in lower case: "fonu", "dakelom".
std::string made_up_word(Draw& draw);

// A person's name, a city, things of a shop, the title of an event, a file: each from its list or
// made up.
std::string any_name(Draw& draw);
std::string any_city(Draw& draw);
std::string any_thing(Draw& draw);
std::string any_event(Draw& draw);
std::string any_file(Draw& draw);

// Three words or a sentence, to be kept in a file.
std::string short_text(Draw& draw);

std::string phone_number(Draw& draw);  // four digits
std::string clock_time(Draw& draw);    // "08:15"

}  // namespace sluice::tools::corpus
