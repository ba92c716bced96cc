#include "chat/turn_memory.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "chat/calls/markup.h"

namespace sluice::chat {
namespace {

// Numbers by value: JavaScript writes 1.0 as 1, and 1e2 as 100.
Json canonical_number(const Json& number) {
  if (number.as_int64()) return Json(*number.as_int64());
  const double value = *number.as_double();
  if (std::fabs(value) < 9007199254740992.0 && value == std::floor(value))
    return Json(static_cast<int64_t>(value));
  if (number.is_integer() || !std::isfinite(value)) return number;  // too large to compare by value
  return Json(value);
}

Json canonical(const Json& value) {
  if (value.is_number()) return canonical_number(value);
  if (value.is_array()) {
    Json::Array items;
    for (const Json& item : value.items()) items.push_back(canonical(item));
    return Json(std::move(items));
  }
  if (!value.is_object()) return value;
  Json::Object members;
  for (const auto& [key, member] : value.members()) members.emplace_back(key, canonical(member));
  std::sort(members.begin(), members.end(),
            [](const Json::Member& a, const Json::Member& b) { return a.first < b.first; });
  return Json(std::move(members));
}

std::string text_of(const Json* content) {
  if (!content) return {};
  if (content->is_string()) return std::string(trim_gaps(content->string()));
  std::string text;
  if (content->is_array()) {
    for (const Json& part : content->items()) {
      if (const Json* piece = part.find("text"); piece && piece->is_string())
        text += piece->string();
    }
  }
  return std::string(trim_gaps(text));
}

std::string reasoning_of(const Json& message) {
  std::string reasoning = text_of(message.find("reasoning_content"));
  return reasoning.empty() ? text_of(message.find("reasoning")) : reasoning;
}

// Arguments come as an object or as its JSON text.
Json arguments_of(const Json& function) {
  const Json* arguments = function.find("arguments");
  if (!arguments) return Json::object();
  if (!arguments->is_string()) return canonical(*arguments);
  if (trim_gaps(arguments->string()).empty()) return Json::object();
  const auto parsed = parse_json(arguments->string());
  return parsed.ok() ? canonical(*parsed) : *arguments;
}

}  // namespace

std::string visible_form(const Json& message) {
  Json form = Json::array();
  form.push_back(text_of(message.find("content")));
  const Json* calls = message.find("tool_calls");
  if (calls && calls->is_array()) {
    for (const Json& call : calls->items()) {
      const Json* function = call.find("function");
      if (!function) function = &call;
      const Json* name = function->find("name");
      form.push_back(name ? *name : Json());
      form.push_back(arguments_of(*function));
    }
  }
  return form.dump();
}

void TurnPlaceOf::add(std::span<const tokenizer::TokenId> tokens) {
  // Each token goes through the finalizer of SplitMix64, which spreads every bit over all.
  for (const tokenizer::TokenId token : tokens) {
    uint64_t mixed = value_ + static_cast<uint32_t>(token) + 0x9E3779B97F4A7C15u;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
    value_ = mixed ^ (mixed >> 31);
  }
}

TurnPlace turn_place(std::span<const tokenizer::TokenId> before) {
  TurnPlaceOf place;
  place.add(before);
  return place.value();
}

size_t KeptTurn::bytes() const {
  return sizeof(KeptTurn) + 2 * key.size() + reasoning.size() + tokens.size() * sizeof tokens[0];
}

TurnMemory::TurnMemory(size_t budget_bytes) : budget_bytes_(budget_bytes) {}

void TurnMemory::tell(std::function<void(const KeptTurn&)> listener) {
  const std::lock_guard lock(mutex_);
  listener_ = std::move(listener);
}

void TurnMemory::remember(std::string_view scope, TurnPlace place, const Json& message,
                          std::vector<tokenizer::TokenId> tokens) {
  // A line break cannot stand in the form, so that scopes do not mix with it.
  KeptTurn turn{std::string(scope) + '\n' + visible_form(message), reasoning_of(message), place,
                std::move(tokens)};
  const std::lock_guard lock(mutex_);
  if (listener_) listener_(turn);
  keep(std::move(turn));
}

void TurnMemory::restore(KeptTurn turn) {
  const std::lock_guard lock(mutex_);
  keep(std::move(turn));
}

void TurnMemory::keep(KeptTurn turn) {
  bytes_ += turn.bytes();
  turns_.push_front(std::move(turn));
  by_key_.emplace(turns_.front().key, turns_.begin());
  while (bytes_ > budget_bytes_) {
    const auto oldest = std::prev(turns_.end());
    const auto [first, last] = by_key_.equal_range(oldest->key);
    by_key_.erase(
        std::find_if(first, last, [&](const auto& entry) { return entry.second == oldest; }));
    bytes_ -= oldest->bytes();
    turns_.erase(oldest);
  }
}

std::optional<std::vector<tokenizer::TokenId>> TurnMemory::find(std::string_view scope,
                                                                TurnPlace place,
                                                                const Json& message) {
  const std::string key = std::string(scope) + '\n' + visible_form(message);
  const std::string reasoning = reasoning_of(message);
  const std::lock_guard lock(mutex_);
  const auto [first, last] = by_key_.equal_range(key);
  std::optional<Turns::iterator> found;
  // Entries of one key stand in the order in which they came.
  for (auto entry = last; entry != first;) {
    --entry;
    if (!reasoning.empty() && entry->second->reasoning != reasoning) continue;
    const bool here = entry->second->place == place;
    if (here || !found) found = entry->second;
    if (here) break;
  }
  if (!found) return std::nullopt;
  turns_.splice(turns_.begin(), turns_, *found);
  return (*found)->tokens;
}

size_t TurnMemory::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace sluice::chat
