#include "chat/grammar/automaton.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "base/check.h"
#include "chat/grammar/nondeterministic.h"

namespace sluice::chat::grammar {
namespace {

using StateSet = std::vector<int32_t>;  // sorted

Error too_large(const char* what, size_t limit) {
  return usage_error({}, fmt::format("the grammar needs more than {} {}", limit, what),
                     "use fewer or smaller repetitions (minItems, maxLength, ...)");
}

// The subset construction, rule by rule; a call is a symbol like a byte.
class Determiniser {
 public:
  Determiniser(const Nondeterministic& machine, size_t max_states, Automaton& out)
      : machine_(machine), max_states_(max_states), out_(out) {}

  bool add_rule(Rule rule) {
    known_.clear();
    const auto& [start, end] = machine_.rules()[static_cast<size_t>(rule)];
    end_ = end;
    const size_t first = out_.states.size();
    out_.rules[static_cast<size_t>(rule)].start = state_of(machine_.closure({start}));
    for (size_t at = first; at < out_.states.size(); ++at) {
      if (out_.states.size() > max_states_) return false;
      expand(at);
    }
    return true;
  }

 private:
  int32_t state_of(StateSet set) {
    const auto [place, inserted] =
        known_.emplace(std::move(set), static_cast<int32_t>(out_.states.size()));
    if (inserted) {
      sets_.resize(out_.states.size() + 1);
      sets_.back() = &place->first;
      Automaton::State& state = out_.states.emplace_back();
      state.accepting = std::binary_search(place->first.begin(), place->first.end(), end_);
    }
    return place->second;
  }

  void expand(size_t at) {
    std::map<Rule, StateSet> calls;
    std::vector<const Nondeterministic::Edge*> edges;
    for (const int32_t node : *sets_[at]) {
      for (const auto& edge : machine_.node(node).edges) {
        if (edge.rule >= 0) {
          calls[edge.rule].push_back(edge.target);
        } else {
          edges.push_back(&edge);
        }
      }
    }
    for (auto& [rule, targets] : calls) {
      const int32_t target = state_of(machine_.closure(std::move(targets)));
      out_.states[at].calls.push_back({rule, target});
    }
    StateSet targets, previous;
    for (size_t byte = 0; byte < 256; ++byte) {
      targets.clear();
      for (const auto* edge : edges) {
        if (edge->bytes.test(byte)) targets.push_back(edge->target);
      }
      if (targets.empty()) continue;
      const auto value = static_cast<uint8_t>(byte);
      std::vector<Automaton::Move>& moves = out_.states[at].moves;
      if (!moves.empty() && moves.back().last + 1 == value && targets == previous) {
        moves.back().last = value;
        continue;
      }
      const int32_t target = state_of(machine_.closure(targets));
      out_.states[at].moves.push_back({value, value, target});
      previous = targets;
    }
  }

  const Nondeterministic& machine_;
  const size_t max_states_;
  Automaton& out_;
  int32_t end_ = 0;
  std::map<StateSet, int32_t> known_;
  std::vector<const StateSet*> sets_;  // of the states of the present rule
};

// Drops what cannot lead to an end, so that no mask ever leads into a dead end.
void trim(Automaton& automaton) {
  std::vector<bool> alive(automaton.states.size(), false);
  const auto leads_on = [&](const Automaton::Call& call) {
    const int32_t start = automaton.rules[static_cast<size_t>(call.rule)].start;
    return alive[static_cast<size_t>(start)] && alive[static_cast<size_t>(call.target)];
  };
  const auto to_living = [&](const Automaton::Move& move) {
    return static_cast<bool>(alive[static_cast<size_t>(move.target)]);
  };
  for (bool changed = true; std::exchange(changed, false);) {
    for (size_t i = automaton.states.size(); i-- > 0;) {
      const Automaton::State& state = automaton.states[i];
      if (alive[i]) continue;
      alive[i] = state.accepting ||
                 std::any_of(state.moves.begin(), state.moves.end(), to_living) ||
                 std::any_of(state.calls.begin(), state.calls.end(), leads_on);
      changed = changed || alive[i];
    }
  }
  for (Automaton::State& state : automaton.states) {
    std::erase_if(state.moves, [&](const auto& move) { return !to_living(move); });
    std::erase_if(state.calls, [&](const auto& call) { return !leads_on(call); });
  }
}

// First bytes of each rule, callees first. False if a rule begins with itself.
class FirstBytes {
 public:
  explicit FirstBytes(Automaton& automaton)
      : automaton_(automaton), progress_(automaton.rules.size(), Progress::kNew) {}

