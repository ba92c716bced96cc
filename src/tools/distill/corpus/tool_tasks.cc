#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "tools/distill/corpus/kinds.h"
#include "tools/distill/corpus/scratch.h"
#include "tools/distill/corpus/subjects.h"
#include "tools/distill/corpus/tool_conversation.h"
#include "tools/distill/corpus/world.h"

namespace sluice::tools::corpus {
namespace {

std::string record(const char* key, const std::string& name, const char* field, const Json& value) {
  Json json = Json::object();
  json.set(key, name);
  json.set(field, value);
  return json.dump();
}

std::string sign_text(char operation) { return fmt::format(" {} ", operation); }

void calculate(ToolConversation& talk) {
  Draw& draw = talk.draw();
  constexpr const char* kForms[] = {"What is {q}?", "Compute {q}.", "How much is {q}?", "{q} = ?"};
  constexpr char kOperations[] = {'+', '-', '*'};
  const char operation = draw.pick(kOperations);
  const auto [a, b] = operation == '*' ? draw.operands_between(operation, 11, 999, 11, 99)
                                       : draw.operands(operation, 4);
  const std::string task = std::to_string(a) + sign_text(operation) + std::to_string(b);
  const int64_t value = compute(a, operation, b);
  talk.ask("tool_calculate", kForms, {{"q", task}});
  talk.call(Tool::kCalculator, {task}, std::to_string(value));
  talk.answer_number(fmt::format("The answer is {}.", value), value);
}

void price(ToolConversation& talk) {
  Draw& draw = talk.draw();
  constexpr const char* kForms[] = {"What do {t} cost?", "What is the price of {t}?",
                                    "Find the price of {t}.", "How much are {t}?"};
  const std::string things = any_thing(draw);
  const int64_t value = draw.between(2, 99);
  talk.ask("tool_price", kForms, {{"t", things}});
  talk.call(Tool::kPrice, {things}, record("item", things, "price", value));
  talk.answer_number(fmt::format("The price of {} is {}.", things, value), value);
}

void phone(ToolConversation& talk) {
  Draw& draw = talk.draw();
  constexpr const char* kForms[] = {"What is the phone number of {n}?", "How can I call {n}?",
                                    "Find the phone number of {n}.", "I want to call {n}."};
  const std::string name = any_name(draw), number = phone_number(draw);
  talk.ask("tool_phone", kForms, {{"n", name}});
  talk.call(Tool::kPhone, {name}, record("name", name, "phone", number));
  talk.answer_text(fmt::format("The phone number of {} is {}.", name, number));
}

void weather(ToolConversation& talk) {
  Draw& draw = talk.draw();
  constexpr const char* kForms[] = {"What is the weather in {c}?", "How is the weather in {c}?",
                                    "Tell me the weather in {c}.", "Does the sun shine in {c}?"};
  const std::string city = any_city(draw), sky = draw.pick(kWeathers);
  talk.ask("tool_weather", kForms, {{"c", city}});
  talk.call(Tool::kWeather, {city}, record("city", city, "weather", sky));
  talk.answer_text(fmt::format("It is {} in {}.", sky, city));
}

void event(ToolConversation& talk) {
  Draw& draw = talk.draw();
  constexpr const char* kForms[] = {"Put {e} on {d} at {h}.", "Add {e} on {d} at {h}.",
                                    "I have {e} on {d} at {h}.", "Plan {e} for {d} at {h}."};
  const std::string title = any_event(draw), day = draw.pick(kDays), time = clock_time(draw);
  talk.ask("tool_event", kForms, {{"e", title}, {"d", day}, {"h", time}});
  talk.call(Tool::kAddEvent, {title, day, time}, "ok");
  talk.answer_text(fmt::format("I added {} on {} at {}.", title, day, time));
}

void events_of_day(ToolConversation& talk) {
  Draw& draw = talk.draw();
  constexpr const char* kForms[] = {"What do I have on {d}?", "What is planned on {d}?",
                                    "Show me {d}.", "Which events are on {d}?"};
  const std::string day = draw.pick(kDays);
  std::string list;
  for (size_t i = draw.below(3); i > 0; --i) {
    const std::string time = clock_time(draw), title = any_event(draw);
    list += fmt::format("{}{} {}", list.empty() ? "" : ", ", time, title);
  }
  talk.ask("tool_day", kForms, {{"d", day}});
  talk.call(Tool::kListEvents, {day}, list.empty() ? "nothing" : list);
  talk.answer_text(list.empty() ? fmt::format("Nothing is planned on {}.", day)
                                : fmt::format("On {}: {}.", day, list));
}

void read_file(ToolConversation& talk) {
  Draw& draw = talk.draw();
  constexpr const char* kForms[] = {"What is in {f}?", "Read {f}.", "Show me {f}.",
                                    "What does {f} say?"};
  const std::string file = any_file(draw);
  const bool missing = draw.chance(25);
  const std::string text = missing ? "error: no such file" : short_text(draw);
  talk.ask("tool_read", kForms, {{"f", file}});
  talk.call(Tool::kReadFile, {file}, text);
  talk.answer_text(missing ? fmt::format("There is no file {}.", file)
                           : fmt::format("{} says: {}", file, text));
}

void write_file(ToolConversation& talk) {
  Draw& draw = talk.draw();
  constexpr const char* kForms[] = {"Write \"{x}\" to {f}.", "Save \"{x}\" in {f}.",
                                    "Put \"{x}\" into {f}.", "Store this in {f}: \"{x}\""};
  const std::string file = any_file(draw), text = short_text(draw);
  talk.ask("tool_write", kForms, {{"f", file}, {"x", text}});
  talk.call(Tool::kWriteFile, {file, text}, "ok");
  talk.answer_text(fmt::format("I saved it in {}.", file));
}

void timer(ToolConversation& talk) {
  Draw& draw = talk.draw();
  constexpr const char* kForms[] = {"Set a timer for {v} minutes.", "Ring in {v} minutes.",
                                    "Wake me in {v} minutes.",
                                    "I need {v} minutes. Start a timer."};
  const int64_t minutes = draw.between(1, 90);
  talk.ask("tool_timer", kForms, {{"v", std::to_string(minutes)}});
  talk.call(Tool::kTimer, {minutes}, "ok");
  talk.answer_text(fmt::format("The timer rings in {} minutes.", minutes));
}

// A price, then the calculator.
void cost(ToolConversation& talk) {
  Draw& draw = talk.draw();
  constexpr const char* kForms[] = {"What do {a} {t} cost?", "How much are {a} {t}?",
                                    "I buy {a} {t}. What do I pay?",
                                    "Find the price of {a} {t} in all."};
  const std::string things = any_thing(draw);
  const auto [count, each] = draw.operands_between('*', 11, 99, 2, 30);
  const std::string task = fmt::format("{} * {}", count, each);
  talk.ask("tool_cost", kForms, {{"a", std::to_string(count)}, {"t", things}});
  talk.call(Tool::kPrice, {things}, record("item", things, "price", each));
  talk.call(Tool::kCalculator, {task}, std::to_string(count * each));
  talk.answer_number(fmt::format("{} {} cost {}.", count, things, count * each), count * each);
}

// A file, then the calendar.
void file_to_calendar(ToolConversation& talk) {
  Draw& draw = talk.draw();
  constexpr const char* kForms[] = {"Put the event in {f} on my calendar.",
                                    "Read {f} and add its event.", "Plan what {f} says.",
                                    "{f} names an event. Add it."};
  const std::string file = any_file(draw), title = any_event(draw), day = draw.pick(kDays),
                    time = clock_time(draw);
  talk.ask("tool_plan", kForms, {{"f", file}});
  talk.call(Tool::kReadFile, {file}, fmt::format("{} on {} at {}", title, day, time));
  talk.call(Tool::kAddEvent, {title, day, time}, "ok");
  talk.answer_text(fmt::format("I added {} on {} at {}.", title, day, time));
}

// A number, then a file.
void phone_to_file(ToolConversation& talk) {
  Draw& draw = talk.draw();
  constexpr const char* kForms[] = {
      "Save the phone number of {n} in {f}.", "Find the phone number of {n} and write it to {f}.",
      "Put the phone number of {n} into {f}.", "Store the phone number of {n} in {f}."};
  const std::string name = any_name(draw), file = any_file(draw), number = phone_number(draw);
  talk.ask("tool_store", kForms, {{"n", name}, {"f", file}});
  talk.call(Tool::kPhone, {name}, record("name", name, "phone", number));
  talk.call(Tool::kWriteFile, {file, number}, "ok");
  talk.answer_text(fmt::format("I saved it in {}.", file));
}

// Two different ones.
std::pair<std::string, std::string> two_of(Draw& draw, std::string (*any)(Draw&)) {
  std::string first = any(draw), second = any(draw);
  while (second == first) second = any(draw);
  return {first, second};
}

void two_prices(ToolConversation& talk) {
  Draw& draw = talk.draw();
  constexpr const char* kForms[] = {
      "What do {a} and {b} cost together?", "What is the price of {a} and {b} in all?",
      "I buy {a} and {b}. What do I pay?", "How much are {a} and {b} together?"};
  const auto [first, second] = two_of(draw, any_thing);
  const auto [a, b] = draw.operands_between('+', 2, 99, 2, 99);
  talk.ask("tool_two_prices", kForms, {{"a", first}, {"b", second}});
  talk.call(fmt::format("I call {} for {} and {}.", talk.box().name(Tool::kPrice), first, second),
            {{talk.box().bare_call(Tool::kPrice, {first}), record("item", first, "price", a)},
             {talk.box().bare_call(Tool::kPrice, {second}), record("item", second, "price", b)}});
  talk.call(Tool::kCalculator, {fmt::format("{} + {}", a, b)}, std::to_string(a + b));
  talk.answer_number(fmt::format("They cost {} together.", a + b), a + b);
}

void two_phones(ToolConversation& talk) {
  Draw& draw = talk.draw();
  constexpr const char* kForms[] = {
      "I want to call {a} and {b}.", "What are the phone numbers of {a} and {b}?",
      "Find the phone numbers of {a} and {b}.", "How can I call {a} and {b}?"};
  const auto [first, second] = two_of(draw, any_name);
  const std::string a = phone_number(draw), b = phone_number(draw);
  talk.ask("tool_two_phones", kForms, {{"a", first}, {"b", second}});
  talk.call(fmt::format("I call {} for {} and {}.", talk.box().name(Tool::kPhone), first, second),
            {{talk.box().bare_call(Tool::kPhone, {first}), record("name", first, "phone", a)},
             {talk.box().bare_call(Tool::kPhone, {second}), record("name", second, "phone", b)}});
  talk.answer_text(fmt::format("{}: {}. {}: {}.", first, a, second, b));
}

void two_cities(ToolConversation& talk) {
  Draw& draw = talk.draw();
  constexpr const char* kForms[] = {
      "What is the weather in {a} and {b}?", "Tell me the weather in {a} and in {b}.",
      "How is the weather in {a} and {b}?", "Compare the weather in {a} and {b}."};
  const auto [first, second] = two_of(draw, any_city);
  const std::string a = draw.pick(kWeathers), b = draw.pick(kWeathers);
  talk.ask("tool_two_cities", kForms, {{"a", first}, {"b", second}});
  talk.call(
      fmt::format("I call {} for {} and {}.", talk.box().name(Tool::kWeather), first, second),
      {{talk.box().bare_call(Tool::kWeather, {first}), record("city", first, "weather", a)},
       {talk.box().bare_call(Tool::kWeather, {second}), record("city", second, "weather", b)}});
  talk.answer_text(fmt::format("It is {} in {} and {} in {}.", a, first, b, second));
}

// A wish for a tool that may not be there.
struct Wish {
  Tool tool;
  const char* form;
  const char* answer;
  std::string (*about)(Draw&);
};
constexpr Wish kWishes[] = {
    {Tool::kWeather, "What is the weather in {x}?", "I have no tool for the weather.", any_city},
    {Tool::kPrice, "What do {x} cost?", "I have no tool for prices.", any_thing},
    {Tool::kPhone, "What is the phone number of {x}?", "I have no tool for phone numbers.",
     any_name}};

void wish(ToolConversation& talk, size_t which) {
  constexpr const char* kBefore[] = {
      "", "Please help: ", "Hello. ", "A task: ", "Tell me: ", "Quick: ", "Now: ", "One thing: "};
  constexpr const char* kBehind[] = {"", " Thank you.", " It is important."};
  Draw& draw = talk.draw();
  const auto parts =
      draw.wording(fmt::format("tool_none{}", which), {std::size(kBefore), std::size(kBehind)});
  const Wish& wished = kWishes[which];
  talk.talk(kBefore[parts[0]] + fill(wished.form, {{"x", wished.about(draw)}}) + kBehind[parts[1]],
            "No tool fits.", wished.answer, check_of("text", wished.answer));
}

// A question that needs no tool.
void chat(ToolConversation& talk) {
  constexpr Sample (*kTalk[])(Draw&) = {greeting, fact, about_sluice, word_edit};
  const Sample sample = talk.draw().pick(kTalk)(talk.draw());
  const auto& messages = sample.messages.items();
  talk.talk(messages[0].find("content")->string(), "No tool is needed.",
            messages[1].find("content")->string(), sample.check);
}

struct Task {
  void (*run)(ToolConversation&);
  Tool needed[2];  // the same twice: one is enough
};
constexpr Task kOneCall[] = {{calculate, {Tool::kCalculator, Tool::kCalculator}},
                             {price, {Tool::kPrice, Tool::kPrice}},
                             {phone, {Tool::kPhone, Tool::kPhone}},
                             {weather, {Tool::kWeather, Tool::kWeather}},
                             {event, {Tool::kAddEvent, Tool::kAddEvent}},
                             {events_of_day, {Tool::kListEvents, Tool::kListEvents}},
                             {read_file, {Tool::kReadFile, Tool::kReadFile}},
                             {write_file, {Tool::kWriteFile, Tool::kWriteFile}},
                             {timer, {Tool::kTimer, Tool::kTimer}}};
constexpr Task kInARow[] = {{cost, {Tool::kPrice, Tool::kCalculator}},
                            {file_to_calendar, {Tool::kReadFile, Tool::kAddEvent}},
                            {phone_to_file, {Tool::kPhone, Tool::kWriteFile}}};
constexpr Task kParallel[] = {{two_prices, {Tool::kPrice, Tool::kCalculator}},
                              {two_phones, {Tool::kPhone, Tool::kPhone}},
                              {two_cities, {Tool::kWeather, Tool::kWeather}}};

// In training most conversations go on: the definitions are long and teach nothing by themselves,
// so that several questions under them give several times the labels. A held-out item is a
// conversation of one task, as most requests are.
Sample conversation(Draw& draw, std::span<const Task> own) {
  constexpr size_t kMostTools = 4;
  constexpr std::span<const Task> kOthers[] = {kOneCall, kOneCall, kOneCall, kInARow, kParallel};
  std::vector<Tool> needed;
  const auto add = [&](const Task& task) {
    std::vector<Tool> together = needed;
    for (const Tool tool : task.needed) {
      if (std::find(together.begin(), together.end(), tool) == together.end())
        together.push_back(tool);
    }
    if (together.size() > kMostTools) return false;
    needed = std::move(together);
    return true;
  };
  std::vector<void (*)(ToolConversation&)> plan;
  const Task& first = draw.pick(own);
  add(first);
  plan.push_back(first.run);
  if (draw.split() == Split::kTrain && draw.chance(75)) {
    for (int64_t i = draw.between(1, 4); i > 0; --i) {
      if (draw.chance(12)) {
        plan.push_back(chat);
      } else if (const Task& next = draw.pick(draw.pick(kOthers)); add(next)) {
        plan.push_back(next.run);
      }
    }
    for (size_t i = plan.size(); i > 1; --i) std::swap(plan[i - 1], plan[draw.below(i)]);
  }
  ToolConversation talk(draw, Toolbox(draw, needed, needed.size() > 2 ? 1 : 2));
  for (const auto run : plan) run(talk);
  if (draw.split() == Split::kTrain && plan.size() > 1 && draw.chance(25)) {
    const size_t which = draw.below(std::size(kWishes));
    if (!talk.box().offers(kWishes[which].tool)) wish(talk, which);
  }
  return talk.finish();
}

}  // namespace

Sample one_call(Draw& draw) { return conversation(draw, kOneCall); }
Sample calls_in_a_row(Draw& draw) { return conversation(draw, kInARow); }
Sample parallel_calls(Draw& draw) { return conversation(draw, kParallel); }

// Every question needs tools of its own: a name that has been called before would be copied from
// that call, and the step to learn is the one from the purpose to the name in the list.
Sample made_up_tools(Draw& draw) {
  constexpr size_t kMostTools = 4;
  constexpr std::span<const Task> kForms[] = {kOneCall, kOneCall, kOneCall, kInARow, kParallel};
  const auto wanted =
      static_cast<size_t>(draw.split() == Split::kTrain ? draw.between(1, kMostTools) : 1);
  std::vector<Tool> needed;
  std::vector<void (*)(ToolConversation&)> plan;
  const auto is_needed = [&](Tool tool) {
    return std::find(needed.begin(), needed.end(), tool) != needed.end();
  };
  while (needed.size() < wanted) {
    const Task& task = draw.pick(draw.pick(kForms));
    const bool two = task.needed[0] != task.needed[1];
    if (needed.size() + (two ? 2 : 1) > kMostTools) continue;
    if (is_needed(task.needed[0]) || is_needed(task.needed[1])) continue;
    needed.push_back(task.needed[0]);
    if (two) needed.push_back(task.needed[1]);
    plan.push_back(task.run);
  }
  if (draw.split() == Split::kTrain && draw.chance(8)) plan.push_back(chat);
  const size_t others = std::min<size_t>(kMostTools - needed.size(), 2);
  ToolConversation talk(draw, Toolbox(draw, needed, others, {}, Names::kMadeUp));
  for (const auto run : plan) run(talk);
  if (draw.split() == Split::kTrain && draw.chance(12)) {
    const size_t which = draw.below(std::size(kWishes));
    if (!talk.box().offers(kWishes[which].tool)) wish(talk, which);
  }
  return talk.finish();
}

Sample no_call(Draw& draw) {
  const size_t which = draw.below(std::size(kWishes));
  const bool wishes = draw.chance(35);
  ToolConversation talk(draw, wishes ? Toolbox(draw, {Tool::kTimer}, 2, {kWishes[which].tool})
                                     : Toolbox(draw, {static_cast<Tool>(draw.below(kTools))}, 2));
  if (wishes) {
    wish(talk, which);
  } else {
    chat(talk);
  }
  return talk.finish();
}

}  // namespace sluice::tools::corpus
