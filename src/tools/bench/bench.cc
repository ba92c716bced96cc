#include "tools/bench/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "base/check.h"
#include "base/memory.h"
#include "tools/bench/peer.h"

namespace sluice::tools {
namespace {

using Clock = std::chrono::steady_clock;

// Tokens behind which rows and drafts are compared: few, so that weights and states dominate, as
// they do in most of a conversation.
constexpr int64_t kShortContext = 128;

const char* count_word(int64_t count, const char* one, const char* many) {
  return count == 1 ? one : many;
}

// A figure that is being measured.
struct Cell {
  Figure figure;
  Lane* lane = nullptr;
  double visit_seconds = 0;  // what its last repetition took, all told
  bool skipped = false;      // a repetition was left out for time
  std::vector<double> seconds, tokens, floors, fp32_shares;  // by repetition
};

class Sweep {
 public:
  Sweep(const BenchModel& model, const BenchOptions& options)
      : model_(model),
        options_(options),
        counts_(count_model(model.binding, model.backend, options.kv)) {}

  Result<BenchResult> run();

 private:
  struct Shapes {
    std::optional<runtime::EngineShape> prompts, rows, contexts;
    std::vector<runtime::EngineShape> drafts;  // one for each number
  };

  Status measure_memory();
  void plan_cells();
  Shapes shapes() const;
  uint64_t bytes_of(const Shapes& shapes) const;
  Status make_room();
  Status create_lanes();
  Status round(int64_t number);
  Status visit(Cell& cell);
  Status prepare(Cell& cell);
  Status time_operations();
  Status run_against();
  void summarize(Cell& cell);
  void summarize_machine();
  void compare_with_peer();

  bool has(Figure::Kind kind) const {
    return std::any_of(cells_.begin(), cells_.end(),
                       [&](const Cell& cell) { return cell.figure.kind == kind; });
  }
  std::vector<int64_t> values_of(Figure::Kind kind) const;
  double elapsed() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  void progress(const std::string& text) const {
    if (options_.progress) options_.progress(text);
  }
  Result<std::unique_ptr<Lane>> make_lane(const runtime::EngineShape& shape) {
    return Lane::create(model_.model, shape, options_.interrupted);
  }
  ops::ActivationMode mode() const { return model_.backend.info().activations; }

