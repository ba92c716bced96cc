// Speed of the tokenizer on a text file: tokenizer_bench TOKENIZER_JSON TEXT [REPEATS]
//
// Prints one JSON object. All times are processor time, which neighbours on the machine disturb
// less than they do the clock on the wall; the program has one thread. "cold" is the first encoding
// with an empty word cache, "warm" the median of the others; sizes in bytes, speeds in 10^6 bytes
// per second of one core. benchmarks/tokenizer/compare.py runs it beside Hugging Face's library.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/utf8.h"
#include "tokenizer/tokenizer.h"

namespace {

using sluice::tokenizer::TokenId;
using sluice::tokenizer::Tokenizer;

template <typename Work>
double seconds(Work work) {
  const std::clock_t begin = std::clock();
  work();
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

int fail(const sluice::Error& error) {
  std::fputs((error.message() + "\n").c_str(), stderr);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: tokenizer_bench TOKENIZER_JSON TEXT [REPEATS]\n", stderr);
    return 2;
  }
  int repeats = 21;
  if (argc > 3) {
    const std::string_view given = argv[3];
    std::from_chars(given.data(), given.data() + given.size(), repeats);
  }
  const auto json = sluice::read_file(argv[1], uint64_t{1} << 30);
  if (!json.ok()) return fail(json.error());
  const auto text = sluice::read_file(argv[2], uint64_t{1} << 30);
  if (!text.ok()) return fail(text.error());

  std::vector<double> loads;
  for (int i = 0; i < 3; ++i) {
    loads.push_back(seconds([&] { (void)Tokenizer::from_json(*json, nullptr); }));
  }
  const auto tokenizer = Tokenizer::from_json(*json, nullptr);
  if (!tokenizer.ok()) return fail(tokenizer.error());

  std::vector<TokenId> ids;
  std::vector<double> times;
  for (int i = 0; i < std::max(repeats, 2); ++i) {
    times.push_back(seconds([&] { ids = tokenizer->encode(*text).value(); }));
  }
  std::string decoded;
  const double decoding = seconds([&] { decoded = tokenizer->decode(ids, false); });
  const double cold = times.front();
  std::sort(times.begin() + 1, times.end());
  const double warm = times[1 + (times.size() - 1) / 2];
  const double megabytes = static_cast<double>(text->size()) / 1e6;
  fmt::print(
      "{{\"bytes\":{},\"tokens\":{},\"load_first_s\":{:.3f},\"load_s\":{:.3f},\"encode_cold_mb_s\":"
      "{:."
      "1f},\"encode_warm_mb_s\":{:.1f},\"decode_mb_s\":{:.1f},\"memory_bytes\":{}}}\n",
      text->size(), ids.size(), loads.front(), *std::min_element(loads.begin(), loads.end()),
      megabytes / cold, megabytes / warm, megabytes / decoding, tokenizer->memory_bytes());
  return 0;
}
