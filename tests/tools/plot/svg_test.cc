#include "tools/plot/svg.h"

#include <gtest/gtest.h>

#include "support/well_formed_xml.h"

namespace sluice::tools {
namespace {

TEST(Svg, TheCheckSeesFaults) {
  EXPECT_TRUE(test::well_formed_xml("<a b=\"c\"><d/>x &amp; y</a>\n"));
  for (const char* fault : {"", "<a>", "<a></b>", "<a>&</a>", "<a b=c/>", "<a/><b/>", "x<a/>"})
    EXPECT_FALSE(test::well_formed_xml(fault)) << fault;
}

TEST(Svg, IsWellFormedWhateverItSays) {
  for (const char* words : {"plain", "a<b>&\"c\"", "tab\tand\x01", "\xff\xfe", "]]>"}) {
    SvgPicture picture(100, 50, words, words);
    picture.text(1, 2, SvgPicture::Anchor::kEnd, words);
    picture.line(1, 2, 3, 4, Ink::kGrid);
    picture.box(1, 2, 3, 4, Ink::kSecond, words);
    picture.shade(1, 2, 3, 4, 7.5, words);
    const std::string svg = picture.done();
    EXPECT_TRUE(test::well_formed_xml(svg)) << svg;
    for (const char control : {'\t', '\x01'}) EXPECT_EQ(svg.find(control), std::string::npos);
    EXPECT_NE(svg.find("fill-opacity=\"1.000\""), std::string::npos);
  }
}

// For those who do not see it, and for dark pages.
TEST(Svg, HasWordsAndTwoSetsOfColours) {
  const std::string svg = SvgPicture(10, 10, "the title", "the description").done();
  EXPECT_NE(svg.find("<title id=\"title\">the title</title>"), std::string::npos);
  EXPECT_NE(svg.find("<desc id=\"description\">the description</desc>"), std::string::npos);
  EXPECT_NE(svg.find("aria-labelledby=\"title description\""), std::string::npos);
  EXPECT_NE(svg.find("prefers-color-scheme: dark"), std::string::npos);
}

}  // namespace
}  // namespace sluice::tools
