#include "tools/distill/corpus/scratch.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

namespace sluice::tools::corpus {
namespace {

TEST(Scratch, Addition) {
  EXPECT_EQ(columns(347, '+', 285), "347+285\n7+5+0=2+10:2\n4+8+1=3+10:32\n3+2+1=6+0:632");
  EXPECT_EQ(columns(947, '+', 85), "947+085\n7+5+0=2+10:2\n4+8+1=3+10:32\n9+0+1=0+10:1032");
}

TEST(Scratch, Subtraction) {
  EXPECT_EQ(columns(347, '-', 285), "347-285\n7-5-0=2-0:2\n4-8-0=6-10:62\n3-2-1=0-0:062");
}

TEST(Scratch, Multiplication) {
  EXPECT_EQ(columns(347, '*', 6), "347*6\n7*6=42+0=42:2\n4*6=24+4=28:82\n3*6=18+2=20:2082");
}

TEST(Scratch, Comparison) {
  EXPECT_EQ(comparison(347, 352), "347?352\n3=3\n4<5\n352");
  EXPECT_EQ(comparison(47, 352), "047?352\n0<3\n352");
  EXPECT_EQ(comparison(7, 7), "7?7\n7=7\nequal");
}

// "7+5+1" as a number, by its own small reader.
int64_t value_of(const std::string& expression) {
  int64_t total = 0, factor = 1, number = 0;
  char sign = '+';
  for (size_t i = 0; i <= expression.size(); ++i) {
    const char character = i < expression.size() ? expression[i] : '+';
    if (character >= '0' && character <= '9') {
      number = number * 10 + (character - '0');
    } else if (character == '*') {
      factor *= number;
      number = 0;
    } else {
      total += (sign == '+' ? 1 : -1) * factor * number;
      sign = character;
      factor = 1;
      number = 0;
    }
  }
  return total;
}

// Whatever the numbers: each line is right, and the last result is that of the whole.
TEST(Scratch, EveryLineIsTrueAndTheEndIsRight) {
  size_t checked = 0;
  for (const char operation : {'+', '-', '*'}) {
    for (int64_t left = 0; left < 1200; left += 7) {
      for (int64_t right = 0; right <= (operation == '*' ? 9 : left); right += 3) {
        std::istringstream lines(columns(left, operation, right));
        std::string line, result;
        std::getline(lines, line);
        while (std::getline(lines, line)) {
          const size_t colon = line.find(':');
          ASSERT_NE(colon, std::string::npos) << line;
          std::vector<std::string> sides;
          std::istringstream equation(line.substr(0, colon));
          for (std::string side; std::getline(equation, side, '=');) sides.push_back(side);
          ASSERT_EQ(sides.size(), operation == '*' ? 3u : 2u) << line;
          // "7*6=42+4=46": the carry comes in behind the first product.
          if (sides.size() == 3) sides[0] += sides[1].substr(sides[1].find('+'));
          for (const std::string& side : sides)
            EXPECT_EQ(value_of(side), value_of(sides[0])) << line;
          result = line.substr(colon + 1);
          ++checked;
        }
        EXPECT_EQ(std::stoll(result), compute(left, operation, right))
            << left << operation << right;
      }
    }
  }
  EXPECT_GT(checked, 10'000u);
}

}  // namespace
}  // namespace sluice::tools::corpus
