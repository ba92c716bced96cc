#include <fmt/format.h>

#include "tools/distill/corpus/kinds.h"
#include "tools/distill/corpus/scratch.h"
#include "tools/distill/corpus/toolbox.h"
#include "tools/distill/corpus/world.h"

namespace sluice::tools::corpus {
namespace {

constexpr const char* kOpeners[] = {
    "", "Please help: ", "Hello. ", "A task: ", "Tell me: ", "Quick: ", "Now: ", "One thing: "};
constexpr const char* kClosers[] = {"", " Thank you.", " Use a tool.", " It is important."};

constexpr int kPercentOff = 15;  // conversations with thinking off

// A user's question, then calls with their results, then an answer. Any of the assistant's messages
// can be the one that a held-out item asks for.
class ToolConversation {
 public:
  ToolConversation(Draw& draw, std::initializer_list<Tool> needed, size_t others)
      : draw_(draw), box_(draw, needed, others) {}

  const Toolbox& box() const { return box_; }

  // Opener x form x closer.
  template <size_t kForms>
  void ask(std::string_view family, const char* const (&forms)[kForms],
           std::initializer_list<std::pair<std::string_view, std::string>> values) {
    const auto parts = draw_.wording(family, {std::size(kOpeners), kForms, std::size(kClosers)});
    messages_.push_back(
        user_message(kOpeners[parts[0]] + fill(forms[parts[1]], values) + kClosers[parts[2]]));
  }

  struct Step {
    Json call;  // bare
    std::string result;
  };
  void call(std::string thought, const std::vector<Step>& steps) {
    Json message = assistant_message(std::move(thought), "");
    Json calls = Json::array(), expected = Json::array();
    for (const Step& step : steps) {
      calls.push_back(function_call(step.call));
      expected.push_back(step.call);
    }
    message.set("tool_calls", std::move(calls));
    turns_.push_back({messages_.items().size(), check_of("calls", std::move(expected))});
    messages_.push_back(std::move(message));
    for (const Step& step : steps) messages_.push_back(tool_message(step.result));
  }
  void call(Tool tool, std::initializer_list<Json> values, std::string result) {
    call(fmt::format("I call {}.", box_.name(tool)),
         {{box_.bare_call(tool, values), std::move(result)}});
  }

  Sample answer(std::string text, Json check) {
    turns_.push_back({messages_.items().size(), std::move(check)});
    messages_.push_back(assistant_message("I have the result.", std::move(text)));
    Sample sample;
    sample.thinking = !draw_.chance(kPercentOff);
    if (!sample.thinking) {
      for (const Turn& turn : turns_) messages_.items()[turn.position].set("reasoning_content", "");
    }
    sample.messages = std::move(messages_);
    sample.tools = box_.definitions();
    const Turn& judged = turns_[draw_.below(turns_.size())];
    sample.prompt = judged.position;
    sample.check = judged.check;
    return sample;
  }