  const BenchModel& model_;
  const BenchOptions& options_;
  const ModelCounts counts_;
  const Clock::time_point start_ = Clock::now();
  std::unique_ptr<MachineFloor> floor_;
  std::vector<MachineSpeed> samples_;
  std::vector<Cell> cells_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  double reserved_ = 0;  // seconds for what follows the rounds
  std::vector<double> peer_seconds_, peer_prompt_, peer_decode_;
  BenchResult result_;
};

// The engine as `generate` would make it, once, before anything else takes memory.
Status Sweep::measure_memory() {
  progress("memory");
  SLUICE_ASSIGN(const auto lane, make_lane(model_.shape));
  const int64_t length = model_.shape.context - 1;
  SLUICE_TRY(lane->read_prompt(length));
  result_.memory_tokens = length;
  result_.planned_memory = model_.planned_memory;
  result_.peak_memory = model_.peak_memory();
  return {};
}

void Sweep::plan_cells() {
  const int64_t most = model_.binding.config.context;
  const auto add = [&](Figure::Kind kind, int64_t rows, int64_t drafts, int64_t context,
                       int64_t draft_head = 0) {
    Cell cell;
    cell.figure.kind = kind;
    cell.figure.rows = rows;
    cell.figure.drafts = drafts;
    cell.figure.draft_head = draft_head;
    cell.figure.context = context;
    const int64_t needed = kind == Figure::Kind::kPrompt
                               ? context + 1
                               : Lane::answer_shape(model_.binding, options_.kv, rows, context,
                                                    options_.steps, static_cast<int>(drafts), 1)
                                     .context;
    if (needed > most) {
      result_.left_out.push_back(
          fmt::format("{}: the model was made for {} tokens", cell.figure.name(), most));
    } else {
      cells_.push_back(std::move(cell));
    }
  };
  for (const int64_t prompt : options_.prompts) add(Figure::Kind::kPrompt, 1, 0, prompt);
  for (const int64_t rows : options_.rows) add(Figure::Kind::kRows, rows, 0, kShortContext);
  for (const int64_t drafts : options_.drafts) {
    if (model_.model.mtp() != nullptr) {
      for (const int64_t head : options_.draft_heads)
        add(Figure::Kind::kDrafts, 1, drafts, kShortContext, head);
    } else {
      result_.left_out.push_back(fmt::format("{} {}: the model has no usable draft head", drafts,
                                             count_word(drafts, "draft", "drafts")));
    }
  }
  // On the grid, where the prefix cache keeps states.
  for (const int64_t context : options_.contexts)
    add(Figure::Kind::kContext, 1, 0, std::max<int64_t>(context / ops::kGrid, 1) * ops::kGrid);
}

std::vector<int64_t> Sweep::values_of(Figure::Kind kind) const {
  std::vector<int64_t> values;
  for (const Cell& cell : cells_) {
    const Figure& figure = cell.figure;
    if (figure.kind != kind) continue;
    values.push_back(kind == Figure::Kind::kRows     ? figure.rows
                     : kind == Figure::Kind::kDrafts ? figure.drafts
                                                     : figure.context);
  }
  return values;
}

Sweep::Shapes Sweep::shapes() const {
  Shapes shapes;
  const auto answers = [&](int64_t rows, int64_t context, int64_t drafts, size_t states) {
    return Lane::answer_shape(model_.binding, options_.kv, rows, context, options_.steps,
                              static_cast<int>(drafts), static_cast<int64_t>(states));
  };
  if (const auto prompts = values_of(Figure::Kind::kPrompt); !prompts.empty())
    shapes.prompts = prompt_shape(prompts, options_.kv);
  if (const auto rows = values_of(Figure::Kind::kRows); !rows.empty())
    shapes.rows = answers(*std::max_element(rows.begin(), rows.end()), kShortContext, 0, 2);
  for (const Cell& cell : cells_) {
    if (cell.figure.kind != Figure::Kind::kDrafts) continue;
    shapes.drafts.push_back(answers(1, kShortContext, cell.figure.drafts, 2));
    shapes.drafts.back().draft_rows = cell.figure.draft_head;
  }
  if (const auto contexts = values_of(Figure::Kind::kContext); !contexts.empty()) {
    // A rung of the cache's own ladder may be kept beside each. Pages of a second answer, which
    // there never is, keep the contexts while the first has all of its own set apart.
    shapes.contexts =
        answers(2, *std::max_element(contexts.begin(), contexts.end()), 0, 2 * contexts.size() + 1);
  }
  return shapes;
}

// Beside the weights.
uint64_t Sweep::bytes_of(const Shapes& shapes) const {
  const auto weights = model::TextModel::weight_bytes(model_.binding, model_.backend, true);
  uint64_t bytes = 0;
  const auto add = [&](const runtime::EngineShape& shape) {
    const auto plan = runtime::plan_memory(model_.binding, model_.backend, shape, 0);
    bytes += plan.total() - plan.weights - (shape.draft_depth > 0 ? weights.mtp : 0);
  };
  if (shapes.prompts) add(*shapes.prompts);
  if (shapes.rows) add(*shapes.rows);
  if (shapes.contexts) add(*shapes.contexts);
  for (const runtime::EngineShape& shape : shapes.drafts) add(shape);
  return bytes;
}

// Leaves out the longest contexts, then the largest numbers of rows, until all lanes fit.
Status Sweep::make_room() {
  const uint64_t available = available_memory();
  while (bytes_of(shapes()) > available) {
    const auto kind = has(Figure::Kind::kContext) ? Figure::Kind::kContext : Figure::Kind::kRows;
    const auto values = values_of(kind);
    if (values.empty()) break;
    const int64_t largest = *std::max_element(values.begin(), values.end());
    const auto found = std::find_if(cells_.begin(), cells_.end(), [&](const Cell& cell) {
      return cell.figure.kind == kind &&
             (kind == Figure::Kind::kContext ? cell.figure.context : cell.figure.rows) == largest;
    });
    result_.left_out.push_back(
        fmt::format("{}: all sizes together need {}, and {} are available", found->figure.name(),
                    runtime::format_bytes(bytes_of(shapes())), runtime::format_bytes(available)));
    cells_.erase(found);
  }
  if (cells_.empty())
    return usage_error("bench", "nothing is left to measure",
                       result_.left_out.empty() ? "Give --prompt, --rows, --drafts or --context"
                                                : result_.left_out.front());
  return {};
}

Status Sweep::create_lanes() {
  const Shapes wanted = shapes();
  const auto create = [&](const runtime::EngineShape& shape, auto belongs) -> Status {
    SLUICE_ASSIGN(auto lane, make_lane(shape));
    for (Cell& cell : cells_) {
      if (belongs(cell.figure)) cell.lane = lane.get();
    }
    lanes_.push_back(std::move(lane));
    return {};
  };
  const auto of_kind = [](Figure::Kind kind) {
    return [kind](const Figure& figure) { return figure.kind == kind; };
  };
  if (wanted.prompts) SLUICE_TRY(create(*wanted.prompts, of_kind(Figure::Kind::kPrompt)));
  if (wanted.rows) SLUICE_TRY(create(*wanted.rows, of_kind(Figure::Kind::kRows)));
  for (const runtime::EngineShape& shape : wanted.drafts) {
    SLUICE_TRY(create(shape, [&](const Figure& figure) {
      return figure.kind == Figure::Kind::kDrafts && figure.drafts == shape.draft_depth &&
             figure.draft_head == shape.draft_rows;
    }));
  }
  if (wanted.contexts) SLUICE_TRY(create(*wanted.contexts, of_kind(Figure::Kind::kContext)));
  return {};
}

// Makes what an answer stands behind, if there is time; otherwise the cell has no lane any more.
// Rows and drafts stand behind a text that was read; longer contexts are skimmed, because reading
// one of 32K tokens takes a small machine half an hour, and a step's time depends on their length
// alone.
Status Sweep::prepare(Cell& cell) {
  const Figure& figure = cell.figure;
  if (elapsed() >= options_.seconds) {
    result_.left_out.push_back(
        fmt::format("{}: the {:.0f} s of --time were over", figure.name(), options_.seconds));
    cell.lane = nullptr;
    return {};
  }
  if (figure.kind == Figure::Kind::kPrompt || cell.lane->knows(figure.context)) return {};
  model_.backend.skim(figure.kind == Figure::Kind::kContext);
  const Status read = cell.lane->read_context(figure.context);
  model_.backend.skim(false);
  return read;
}

Status Sweep::visit(Cell& cell) {
  Figure& figure = cell.figure;
  const Clock::time_point begin = Clock::now();
  const MachineSpeed before = floor_->measure();
  double seconds = 0, tokens = 0;
  if (figure.kind == Figure::Kind::kPrompt) {
    SLUICE_ASSIGN(seconds, cell.lane->read_prompt(figure.context));
    tokens = static_cast<double>(figure.context);
    figure.cost = prompt_cost(counts_, figure.context, runtime::EngineShape().prompt_rows);
  } else {
    SLUICE_ASSIGN(const Lane::Decoded decoded,
                  cell.lane->decode(figure.rows, figure.context, options_.steps));
    const auto steps = static_cast<double>(decoded.steps);
    seconds = decoded.seconds / steps;
    tokens = static_cast<double>(decoded.tokens) / steps;
    const double head = figure.draft_head == 0
                            ? 1.0
                            : static_cast<double>(figure.draft_head) /
                                  static_cast<double>(model_.binding.config.vocabulary);
    figure.cost =
        answer_cost(counts_, figure.rows, figure.drafts, figure.context, std::min(head, 1.0));
    figure.proposed.resize(decoded.proposed.size());
    figure.accepted.resize(decoded.accepted.size());
    for (size_t i = 0; i < decoded.proposed.size(); ++i) {
      figure.proposed[i] += decoded.proposed[i];
      figure.accepted[i] += decoded.accepted[i];
    }
  }
  const MachineSpeed after = floor_->measure();
  samples_.insert(samples_.end(), {before, after});
  const double products = static_cast<double>(figure.cost.integer + figure.cost.floating);
  const double peak = (before.fp32 + after.fp32) / 2;
  cell.seconds.push_back(seconds);
  cell.tokens.push_back(tokens);
  cell.floors.push_back(
      (floor_seconds(figure.cost, before, mode()) + floor_seconds(figure.cost, after, mode())) / 2);
  cell.fp32_shares.push_back(products / seconds / peak);
  cell.visit_seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return {};
}

Status Sweep::round(int64_t number) {
  bool visited = false;
  for (Cell& cell : cells_) {
    if (cell.lane == nullptr) continue;
    progress(fmt::format("{} of {}: {}", number + 1, options_.repeat, cell.figure.name()));
    if (number == 0) {
      SLUICE_TRY(prepare(cell));
      if (cell.lane == nullptr) continue;
    } else if (elapsed() + cell.visit_seconds + reserved_ > options_.seconds) {
      cell.skipped = true;
      continue;
    }
    SLUICE_TRY(visit(cell));
    visited = true;
  }
  return visited ? run_against() : Status();
}

Status Sweep::run_against() {
  if (!options_.peer) return {};
  const PeerOptions& peer = *options_.peer;
  progress("peer: " + peer.words.front());
  SLUICE_ASSIGN(const PeerRun run, run_peer(peer.words, peer.timeout_seconds));
  if (run.timed_out)
    return failed(peer.words.front(), fmt::format("still ran after {:.0f} s", peer.timeout_seconds),
                  "Raise --against-timeout");
  if (run.exit_status != 0) {
    const size_t last = run.output.find_last_not_of('\n');
    const std::string text = run.output.substr(0, last == std::string::npos ? 0 : last + 1);
    return failed(peer.words.front(),
                  fmt::format("ended with status {}; its last line: {}", run.exit_status,
                              text.substr(text.rfind('\n') + 1)));
  }
  peer_seconds_.push_back(run.seconds);
  const auto read = [&](const std::string& marker, std::vector<double>& values) -> Status {
    if (marker.empty()) return {};
    const auto value = number_behind(run.output, marker);
    if (!value || *value <= 0)
      return failed(peer.words.front(),
                    fmt::format("no figure behind \"{}\" in its output", marker),
                    "Give what stands right before its tokens a second");
    values.push_back(*value);
    return {};
  };
  SLUICE_TRY(read(peer.prompt_marker, peer_prompt_));
  return read(peer.decode_marker, peer_decode_);
}

// Apart from the rounds, so that the clock disturbs none of the figures.
Status Sweep::time_operations() {
  const auto record = [&](const Cell& cell) -> Status {
    progress("operations: " + cell.figure.name());
    const auto begin = [&] { model_.backend.start(); };
    OperationTimes times;
    const auto end = [&] { times = model_.backend.stop(); };
    double whole = 0;
    if (cell.figure.kind == Figure::Kind::kPrompt) {
      begin();
      SLUICE_ASSIGN(whole, cell.lane->read_prompt(cell.figure.context));
      end();
    } else {
      SLUICE_ASSIGN(
          const Lane::Decoded decoded,
          cell.lane->decode(cell.figure.rows, cell.figure.context, options_.steps, begin, end));
      whole = decoded.seconds;
    }
    TimeShares shares{cell.figure.name(), {}};
    double named = 0;
    for (const auto& [name, seconds] : times) {
      shares.shares.emplace_back(name, seconds / whole);
      named += seconds;
    }
    shares.shares.emplace_back("rest", std::max(0.0, 1 - named / whole));
    std::stable_sort(shares.shares.begin(), shares.shares.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    result_.times.push_back(std::move(shares));
    return {};
  };
  const Cell* previous = nullptr;
  for (const Cell& cell : cells_) {
    if (cell.lane == nullptr) continue;
    const auto kind = cell.figure.kind;
    const auto last_of_kind = [&](int64_t value) {
      const auto values = values_of(kind);
      return value == *std::max_element(values.begin(), values.end());
    };
    const bool wanted =
        ((kind == Figure::Kind::kPrompt || kind == Figure::Kind::kContext) &&
         last_of_kind(cell.figure.context)) ||
        (kind == Figure::Kind::kRows &&
         (previous == nullptr || previous->figure.kind != kind || last_of_kind(cell.figure.rows)));
    previous = &cell;
    if (!wanted) continue;
    if (elapsed() + cell.visit_seconds > options_.seconds) {
      result_.left_out.push_back("time by operation of " + cell.figure.name() + ": no time left");
      continue;
    }
    SLUICE_TRY(record(cell));
  }
  return {};
}

void Sweep::summarize(Cell& cell) {
  Figure& figure = cell.figure;
  figure.repetitions = static_cast<int64_t>(cell.seconds.size());
  std::vector<double> speeds, floors, shares, milliseconds;
  for (size_t i = 0; i < cell.seconds.size(); ++i) {
    speeds.push_back(cell.tokens[i] / cell.seconds[i]);
    floors.push_back(cell.tokens[i] / cell.floors[i]);
    shares.push_back(cell.floors[i] / cell.seconds[i]);
    milliseconds.push_back(cell.seconds[i] * 1e3);
  }
  figure.tokens_per_second = spread_of(speeds);
  figure.floor_tokens_per_second = spread_of(floors);
  figure.share = spread_of(shares);
  figure.milliseconds = spread_of(milliseconds);
  figure.fp32_share = spread_of(cell.fp32_shares);
  result_.figures.push_back(figure);
}

void Sweep::summarize_machine() {
  const auto of = [&](double MachineSpeed::*field) {
    std::vector<double> values;
    for (const MachineSpeed& sample : samples_) values.push_back(sample.*field);
    return spread_of(std::move(values));
  };
  result_.read = of(&MachineSpeed::read);
  result_.update = of(&MachineSpeed::update);
  result_.fp32 = of(&MachineSpeed::fp32);
  result_.int16 = of(&MachineSpeed::int16);
  result_.int8 = of(&MachineSpeed::int8);
  result_.barrier = of(&MachineSpeed::barrier);
}

void Sweep::compare_with_peer() {
  if (peer_seconds_.empty()) return;
  const Figure* prompt = nullptr;
  const Figure* answer = nullptr;
  for (const Figure& figure : result_.figures) {
    if (figure.kind == Figure::Kind::kPrompt && prompt == nullptr) prompt = &figure;
    if (figure.kind == Figure::Kind::kRows && figure.rows == 1) answer = &figure;
  }
  const auto compare = [&](const char* name, const Figure* ours, const std::vector<double>& peers) {
    if (ours == nullptr || peers.empty()) return;
    const Spread theirs = spread_of(peers);
    result_.peer.push_back(
        {name, ours->tokens_per_second, theirs, ours->tokens_per_second.median / theirs.median});
  };
  compare("prompt, tokens/s", prompt, peer_prompt_);
  compare("answer, tokens/s", answer, peer_decode_);
  PeerFigure whole{"its whole run, s", {}, spread_of(peer_seconds_), 0};
  if (result_.peer.empty() && prompt != nullptr && answer != nullptr) {
    // The same in one process of ours: load, prompt, and one repetition's tokens.
    const double ours = model_.load_seconds + prompt->milliseconds.median * 1e-3 +
                        static_cast<double>(options_.steps) * answer->milliseconds.median * 1e-3;
    whole.ours = {ours, ours, ours};
    whole.ratio = whole.theirs.median / ours;
  }
  result_.peer.push_back(whole);
}

Result<BenchResult> Sweep::run() {
  SLUICE_TRY(measure_memory());
  result_.counts = counts_;
  plan_cells();
  SLUICE_ASSIGN(floor_,
                MachineFloor::create(model_.backend.info().threads,
                                     model_.backend.info().instruction_set, options_.floor_bytes));
  SLUICE_TRY(make_room());
  SLUICE_TRY(create_lanes());
  floor_->measure();  // clocks and threads wake up
  for (int64_t number = 0; number < options_.repeat; ++number) {
    SLUICE_TRY(round(number));
    if (number > 0) continue;
    // What time_operations() will repeat at most.
    for (const Cell& cell : cells_) {
      if (cell.figure.kind == Figure::Kind::kPrompt) reserved_ = cell.visit_seconds;
    }
    for (const Cell& cell : cells_) {
      if (cell.figure.kind == Figure::Kind::kRows) reserved_ += cell.visit_seconds / 2;
    }
  }
  SLUICE_TRY(time_operations());
  std::map<int64_t, std::string> short_of_time;  // by repetitions
  for (Cell& cell : cells_) {
    if (cell.seconds.empty()) continue;
    summarize(cell);
    if (!cell.skipped) continue;
    std::string& names = short_of_time[result_.figures.back().repetitions];
    names += (names.empty() ? "" : "; ") + cell.figure.name();
  }
  for (const auto& [repetitions, names] : short_of_time) {
    result_.left_out.push_back(
        fmt::format("all but {} of {} repetitions, for the {:.0f} s of --time: {}", repetitions,
                    options_.repeat, options_.seconds, names));
  }
  if (result_.figures.empty())
    return usage_error("bench",
                       fmt::format("nothing was measured within {:.0f} s", options_.seconds),
                       "Raise --time");
  summarize_machine();
  compare_with_peer();
  return std::move(result_);
}

}  // namespace

Spread spread_of(std::vector<double> values) {
  SLUICE_CHECK(!values.empty(), "no values");
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  const double median =
      values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {median, values.front(), values.back()};
}

std::string Figure::name() const {
  switch (kind) {
    case Kind::kPrompt:
      return fmt::format("prompt of {}", context);
    case Kind::kRows:
      return fmt::format("answer, {} {}", rows, count_word(rows, "row", "rows"));
    case Kind::kDrafts:
      return fmt::format("{}{} {} {}", draft_head == 0 ? "answer, " : "", drafts,
                         count_word(drafts, "draft", "drafts"),
                         draft_head == 0 ? "a step" : fmt::format("of {} ids", draft_head));
    case Kind::kContext:
      return fmt::format("answer behind {}", context);
  }
  return {};
}

runtime::EngineShape memory_shape(const model::TextConfig& config, ops::KvFormat kv) {
  runtime::EngineShape shape;
  shape.kv = kv;
  shape.context = std::min<int64_t>(2 * ops::kGrid, config.context);
  return shape;
}

runtime::EngineShape prompt_shape(const std::vector<int64_t>& prompts, ops::KvFormat kv) {
  runtime::EngineShape shape;
  shape.kv = kv;
  const int64_t longest =
      prompts.empty() ? int64_t{ops::kGrid} : *std::max_element(prompts.begin(), prompts.end());
  shape.context = std::max<int64_t>(longest, ops::kGrid) + 1;
  return shape;
}

Result<BenchResult> run_bench(const BenchModel& model, const BenchOptions& options) {
  return Sweep(model, options).run();
}

}  // namespace sluice::tools
