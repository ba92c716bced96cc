#include "tools/bench/bench_plot.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

namespace sluice::tools {
namespace {

// Whether a text is one well-formed element: names match, attributes are quoted, no bare '&' or
// '<'. Enough of XML for what the plot writes.
bool well_formed(std::string_view text) {
  std::vector<std::string_view> open;
  bool seen = false;
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '&') {
      const size_t end = text.find(';', at);
      if (end == std::string_view::npos) return false;
      const std::string_view name = text.substr(at + 1, end - at - 1);
      if (name != "amp" && name != "lt" && name != "gt" && name != "quot") return false;
      at = end + 1;
      continue;
    }
    if (text[at] != '<') {
      if (open.empty() && text[at] != '\n') return false;
      ++at;
      continue;
    }
    const size_t end = text.find('>', at);
    if (end == std::string_view::npos) return false;
    std::string_view tag = text.substr(at + 1, end - at - 1);
    at = end + 1;
    if (tag.starts_with('/')) {
      if (open.empty() || open.back() != tag.substr(1)) return false;
      open.pop_back();
      continue;
    }
    if (open.empty() && seen) return false;
    seen = true;
    const bool empty = tag.ends_with('/');
    if (empty) tag.remove_suffix(1);
    if (tag.find('<') != std::string_view::npos) return false;
    const std::string_view name = tag.substr(0, tag.find(' '));
    std::string_view rest = tag.substr(name.size());
    while (!rest.empty()) {
      const size_t equals = rest.find("=\"");
      if (equals == std::string_view::npos) return false;
      const size_t close = rest.find('"', equals + 2);
      if (close == std::string_view::npos) return false;
      rest.remove_prefix(close + 1);
    }
    if (!empty) open.push_back(name);
  }
  return seen && open.empty();
}

BenchConditions conditions_of(const std::string& model) {
  BenchConditions conditions;
  conditions.model = model;
  conditions.backend = "cpu";
  return conditions;
}

TEST(BenchPlot, TheCheckSeesFaults) {
  EXPECT_TRUE(well_formed("<a b=\"c\"><d/>x &amp; y</a>\n"));
  for (const char* fault : {"", "<a>", "<a></b>", "<a>&</a>", "<a b=c/>", "<a/><b/>", "x<a/>"})
    EXPECT_FALSE(well_formed(fault)) << fault;
}

TEST(BenchPlot, IsWellFormedWhateverTheModelIsCalled) {
  BenchResult result;
  result.read.median = 31.5e9;
  Figure figure;
  figure.share = {0.5, 0.4, 1.3};
  figure.tokens_per_second = {10, 8, 26};
  figure.floor_tokens_per_second = {20, 20, 20};
  for (const auto kind : {Figure::Kind::kPrompt, Figure::Kind::kRows, Figure::Kind::kDrafts,
                          Figure::Kind::kContext}) {
    figure.kind = kind;
    result.figures.push_back(figure);
  }
  for (const char* name : {"sprout", "a<b>&\"c\".gguf", "tab\tand\x01"}) {
    const std::string svg = bench_svg(conditions_of(name), result);
    EXPECT_TRUE(well_formed(svg)) << svg;
    EXPECT_EQ(svg.find('\x01'), std::string::npos);
  }
  const std::string svg = bench_svg(conditions_of("sprout"), result);
  for (const Figure& shown : result.figures)
    EXPECT_NE(svg.find(shown.name()), std::string::npos) << shown.name();
  EXPECT_NE(svg.find("10.0 of 20.0 tokens/s"), std::string::npos);
}

TEST(BenchPlot, WithoutFiguresToo) {
  EXPECT_TRUE(well_formed(bench_svg(conditions_of("nothing"), BenchResult())));
}

}  // namespace
}  // namespace sluice::tools