 private:
  struct Turn {
    size_t position;
    Json check;
  };
  Draw& draw_;
  Toolbox box_;
  Json messages_ = Json::array();
  std::vector<Turn> turns_;
};

std::string record(const char* key, const std::string& name, const char* field, const Json& value) {
  Json json = Json::object();
  json.set(key, name);
  json.set(field, value);
  return json.dump();
}

Sample number_answer(ToolConversation& talk, const std::string& form, int64_t value) {
  return talk.answer(fill(form, {{"v", std::to_string(value)}}), check_of("number", value));
}

Sample text_answer(ToolConversation& talk, const std::string& text) {
  return talk.answer(text, check_of("text", text));
}

std::string sign_text(char operation) { return fmt::format(" {} ", operation); }

std::string clock_time(Draw& draw) {
  return fmt::format("{:02}:{:02}", draw.between(8, 20), 15 * draw.below(4));
}

std::string phone_number(Draw& draw) { return std::to_string(draw.between(1000, 9999)); }

Sample calculate(Draw& draw) {
  constexpr const char* kForms[] = {"What is {q}?", "Compute {q}.", "How much is {q}?", "{q} = ?"};
  constexpr char kOperations[] = {'+', '-', '*'};
  const char operation = draw.pick(kOperations);
  const auto [a, b] = operation == '*' ? draw.operands_between(operation, 11, 999, 11, 99)
                                       : draw.operands(operation, 4);
  const std::string task = std::to_string(a) + sign_text(operation) + std::to_string(b);
  const int64_t value = compute(a, operation, b);
  ToolConversation talk(draw, {Tool::kCalculator}, 2);
  talk.ask("tool_calculate", kForms, {{"q", task}});
  talk.call(Tool::kCalculator, {task}, std::to_string(value));
  return number_answer(talk, "The answer is {v}.", value);
}

Sample price(Draw& draw) {
  constexpr const char* kForms[] = {"What do {t} cost?", "What is the price of {t}?",
                                    "Find the price of {t}.", "How much are {t}?"};
  const std::string things = draw.pick(kThings);
  const int64_t value = draw.between(2, 99);
  ToolConversation talk(draw, {Tool::kPrice}, 2);
  talk.ask("tool_price", kForms, {{"t", things}});
  talk.call(Tool::kPrice, {things}, record("item", things, "price", value));
  return number_answer(talk, "The price of " + things + " is {v}.", value);
}

Sample phone(Draw& draw) {
  constexpr const char* kForms[] = {"What is the phone number of {n}?", "How can I call {n}?",
                                    "Find the phone number of {n}.", "I want to call {n}."};
  const std::string name = draw.pick(kNames), number = phone_number(draw);
  ToolConversation talk(draw, {Tool::kPhone}, 2);
  talk.ask("tool_phone", kForms, {{"n", name}});
  talk.call(Tool::kPhone, {name}, record("name", name, "phone", number));
  return text_answer(talk, fmt::format("The phone number of {} is {}.", name, number));
}

Sample weather(Draw& draw) {
  constexpr const char* kForms[] = {"What is the weather in {c}?", "How is the weather in {c}?",
                                    "Tell me the weather in {c}.", "Does the sun shine in {c}?"};
  const std::string city = draw.pick(kCountries).capital, sky = draw.pick(kWeathers);
  ToolConversation talk(draw, {Tool::kWeather}, 2);
  talk.ask("tool_weather", kForms, {{"c", city}});
  talk.call(Tool::kWeather, {city}, record("city", city, "weather", sky));
  return text_answer(talk, fmt::format("It is {} in {}.", sky, city));
}

Sample event(Draw& draw) {
  constexpr const char* kForms[] = {"Put {e} on {d} at {h}.", "Add {e} on {d} at {h}.",
                                    "I have {e} on {d} at {h}.", "Plan {e} for {d} at {h}."};
  const std::string title = draw.pick(kEvents), day = draw.pick(kDays), time = clock_time(draw);
  ToolConversation talk(draw, {Tool::kAddEvent}, 2);
  talk.ask("tool_event", kForms, {{"e", title}, {"d", day}, {"h", time}});
  talk.call(Tool::kAddEvent, {title, day, time}, "ok");
  return text_answer(talk, fmt::format("I added {} on {} at {}.", title, day, time));
}

Sample events_of_day(Draw& draw) {
  constexpr const char* kForms[] = {"What do I have on {d}?", "What is planned on {d}?",
                                    "Show me {d}.", "Which events are on {d}?"};
  const std::string day = draw.pick(kDays);
  std::string list;
  for (size_t i = draw.below(3); i > 0; --i)
    list += fmt::format("{}{} {}", list.empty() ? "" : ", ", clock_time(draw), draw.pick(kEvents));
  ToolConversation talk(draw, {Tool::kListEvents}, 2);
  talk.ask("tool_day", kForms, {{"d", day}});
  talk.call(Tool::kListEvents, {day}, list.empty() ? "nothing" : list);
  return text_answer(talk, list.empty() ? fmt::format("Nothing is planned on {}.", day)
                                        : fmt::format("On {}: {}.", day, list));
}

std::string short_text(Draw& draw) {
  if (draw.chance(50))
    return fmt::format("{} {} {}", draw.pick(kWords), draw.pick(kWords), draw.pick(kWords));
  return fmt::format("The {} {} {} the {}.", draw.pick(kAdjectives), draw.pick(kAnimals),
                     draw.pick(kVerbs), draw.pick(kAnimals));
}

Sample read_file(Draw& draw) {
  constexpr const char* kForms[] = {"What is in {f}?", "Read {f}.", "Show me {f}.",
                                    "What does {f} say?"};
  const std::string file = draw.pick(kFiles);
  const bool missing = draw.chance(25);
  const std::string text = missing ? "error: no such file" : short_text(draw);
  ToolConversation talk(draw, {Tool::kReadFile}, 2);
  talk.ask("tool_read", kForms, {{"f", file}});
  talk.call(Tool::kReadFile, {file}, text);
  return text_answer(talk, missing ? fmt::format("There is no file {}.", file)
                                   : fmt::format("{} says: {}", file, text));
}

Sample write_file(Draw& draw) {
  constexpr const char* kForms[] = {"Write \"{x}\" to {f}.", "Save \"{x}\" in {f}.",
                                    "Put \"{x}\" into {f}.", "Store this in {f}: \"{x}\""};
  const std::string file = draw.pick(kFiles), text = short_text(draw);
  ToolConversation talk(draw, {Tool::kWriteFile}, 2);
  talk.ask("tool_write", kForms, {{"f", file}, {"x", text}});
  talk.call(Tool::kWriteFile, {file, text}, "ok");
  return text_answer(talk, fmt::format("I saved it in {}.", file));
}

Sample timer(Draw& draw) {
  constexpr const char* kForms[] = {"Set a timer for {v} minutes.", "Ring in {v} minutes.",
                                    "Wake me in {v} minutes.",
                                    "I need {v} minutes. Start a timer."};
  const int64_t minutes = draw.between(1, 90);
  ToolConversation talk(draw, {Tool::kTimer}, 2);
  talk.ask("tool_timer", kForms, {{"v", std::to_string(minutes)}});
  talk.call(Tool::kTimer, {minutes}, "ok");
  return text_answer(talk, fmt::format("The timer rings in {} minutes.", minutes));
}

// A price, then the calculator.
Sample cost(Draw& draw) {
  constexpr const char* kForms[] = {"What do {a} {t} cost?", "How much are {a} {t}?",
                                    "I buy {a} {t}. What do I pay?",
                                    "Find the price of {a} {t} in all."};
  const std::string things = draw.pick(kThings);
  const auto [count, each] = draw.operands_between('*', 11, 99, 2, 30);
  const std::string task = fmt::format("{} * {}", count, each);
  ToolConversation talk(draw, {Tool::kPrice, Tool::kCalculator}, 1);
  talk.ask("tool_cost", kForms, {{"a", std::to_string(count)}, {"t", things}});
  talk.call(Tool::kPrice, {things}, record("item", things, "price", each));
  talk.call(Tool::kCalculator, {task}, std::to_string(count * each));
  return number_answer(talk, fmt::format("{} {} cost {{v}}.", count, things), count * each);
}

// A file, then the calendar.
Sample file_to_calendar(Draw& draw) {
  constexpr const char* kForms[] = {"Put the event in {f} on my calendar.",
                                    "Read {f} and add its event.", "Plan what {f} says.",
                                    "{f} names an event. Add it."};
  const std::string file = draw.pick(kFiles), title = draw.pick(kEvents), day = draw.pick(kDays),
                    time = clock_time(draw);
  ToolConversation talk(draw, {Tool::kReadFile, Tool::kAddEvent}, 1);
  talk.ask("tool_plan", kForms, {{"f", file}});
  talk.call(Tool::kReadFile, {file}, fmt::format("{} on {} at {}", title, day, time));
  talk.call(Tool::kAddEvent, {title, day, time}, "ok");
  return text_answer(talk, fmt::format("I added {} on {} at {}.", title, day, time));
}

// A number, then a file.
Sample phone_to_file(Draw& draw) {
  constexpr const char* kForms[] = {
      "Save the phone number of {n} in {f}.", "Find the phone number of {n} and write it to {f}.",
      "Put the phone number of {n} into {f}.", "Store the phone number of {n} in {f}."};
  const std::string name = draw.pick(kNames), file = draw.pick(kFiles), number = phone_number(draw);
  ToolConversation talk(draw, {Tool::kPhone, Tool::kWriteFile}, 1);
  talk.ask("tool_store", kForms, {{"n", name}, {"f", file}});
  talk.call(Tool::kPhone, {name}, record("name", name, "phone", number));
  talk.call(Tool::kWriteFile, {file, number}, "ok");
  return text_answer(talk, fmt::format("I saved it in {}.", file));
}

template <typename List>
std::pair<std::string, std::string> two_of(Draw& draw, const List& list) {
  const std::string first = draw.pick(list);
  std::string second = draw.pick(list);
  while (second == first) second = draw.pick(list);
  return {first, second};
}

Sample two_prices(Draw& draw) {
  constexpr const char* kForms[] = {
      "What do {a} and {b} cost together?", "What is the price of {a} and {b} in all?",
      "I buy {a} and {b}. What do I pay?", "How much are {a} and {b} together?"};
  const auto [first, second] = two_of(draw, kThings);
  const auto [a, b] = draw.operands_between('+', 2, 99, 2, 99);
  ToolConversation talk(draw, {Tool::kPrice, Tool::kCalculator}, 1);
  talk.ask("tool_two_prices", kForms, {{"a", first}, {"b", second}});
  talk.call(fmt::format("I call {} for {} and {}.", talk.box().name(Tool::kPrice), first, second),
            {{talk.box().bare_call(Tool::kPrice, {first}), record("item", first, "price", a)},
             {talk.box().bare_call(Tool::kPrice, {second}), record("item", second, "price", b)}});
  talk.call(Tool::kCalculator, {fmt::format("{} + {}", a, b)}, std::to_string(a + b));
  return number_answer(talk, "They cost {v} together.", a + b);
}

Sample two_phones(Draw& draw) {
  constexpr const char* kForms[] = {
      "I want to call {a} and {b}.", "What are the phone numbers of {a} and {b}?",
      "Find the phone numbers of {a} and {b}.", "How can I call {a} and {b}?"};
  const auto [first, second] = two_of(draw, kNames);
  const std::string a = phone_number(draw), b = phone_number(draw);
  ToolConversation talk(draw, {Tool::kPhone}, 2);
  talk.ask("tool_two_phones", kForms, {{"a", first}, {"b", second}});
  talk.call(fmt::format("I call {} for {} and {}.", talk.box().name(Tool::kPhone), first, second),
            {{talk.box().bare_call(Tool::kPhone, {first}), record("name", first, "phone", a)},
             {talk.box().bare_call(Tool::kPhone, {second}), record("name", second, "phone", b)}});
  return text_answer(talk, fmt::format("{}: {}. {}: {}.", first, a, second, b));
}

Sample two_cities(Draw& draw) {
  constexpr const char* kForms[] = {
      "What is the weather in {a} and {b}?", "Tell me the weather in {a} and in {b}.",
      "How is the weather in {a} and {b}?", "Compare the weather in {a} and {b}."};
  std::string first = draw.pick(kCountries).capital, second = first;
  while (second == first) second = draw.pick(kCountries).capital;
  const std::string a = draw.pick(kWeathers), b = draw.pick(kWeathers);
  ToolConversation talk(draw, {Tool::kWeather}, 2);
  talk.ask("tool_two_cities", kForms, {{"a", first}, {"b", second}});
  talk.call(
      fmt::format("I call {} for {} and {}.", talk.box().name(Tool::kWeather), first, second),
      {{talk.box().bare_call(Tool::kWeather, {first}), record("city", first, "weather", a)},
       {talk.box().bare_call(Tool::kWeather, {second}), record("city", second, "weather", b)}});
  return text_answer(talk, fmt::format("It is {} in {} and {} in {}.", a, first, b, second));
}

}  // namespace

Sample one_call(Draw& draw) {
  constexpr Sample (*kTasks[])(Draw&) = {calculate, calculate,     price,     phone,      weather,
                                         event,     events_of_day, read_file, write_file, timer};
  return draw.pick(kTasks)(draw);
}

Sample calls_in_a_row(Draw& draw) {
  constexpr Sample (*kTasks[])(Draw&) = {cost, file_to_calendar, phone_to_file};
  return draw.pick(kTasks)(draw);
}

Sample parallel_calls(Draw& draw) {
  constexpr Sample (*kTasks[])(Draw&) = {two_prices, two_phones, two_cities};
  return draw.pick(kTasks)(draw);
}

Sample no_call(Draw& draw) {
  constexpr const char* kWishes[] = {"What is the weather in {x}?", "What do {x} cost?",
                                     "What is the phone number of {x}?"};
  if (draw.chance(65)) {
    constexpr Sample (*kTalk[])(Draw&) = {greeting, fact, about_sluice, word_edit};
    Sample sample = draw.pick(kTalk)(draw);
    sample.tools = Toolbox(draw, {}, 2).definitions();
    if (sample.tools.items().empty()) sample.tools = Toolbox(draw, {Tool::kTimer}, 1).definitions();
    return sample;
  }
  // A wish for a tool that is not there.
  constexpr Tool kWished[] = {Tool::kWeather, Tool::kPrice, Tool::kPhone};
  constexpr const char* kAnswers[] = {"I have no tool for the weather.",
                                      "I have no tool for prices.",
                                      "I have no tool for phone numbers."};
  const std::string about[] = {draw.pick(kCountries).capital, draw.pick(kThings),
                               draw.pick(kNames)};
  const auto parts =
      draw.wording("tool_none", {std::size(kOpeners), std::size(kWishes), std::size(kClosers)});
  const size_t wish = parts[1];
  Sample sample =
      question(kOpeners[parts[0]] + fill(kWishes[wish], {{"x", about[wish]}}) + kClosers[parts[2]],
               "No tool fits.", kAnswers[wish], check_of("text", kAnswers[wish]));
  sample.tools = Toolbox(draw, {Tool::kTimer}, 2, {kWished[wish]}).definitions();
  return sample;
}

}  // namespace sluice::tools::corpus