  bool visit(Rule rule) {
    Progress& progress = progress_[static_cast<size_t>(rule)];
    if (progress == Progress::kOpen) return false;
    if (progress == Progress::kDone) return true;
    progress = Progress::kOpen;
    Automaton::RuleEntry& entry = automaton_.rules[static_cast<size_t>(rule)];
    const Automaton::State& start = automaton_.states[static_cast<size_t>(entry.start)];
    entry.first = of_moves(start);
    for (const auto& call : start.calls) {
      if (!visit(call.rule)) return false;
      entry.first |= automaton_.rules[static_cast<size_t>(call.rule)].first;
    }
    progress = Progress::kDone;
    return true;
  }

  // Once all rules are visited.
  void fill_states() {
    for (Automaton::State& state : automaton_.states) {
      state.next = of_moves(state);
      for (const auto& call : state.calls)
        state.next |= automaton_.rules[static_cast<size_t>(call.rule)].first;
    }
  }

 private:
  enum class Progress { kNew, kOpen, kDone };

  static ByteSet of_moves(const Automaton::State& state) {
    ByteSet bytes;
    for (const auto& move : state.moves) {
      for (int byte = move.first; byte <= move.last; ++byte) bytes.set(static_cast<size_t>(byte));
    }
    return bytes;
  }

  Automaton& automaton_;
  std::vector<Progress> progress_;
};

// The state to which every plain character leads, or -1.
int32_t plain_target(const Automaton& automaton, int32_t state) {
  const int32_t target = automaton.next(state, 'a');
  if (target < 0) return -1;
  for (int byte = 0x20; byte < 0x7F; ++byte) {
    if (byte == '"' || byte == '\\') continue;
    if (automaton.next(state, static_cast<uint8_t>(byte)) != target) return -1;
  }
  // Characters are built of byte ranges, so that the corners of a first byte's range speak for it.
  const auto all_lead_there = [&](int32_t from, int low, int high, int more) {
    for (const int second : {low, high}) {
      int32_t at = automaton.next(from, static_cast<uint8_t>(second));
      for (int i = 0; i < more && at >= 0; ++i) {
        const int32_t other = automaton.next(at, 0xBF);
        at = automaton.next(at, 0x80);
        if (at != other) return false;
      }
      if (at != target) return false;
    }
    return true;
  };
  for (int lead = 0xC2; lead <= 0xF4; ++lead) {
    const int32_t from = automaton.next(state, static_cast<uint8_t>(lead));
    const int low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const int high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (from < 0 || !all_lead_there(from, low, high, lead < 0xE0 ? 0 : lead < 0xF0 ? 1 : 2))
      return -1;
  }
  return target;
}

void find_plain_capacities(Automaton& automaton) {
  std::vector<int32_t> targets(automaton.states.size());
  for (size_t i = 0; i < targets.size(); ++i)
    targets[i] = plain_target(automaton, static_cast<int32_t>(i));
  for (size_t i = 0; i < targets.size(); ++i) {
    // Longer than any token is as good as without end; a cycle is without end.
    constexpr int32_t kLong = 1024;
    int32_t capacity = 0;
    for (int32_t at = targets[i]; at >= 0 && capacity < kLong;
         at = targets[static_cast<size_t>(at)])
      ++capacity;
    automaton.states[i].plain_capacity = capacity == kLong ? Automaton::kUnlimited : capacity;
  }
}

}  // namespace

Result<Automaton> build_automaton(const Expressions& grammar, Rule root,
                                  const AutomatonLimits& limits) {
  Nondeterministic machine(grammar, limits.nodes);
  if (!machine.complete()) return too_large("nodes", limits.nodes);
  Automaton automaton;
  automaton.root = root;
  automaton.rules.resize(grammar.rules().size());
  Determiniser determiniser(machine, limits.states, automaton);
  for (size_t rule = 0; rule < automaton.rules.size(); ++rule) {
    if (!determiniser.add_rule(static_cast<Rule>(rule))) return too_large("states", limits.states);
    const int32_t start = automaton.rules[rule].start;
    SLUICE_CHECK(!automaton.states[static_cast<size_t>(start)].accepting,
                 "rule {} matches the empty text", rule);
  }
  trim(automaton);
  const auto& start =
      automaton.states[static_cast<size_t>(automaton.rules[static_cast<size_t>(root)].start)];
  if (start.moves.empty() && start.calls.empty())
    return usage_error({}, "no finite text matches", "give every recursion a way to end");
  FirstBytes first(automaton);
  for (size_t rule = 0; rule < automaton.rules.size(); ++rule) {
    if (!first.visit(static_cast<Rule>(rule)))
      return usage_error({}, "a definition refers to itself without anything in between",
                         "put the reference inside a property or an item");
  }
  first.fill_states();
  find_plain_capacities(automaton);
  return automaton;
}

}  // namespace sluice::chat::grammar
