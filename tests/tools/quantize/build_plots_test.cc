// Pictures of builds: well-formed, with every matrix and every figure of the report.
#include "tools/quantize/build_plots.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "support/well_formed_xml.h"

namespace sluice {
namespace {

using quantize::BuildPlot;
using quantize::BuildReport;

BuildReport report_of(const std::string& source) {
  BuildReport report;
  report.source = source;
  report.target = "mixed";
  for (const int layer : {0, 1, 2, 11}) {
    report.tensors.push_back({fmt::format("blk.{}.ffn_up.weight", layer), "q4_k", 512, 256, 73728,
                              0.071 + 0.001 * layer});
    report.tensors.push_back(
        {fmt::format("blk.{}.attn_norm.weight", layer), "f32", 1, 256, 1024, 0});
    report.tensors.push_back({fmt::format("model.layers.{}.mlp.down_proj.weight_packed", layer),
                              "nvfp4", 256, 512, 73728, 0.081 + 0.001 * layer});
  }
  report.tensors.push_back({"mtp.layers.0.mlp.up_proj.weight", "bf16", 512, 256, 262144, 0});
  report.tensors.push_back({"lm_head.weight", "fp8_channel", 1000, 256, 256000, 0.024});
  for (const auto& tensor : report.tensors) report.bytes += tensor.bytes;
  return report;
}

size_t count(const std::string& text, const std::string& what) {
  size_t found = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

TEST(BuildPlots, NameEveryMatrixWithItsError) {
  const BuildReport report = report_of("tiny");
  const auto plots = quantize::build_plots(report);
  ASSERT_EQ(plots.size(), 2u);  // no proof, no drafts
  const std::string& svg = plots[0].svg;
  EXPECT_EQ(plots[0].name, "error_by_layer.svg");
  EXPECT_TRUE(test::well_formed_xml(svg)) << svg;
  size_t matrices = 0;
  for (const auto& tensor : report.tensors) {
    const std::string error =
        tensor.error > 0 ? fmt::format("{:.3g} %", 100 * tensor.error) : "exact";
    const std::string note =
        fmt::format("<title>{}: {}, {}</title>", tensor.name, tensor.format, error);
    EXPECT_EQ(count(svg, note), tensor.rows > 1 ? 1u : 0u) << note;
    matrices += tensor.rows > 1 ? 1 : 0;
  }
  EXPECT_EQ(count(svg, "</title></rect>"), matrices);
  // A row for each kind, a number for each layer up to the last.
  for (const char* kind : {"ffn_up", "mlp.down_proj", "mtp.mlp.up_proj", "lm_head"})
    EXPECT_EQ(count(svg, fmt::format(">{}</text>", kind)), 1u) << kind;
  for (int layer = 0; layer < 12; ++layer)
    EXPECT_EQ(count(svg, fmt::format(">{}</text>", layer)), 1u) << layer;
  EXPECT_NE(plots[0].words.find("from 2.4 % to 9.2 %"), std::string::npos) << plots[0].words;
}

TEST(BuildPlots, AddUpTheFormats) {
  const auto plots = quantize::build_plots(report_of("a<b>&\"c\""));
  const std::string& svg = plots[1].svg;
  EXPECT_TRUE(test::well_formed_xml(svg)) << svg;
  EXPECT_TRUE(test::well_formed_xml(plots[0].svg));
  for (const char* figures :
       {"q4_k: 0.29 MB, 4 tensors", "nvfp4: 0.29 MB, 4 tensors", "f32: 0.00 MB, 4 tensors",
        "bf16: 0.26 MB, 1 tensors", "fp8_channel: 0.26 MB, 1 tensors"})
    EXPECT_EQ(count(svg, figures), 1u) << figures;
}

TEST(BuildPlots, ShowDraftsWhereTheyWereMeasured) {
  BuildReport report = report_of("tiny");
  report.proof.emplace();
  EXPECT_EQ(quantize::build_plots(report).size(), 2u);  // a model without a head
  report.proof->acceptance_before = {0.732, 0.865, 0.915};
  report.proof->acceptance_after = {0.726, 0.872};
  const auto plots = quantize::build_plots(report);
  ASSERT_EQ(plots.size(), 3u);
  const BuildPlot& drafts = plots[2];
  EXPECT_TRUE(test::well_formed_xml(drafts.svg)) << drafts.svg;
  for (const char* note : {"position 1, source: 73.2 %", "position 1, this build: 72.6 %",
                           "position 2, this build: 87.2 %", "position 3, source: 91.5 %"})
    EXPECT_EQ(count(drafts.svg, note), 1u) << note;
  EXPECT_EQ(count(drafts.svg, "position 3, this build"), 0u);
  // The card shows all three by their names beside a lone file.
  const std::string card =
      quantize::model_card(report, [](const std::string& name) { return "model." + name; });
  for (const BuildPlot& plot : plots)
    EXPECT_NE(card.find(fmt::format("![{}](model.{})", plot.words, plot.name)), std::string::npos);
}

// Only vectors: nothing to show by layer.
TEST(BuildPlots, AreFewForAFewVectors) {
  BuildReport report;
  report.tensors.push_back({"norm.weight", "f32", 1, 8, 32, 0});
  const auto plots = quantize::build_plots(report);
  ASSERT_EQ(plots.size(), 1u);
  EXPECT_TRUE(test::well_formed_xml(plots[0].svg));
}

}  // namespace
}  // namespace sluice
