// The kinds of samples, one function each: draws in, a conversation out.
#pragma once

#include "tools/distill/corpus/draw.h"
#include "tools/distill/corpus/sample.h"

namespace sluice::tools::corpus {

// arithmetic.cc: the working of scratch.h, then "The answer is 632."
Sample addition(Draw& draw);
Sample subtraction(Draw& draw);
Sample multiplication(Draw& draw);
Sample number_comparison(Draw& draw);
Sample follow_up(Draw& draw);  // a second turn that goes on with the first one's result

// word_problems.cc: one or two steps about people and things.
Sample word_problem(Draw& draw);
Sample two_step_problem(Draw& draw);

// choice.cc: four options, one letter.
Sample number_choice(Draw& draw);
Sample fact_choice(Draw& draw);

// tool_tasks.cc: calls in the family's XML form, results, several in a row, side by side.
Sample one_call(Draw& draw);
Sample calls_in_a_row(Draw& draw);
Sample parallel_calls(Draw& draw);
Sample no_call(Draw& draw);  // tools are there and not needed, or not the right ones

// Drills. tool_tasks.cc: calls of tools whose names are made up anew each time. tool_names.cc:
// which of them is for this, and its parameters, for all of a list.
Sample made_up_tools(Draw& draw);
Sample tool_names(Draw& draw);

// editing.cc
Sample word_edit(Draw& draw);  // replace, upper case, reverse, sort, first, last
Sample code_edit(Draw& draw);  // a line to repair or a name to change
Sample json_record(Draw& draw);

// lookups.cc: what stands in a list, and exact copies; in training several in one conversation.
Sample lookup(Draw& draw);
Sample echo(Draw& draw);
Sample letters(Draw& draw);  // a drill: which letter stands before each of these values

// labels.cc: a drill, which name stands before each of these values.
Sample labels(Draw& draw);

// talk.cc: greetings, who are you, countries, cooking, sluice.
Sample greeting(Draw& draw);
Sample fact(Draw& draw);
Sample recipe(Draw& draw);
Sample about_sluice(Draw& draw);

// texts.cc: plain texts without a conversation.
Sample story(Draw& draw);
Sample gazetteer_text(Draw& draw);

}  // namespace sluice::tools::corpus
