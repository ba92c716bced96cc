#include "tools/distill/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <numeric>
#include <optional>

#include "base/file.h"
#include "base/threads.h"
#include "tools/distill/conversation.h"

namespace sluice::distill {
namespace {

constexpr uint64_t kMaxDataBytes = uint64_t{4} << 30;

// Splitmix64: small, and the same everywhere, which std::shuffle is not.
uint64_t next_random(uint64_t& state) {
  state += 0x9e3779b97f4a7c15ULL;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

Result<Sample> read_line(std::string_view line, const TextTools& tools, int64_t vocabulary) {
  SLUICE_ASSIGN(const Json json, parse_json(line));
  SLUICE_ASSIGN(Sample sample, sample_from_json(json, tools));
  for (const int32_t id : sample.tokens) {
    if (id >= vocabulary) {
      return bad_input(fmt::format("token {}", id),
                       fmt::format("the model's vocabulary has {} rows", vocabulary),
                       "Raise vocab_size to at least the tokenizer's");
    }
  }
  return sample;
}

Status read_one_file(const std::string& file, const TextTools& tools, int64_t longest,
                     int64_t vocabulary, ThreadPool& pool, Dataset& dataset) {
  SLUICE_ASSIGN(const std::string text, read_file(file, kMaxDataBytes));
  const std::vector<std::string_view> lines = lines_of(text);
  std::vector<Sample> samples(lines.size());
  std::mutex mutex;
  std::optional<std::pair<size_t, Error>> failure;  // of the earliest line
  pool.for_range(static_cast<int64_t>(lines.size()), 1, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      if (lines[i].find_first_not_of(" \t\r") == std::string_view::npos) continue;
      Result<Sample> sample = read_line(lines[i], tools, vocabulary);
      if (sample.ok()) {
        samples[i] = *std::move(sample);
        continue;
      }
      const std::lock_guard lock(mutex);
      if (!failure || i < failure->first) failure.emplace(i, sample.error());
      return;
    }
  });
  if (failure) {
    Error error = failure->second;
    error.what = fmt::format("{} line {}{}{}", file, failure->first + 1,
                             error.what.empty() ? "" : ": ", error.what);
    return error;
  }
  for (Sample& sample : samples) {
    const auto length = static_cast<int64_t>(sample.tokens.size());
    if (length < 2) continue;
    if (length > longest) {
      ++dataset.too_long;
      continue;
    }
    dataset.tokens += length;
    dataset.labels += std::count_if(sample.weights.begin() + 1, sample.weights.end(),
                                    [](float weight) { return weight > 0; });
    dataset.samples.push_back(std::move(sample));
  }
  return {};
}

}  // namespace

Result<Dataset> read_dataset(std::span<const std::string> files, const TextTools& tools,
                             int64_t longest, int64_t vocabulary, int threads) {
  Dataset dataset;
  ThreadPool pool(threads);
  for (const std::string& file : files)
    SLUICE_TRY(read_one_file(file, tools, longest, vocabulary, pool, dataset));
  if (dataset.samples.empty()) {
    return bad_input(files.empty() ? std::string("data") : files.front(),
                     fmt::format("no sample to train on ({} are longer than {} tokens)",
                                 dataset.too_long, longest));
  }
  return dataset;
}

SampleOrder::SampleOrder(size_t count, uint64_t seed, DataPosition position)
    : order_(count), seed_(seed), position_(position) {
  shuffle();
}

void SampleOrder::shuffle() {
  std::iota(order_.begin(), order_.end(), size_t{0});
  uint64_t state = seed_ * 0x9e3779b97f4a7c15ULL + static_cast<uint64_t>(position_.epoch);
  for (size_t i = order_.size(); i > 1; --i)
    std::swap(order_[i - 1], order_[next_random(state) % i]);
}

void SampleOrder::advance() {
  if (++position_.next < static_cast<int64_t>(order_.size())) return;
  position_ = {position_.epoch + 1, 0};
  shuffle();
}

std::vector<std::vector<const Sample*>> next_shards(const Dataset& dataset, SampleOrder& order,
                                                    int64_t shards, int64_t budget) {
  std::vector<std::vector<const Sample*>> result(static_cast<size_t>(shards));
  for (std::vector<const Sample*>& shard : result) {
    int64_t used = 0;
    while (true) {
      const Sample& sample = dataset.samples[order.peek()];
      const auto length = static_cast<int64_t>(sample.tokens.size());
      if (used + length > budget) break;
      used += length;
      shard.push_back(&sample);
      order.advance();
    }
  }
  return result;
}

}  // namespace sluice::distill
