#include <fmt/format.h>

#include <algorithm>

#include "tools/distill/corpus/answer_styles.h"
#include "tools/distill/corpus/kinds.h"
#include "tools/distill/corpus/scratch.h"

namespace sluice::tools::corpus {
namespace {

// Wordings are opener x question x closer.
constexpr const char* kOpeners[] = {"",           "Please tell me: ", "Quick question: ", "Hello. ",
                                    "Now this: ", "I have a task. ",  "Help me: ",        "Next: "};
constexpr const char* kClosers[] = {"", " Thank you.", " Think first.", " Be careful."};

constexpr const char* kSums[] = {
    "What is {a} + {b}?",           "{a} + {b} = ?",         "Add {a} and {b}.",
    "How much is {a} plus {b}?",    "Compute {a} + {b}.",    "What is the sum of {a} and {b}?",
    "What do you get for {a}+{b}?", "Work out {a} plus {b}."};
constexpr const char* kDifferences[] = {
    "What is {a} - {b}?",           "{a} - {b} = ?",
    "Subtract {b} from {a}.",       "How much is {a} minus {b}?",
    "Compute {a} - {b}.",           "What is the difference of {a} and {b}?",
    "What do you get for {a}-{b}?", "Work out {a} minus {b}."};
constexpr const char* kProducts[] = {
    "What is {a} * {b}?",           "{a} * {b} = ?",          "Multiply {a} by {b}.",
    "How much is {a} times {b}?",   "Compute {a} * {b}.",     "What is the product of {a} and {b}?",
    "What do you get for {a}*{b}?", "Work out {a} times {b}."};
constexpr const char* kComparisons[] = {"Which is larger, {a} or {b}?",
                                        "Which number is greater: {a} or {b}?",
                                        "Compare {a} and {b}.",
                                        "What is the larger of {a} and {b}?",
                                        "Tell me the greater number of {a} and {b}.",
                                        "Take {a} and {b}. Which is more?"};
constexpr const char* kFollowOpeners[] = {"", "Good. ", "Thanks. ", "Right. ", "Well. ", "Nice. "};
constexpr const char* kFollowUps[] = {"Now add {b}.", "And plus {b}?", "Add {b} to that.",
                                      "What if I add {b}?", "Put {b} on top."};
constexpr const char* kFollowDowns[] = {"Now subtract {b}.", "And minus {b}?",
                                        "Take {b} away from that.", "What if I take away {b}?",
                                        "Remove {b}."};

std::string answer_text(int64_t value) { return fmt::format("The answer is {}.", value); }

Sample answered(Draw& draw, std::string user, std::string working, int64_t value) {
  return worked(draw, std::move(user), std::move(working), answer_text(value),
                check_of("number", value));
}

template <size_t kForms>
std::string asked(Draw& draw, std::string_view family, const char* const (&forms)[kForms],
                  int64_t left, int64_t right) {
  const auto parts = draw.wording(family, {std::size(kOpeners), kForms, std::size(kClosers)});
  return kOpeners[parts[0]] +
         fill(forms[parts[1]], {{"a", std::to_string(left)}, {"b", std::to_string(right)}}) +
         kClosers[parts[2]];
}

template <size_t kForms>
Sample calculation(Draw& draw, std::string_view family, char operation,
                   const char* const (&forms)[kForms]) {
  const auto [left, right] = draw.operands(operation, 3);
  return answered(draw, asked(draw, family, forms, left, right), columns(left, operation, right),
                  compute(left, operation, right));
}

}  // namespace

Sample addition(Draw& draw) { return calculation(draw, "sum", '+', kSums); }
Sample subtraction(Draw& draw) { return calculation(draw, "difference", '-', kDifferences); }
Sample multiplication(Draw& draw) { return calculation(draw, "product", '*', kProducts); }

Sample number_comparison(Draw& draw) {
  Draw::Operands pair = draw.operands('-', 3);
  while (pair.left == pair.right) pair = draw.operands('-', 3);
  auto [left, right] = pair;
  if (draw.chance(50)) std::swap(left, right);
  return answered(draw, asked(draw, "comparison", kComparisons, left, right),
                  comparison(left, right), std::max(left, right));
}

Sample follow_up(Draw& draw) {
  const char operation = draw.chance(50) ? '+' : '-';
  for (;;) {
    const auto [left, right] = draw.operands('+', 3);
    const int64_t sum = left + right, step = draw.between(1, 999);
    if ((operation == '-' && step > sum) || !draw.fits(pair_name(sum, operation, step))) continue;
    const std::string first = asked(draw, "sum", kSums, left, right);
    const bool adds = operation == '+';
    const auto parts = draw.wording(adds ? "follow_up" : "follow_down",
                                    {std::size(kFollowOpeners), std::size(kFollowUps)});
    const std::string second =
        kFollowOpeners[parts[0]] +
        fill(adds ? kFollowUps[parts[1]] : kFollowDowns[parts[1]], {{"b", std::to_string(step)}});
    const int64_t value = compute(sum, operation, step);
    Sample sample = answered(draw, second, columns(sum, operation, step), value);
    Json messages = Json::array();
    messages.push_back(user_message(first));
    messages.push_back(assistant_message(columns(left, '+', right), answer_text(sum)));
    for (const Json& message : sample.messages.items()) messages.push_back(message);
    sample.messages = std::move(messages);
    sample.prompt += 2;
    return sample;
  }
}

}  // namespace sluice::tools::corpus
