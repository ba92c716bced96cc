#include "tools/bench/bench_plot.h"

#include <gtest/gtest.h>

#include <string>

#include "support/well_formed_xml.h"

namespace sluice::tools {
namespace {

BenchConditions conditions_of(const std::string& model) {
  BenchConditions conditions;
  conditions.model = model;
  conditions.backend = "cpu";
  return conditions;
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
    EXPECT_TRUE(test::well_formed_xml(svg)) << svg;
    EXPECT_EQ(svg.find('\x01'), std::string::npos);
  }
  const std::string svg = bench_svg(conditions_of("sprout"), result);
  for (const Figure& shown : result.figures)
    EXPECT_NE(svg.find(shown.name()), std::string::npos) << shown.name();
  EXPECT_NE(svg.find("10.0 of 20.0 tokens/s"), std::string::npos);
}

TEST(BenchPlot, WithoutFiguresToo) {
  EXPECT_TRUE(test::well_formed_xml(bench_svg(conditions_of("nothing"), BenchResult())));
}

}  // namespace
}  // namespace sluice::tools
