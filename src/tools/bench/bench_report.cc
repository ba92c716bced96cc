#include "tools/bench/bench_report.h"

#include <fmt/format.h>

#include "runtime/memory_plan.h"

namespace sluice::tools {
namespace {

using runtime::format_bytes;

const Figure* find(const BenchResult& result, Figure::Kind kind, int64_t rows) {
  for (const Figure& figure : result.figures) {
    if (figure.kind == kind && figure.rows == rows) return &figure;
  }
  return nullptr;
}

std::string drafts_text(const Figure& figure) {
  std::string text;
  for (size_t i = 0; i < figure.proposed.size(); ++i)
    text +=
        fmt::format("{}{} of {}", text.empty() ? "" : ", ", figure.accepted[i], figure.proposed[i]);
  return text;
}

std::string machine_text(const BenchResult& result) {
  const auto rate = [](const Spread& spread, const char* unit) {
    return fmt::format("{:.1f} {} ({:.1f} to {:.1f})", spread.median * 1e-9, unit,
                       spread.min * 1e-9, spread.max * 1e-9);
  };
  std::string text = "This machine in these minutes, median (lowest to highest):\n";
  text += fmt::format("  plain read        {}\n", rate(result.read, "GB/s"));
  text += fmt::format("  update in place   {}, both directions\n", rate(result.update, "GB/s"));
  text += fmt::format("  fp32 products     {}\n", rate(result.fp32, "G/s"));
  if (result.int16.median > 0)
    text += fmt::format("  int16 products    {}\n", rate(result.int16, "G/s"));
  if (result.int8.median > 0)
    text += fmt::format("  int8 products     {}\n", rate(result.int8, "G/s"));
  return text + fmt::format("  barrier           {:.2f} us ({:.2f} to {:.2f})\n",
                            result.barrier.median * 1e6, result.barrier.min * 1e6,
                            result.barrier.max * 1e6);
}

std::string figures_text(const BenchResult& result) {
  std::string text = fmt::format("{:<24}{:>12}{:>12}{:>10}{:>12}   {}\n", "", "tokens/s", "floor",
                                 "of floor", "ms a step", "lowest to highest");
  for (const Figure& figure : result.figures) {
    const Spread& speed = figure.tokens_per_second;
    text +=
        fmt::format("{:<24}{:>12.2f}{:>12.2f}{:>8.0f} %{:>12.2f}   {:.2f} to {:.2f}\n",
                    figure.name(), speed.median, figure.floor_tokens_per_second.median,
                    100 * figure.share.median, figure.milliseconds.median, speed.min, speed.max);
  }
  return text;
}

// What the figures say about each other.
std::string ratios_text(const BenchResult& result) {
  std::string text;
  const Figure* one = find(result, Figure::Kind::kRows, 1);
  const Figure* context = nullptr;
  for (const Figure& figure : result.figures) {
    switch (figure.kind) {
      case Figure::Kind::kPrompt:
        text += fmt::format("{}: {:.2f} of the fp32 product peak\n", figure.name(),
                            figure.fp32_share.median);
        break;
      case Figure::Kind::kRows:
        if (one == nullptr || figure.rows == 1) break;
        text += fmt::format("{} rows: {:.2f} times the step and {:.2f} times the tokens of 1 row\n",
                            figure.rows, figure.milliseconds.median / one->milliseconds.median,
                            figure.tokens_per_second.median / one->tokens_per_second.median);
        break;
      case Figure::Kind::kDrafts:
        if (one != nullptr)
          text += fmt::format("{}: {:.2f} times the step of none", figure.name(),
                              figure.milliseconds.median / one->milliseconds.median);
        text += fmt::format("{}held by position: {}\n", one != nullptr ? "; " : "",
                            drafts_text(figure));
        break;
      case Figure::Kind::kContext:
        if (context != nullptr)
          text += fmt::format("behind {} tokens: {:.2f} times the step behind {}\n", figure.context,
                              figure.milliseconds.median / context->milliseconds.median,
                              context->context);
        if (context == nullptr) context = &figure;
        break;
    }
  }
  return text;
}

Json spread_json(const Spread& spread) {
  Json json = Json::object();
  json.set("median", spread.median);
  json.set("min", spread.min);
  json.set("max", spread.max);
  return json;
}

Json counts_json(const std::vector<int64_t>& counts) {
  Json items = Json::array();
  for (const int64_t count : counts) items.push_back(count);
  return items;
}

Json figure_json(const Figure& figure) {
  const auto kind = [&] {
    switch (figure.kind) {
      case Figure::Kind::kPrompt:
        return "prompt";
      case Figure::Kind::kRows:
        return "rows";
      case Figure::Kind::kDrafts:
        return "drafts";
      case Figure::Kind::kContext:
        return "context";
    }
    return "";
  };
  Json json = Json::object();
  json.set("name", figure.name());
  json.set("kind", kind());
  json.set("rows", figure.rows);
  json.set("drafts", figure.drafts);
  json.set("context", figure.context);
  json.set("repetitions", figure.repetitions);
  json.set("tokens_per_second", spread_json(figure.tokens_per_second));
  json.set("milliseconds", spread_json(figure.milliseconds));
  json.set("floor_tokens_per_second", spread_json(figure.floor_tokens_per_second));
  json.set("share_of_floor", spread_json(figure.share));
  json.set("share_of_fp32_peak", spread_json(figure.fp32_share));
  json.set("read_bytes", figure.cost.read_bytes);
  json.set("update_bytes", figure.cost.update_bytes);
  json.set("integer_products", figure.cost.integer);
  json.set("float_products", figure.cost.floating);
  if (figure.kind == Figure::Kind::kDrafts) {
    json.set("draft_head", figure.draft_head);
    json.set("proposed", counts_json(figure.proposed));
    json.set("accepted", counts_json(figure.accepted));
  }
  return json;
}

Json machine_json(const BenchResult& result) {
  Json json = Json::object();
  json.set("read_bytes_per_second", spread_json(result.read));
  json.set("update_bytes_per_second", spread_json(result.update));
  json.set("fp32_products_per_second", spread_json(result.fp32));
  json.set("int16_products_per_second", spread_json(result.int16));
  json.set("int8_products_per_second", spread_json(result.int8));
  json.set("barrier_seconds", spread_json(result.barrier));
  return json;
}

}  // namespace

std::string bench_text(const BenchConditions& conditions, const BenchResult& result) {
  std::string text =
      fmt::format("{}\n{}{}{}, {} thread{}, activations {}, keys and values {}\n", conditions.model,
                  conditions.backend, conditions.instruction_set.empty() ? "" : " ",
                  conditions.instruction_set, conditions.threads,
                  conditions.threads == 1 ? "" : "s", conditions.activations, conditions.kv);
  if (!conditions.prefetch.empty()) {
    text += fmt::format("Memory is asked for ahead by bytes: {}\n", conditions.prefetch);
  }
  text += "A step reads:";
  for (const auto& [format, bytes] : result.counts.bytes_by_format)
    text += fmt::format(" {} of {},", format_bytes(bytes), format);
  text +=
      fmt::format(" {} a token of context, and updates {} of state\n",
                  format_bytes(result.counts.kv_bytes), format_bytes(result.counts.state_bytes));
  text += fmt::format("Loaded in {:.1f} s; memory with a prompt of {} at most {}, planned {}\n\n",
                      conditions.load_seconds, result.memory_tokens,
                      format_bytes(result.peak_memory), format_bytes(result.planned_memory));
  text += machine_text(result) + "\n" + figures_text(result) + "\n" + ratios_text(result);
  const uint64_t step = result.counts.layers.bytes + result.counts.head.bytes;
  const auto cache = static_cast<uint64_t>(MachineFloor::last_level_cache());
  if (step <= cache)
    text += fmt::format(
        "The weights, {}, fit into the last-level cache of {}: memory sets no floor for them, and "
        "shares may pass 100 %\n",
        format_bytes(step), format_bytes(cache));
  for (const TimeShares& times : result.times) {
    text += fmt::format("\nTime of {}:", times.name);
    for (const auto& [name, share] : times.shares) {
      if (share >= 0.0005) text += fmt::format(" {} {:.1f} %,", name, 100 * share);
    }
    text.back() = '\n';
  }
  if (!result.peer.empty()) text += "\nPeer:\n";
  for (const PeerFigure& peer : result.peer) {
    text += fmt::format("  {}: {:.2f}", peer.name, peer.theirs.median);
    if (peer.ratio > 0)
      text += fmt::format(", ours {:.2f}: {:.2f} times as fast", peer.ours.median, peer.ratio);
    text += "\n";
  }
  if (!result.left_out.empty()) text += "\nLeft out:\n";
  for (const std::string& line : result.left_out) text += "  " + line + "\n";
  return text;
}

Json bench_json(const BenchConditions& conditions, const BenchResult& result) {
  Json json = Json::object();
  json.set("model", conditions.model);
  json.set("backend", conditions.backend);
  json.set("instruction_set", conditions.instruction_set);
  json.set("activations", conditions.activations);
  json.set("kv", conditions.kv);
  json.set("prefetch", conditions.prefetch);
  json.set("threads", conditions.threads);
  json.set("steps", conditions.steps);
  json.set("load_seconds", conditions.load_seconds);
  Json memory = Json::object();
  memory.set("prompt_tokens", result.memory_tokens);
  memory.set("planned", result.planned_memory);
  memory.set("peak", result.peak_memory);
  json.set("memory", std::move(memory));
  Json formats = Json::object();
  for (const auto& [format, bytes] : result.counts.bytes_by_format) formats.set(format, bytes);
  json.set("bytes_by_format", std::move(formats));
  json.set("weight_bytes", result.counts.layers.bytes + result.counts.head.bytes);
  json.set("last_level_cache_bytes", MachineFloor::last_level_cache());
  json.set("machine", machine_json(result));
  Json figures = Json::array();
  for (const Figure& figure : result.figures) figures.push_back(figure_json(figure));
  json.set("figures", std::move(figures));
  Json times = Json::object();
  for (const TimeShares& entry : result.times) {
    Json shares = Json::object();
    for (const auto& [name, share] : entry.shares) shares.set(name, share);
    times.set(entry.name, std::move(shares));
  }
  json.set("operations", std::move(times));
  if (!result.peer.empty()) {
    Json peers = Json::array();
    for (const PeerFigure& figure : result.peer) {
      Json peer = Json::object();
      peer.set("name", figure.name);
      peer.set("theirs", spread_json(figure.theirs));
      if (figure.ratio > 0) {
        peer.set("ours", spread_json(figure.ours));
        peer.set("ratio", figure.ratio);
      }
      peers.push_back(std::move(peer));
    }
    json.set("peer", std::move(peers));
  }
  Json left_out = Json::array();
  for (const std::string& line : result.left_out) left_out.push_back(line);
  json.set("left_out", std::move(left_out));
  return json;
}

}  // namespace sluice::tools
