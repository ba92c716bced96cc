#include "chat/prompt_turns.h"

#include <algorithm>

namespace sluice::chat {
namespace {

using tokenizer::TokenId;

// [begin, end) from the turn's start to behind its end.
struct Turn {
  size_t begin = 0, end = 0;
  bool closed = false;
};

bool begins_turn_of_assistant(TokenSpan tokens, const TurnMarkers& markers) {
  const auto role = tokens.subspan(1);
  return !markers.assistant.empty() && role.size() >= markers.assistant.size() &&
         std::equal(markers.assistant.begin(), markers.assistant.end(), role.begin());
}

std::vector<Turn> assistant_turns(TokenSpan prompt, const TurnMarkers& markers) {
  std::vector<Turn> turns;
  for (size_t at = 0; at < prompt.size(); ++at) {
    if (prompt[at] != *markers.start || !begins_turn_of_assistant(prompt.subspan(at), markers))
      continue;
    const auto begin = prompt.begin() + static_cast<ptrdiff_t>(at);
    const auto stop = std::find_if(begin + 1, prompt.end(), [&](TokenId id) {
      return id == *markers.start || id == *markers.end;
    });
    const bool closed = stop != prompt.end() && *stop == *markers.end;
    turns.push_back({at, static_cast<size_t>(stop - prompt.begin()) + (closed ? 1 : 0), closed});
    at = turns.back().end - 1;
  }
  return turns;
}

std::vector<const Json*> assistant_messages(const Json& messages) {
  std::vector<const Json*> found;
  if (!messages.is_array()) return found;
  for (const Json& message : messages.items()) {
    const Json* role = message.find("role");
    if (role != nullptr && role->is_string() && role->string() == "assistant")
      found.push_back(&message);
  }
  return found;
}

bool contains(TokenSpan tokens, std::optional<TokenId> id) {
  return id && std::find(tokens.begin(), tokens.end(), *id) != tokens.end();
}

}  // namespace

TurnMarkers TurnMarkers::of(const tokenizer::Tokenizer& tokenizer) {
  TurnMarkers markers;
  markers.start = tokenizer.find_added("<|im_start|>");
  markers.end = tokenizer.find_added("<|im_end|>");
  markers.result_end = tokenizer.find_added("</tool_response>");
  markers.thought = tokenizer.find_added("<think>");
  if (auto role = tokenizer.encode("assistant"); role.ok()) markers.assistant = std::move(*role);
  return markers;
}

std::vector<int64_t> message_borders(TokenSpan prompt, const TurnMarkers& markers) {
  std::vector<int64_t> borders;
  for (size_t i = 0; i < prompt.size(); ++i) {
    if (prompt[i] == markers.end || prompt[i] == markers.result_end)
      borders.push_back(static_cast<int64_t>(i) + 1);
  }
  return borders;
}

OpenTurn open_turn(TokenSpan prompt, const TurnMarkers& markers) {
  if (!markers.start || !markers.end) return {};
  const auto turns = assistant_turns(prompt, markers);
  if (turns.empty() || turns.back().closed || turns.back().end != prompt.size()) return {};
  const TokenSpan turn = prompt.subspan(turns.back().begin);
  return {{turn.begin(), turn.end()}, turn_place(prompt.first(turns.back().begin))};
}

std::vector<TokenId> replay_turns(std::vector<TokenId> prompt, const Json& messages,
                                  bool last_is_open, std::string_view scope, TurnMemory& memory,
                                  const TurnMarkers& markers) {
  if (!markers.start || !markers.end) return prompt;
  std::vector<Turn> turns = assistant_turns(prompt, markers);
  const auto shown = assistant_messages(messages);
  std::erase_if(turns, [](const Turn& turn) { return !turn.closed; });
  if (turns.size() + (last_is_open ? 1 : 0) != shown.size()) return prompt;
  std::vector<TokenId> replayed;
  TurnPlaceOf place;
  size_t copied = 0, placed = 0;
  const auto copy_up_to = [&](size_t end) {
    replayed.insert(replayed.end(), prompt.begin() + static_cast<ptrdiff_t>(copied),
                    prompt.begin() + static_cast<ptrdiff_t>(end));
    copied = end;
  };
  for (size_t i = 0; i < turns.size(); ++i) {
    copy_up_to(turns[i].begin);
    place.add(TokenSpan(replayed).subspan(placed));
    placed = replayed.size();
    const auto sampled = memory.find(scope, place.value(), *shown[i]);
    if (!sampled || sampled->empty() || sampled->back() != *markers.end) continue;
    const TokenSpan rendered =
        TokenSpan(prompt).subspan(turns[i].begin, turns[i].end - turns[i].begin);
    if (contains(*sampled, markers.thought) && !contains(rendered, markers.thought)) continue;
    replayed.insert(replayed.end(), sampled->begin(), sampled->end());
    copied = turns[i].end;
  }
  copy_up_to(prompt.size());
  return replayed;
}

}  // namespace sluice::chat
