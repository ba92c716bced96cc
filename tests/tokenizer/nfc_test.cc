#include "tokenizer/nfc.h"

#include <gtest/gtest.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>

#include "base/utf8.h"
#include "tokenizer/small_tokenizer.h"
#include "tokenizer/unicode_classes.h"

namespace sluice::tokenizer {
namespace {

// ICU's own normalization, for texts without characters newer than Unicode 9.
std::string icu_form(std::string_view text) {
  UErrorCode error = U_ZERO_ERROR;
  std::u16string wide(text.size() + 1, u'\0'), normal(3 * text.size() + 1, u'\0');
  int32_t length = 0;
  u_strFromUTF8(wide.data(), static_cast<int32_t>(wide.size()), &length, text.data(),
                static_cast<int32_t>(text.size()), &error);
  length = unorm2_normalize(unorm2_getNFCInstance(&error), wide.data(), length, normal.data(),
                            static_cast<int32_t>(normal.size()), &error);
  std::string out(3 * static_cast<size_t>(length) + 1, '\0');
  int32_t bytes = 0;
  u_strToUTF8(out.data(), static_cast<int32_t>(out.size()), &bytes, normal.data(), length, &error);
  EXPECT_TRUE(U_SUCCESS(error));
  out.resize(static_cast<size_t>(bytes));
  return out;
}

std::string our_form(std::string_view text) {
  std::string out;
  return normalize_nfc(text, out) ? out : std::string(text);
}

int age(char32_t c) {
  UVersionInfo version;
  u_charAge(static_cast<UChar32>(c), version);
  return version[0];
}

std::string utf8(std::u32string_view text) {
  std::string out;
  for (const char32_t c : text) append_utf8(c, out);
  return out;
}

TEST(Nfc, EveryCharacterOfUnicode9AsIcuHasIt) {
  size_t changed = 0;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (U_IS_SURROGATE(c) || age(c) > 9) continue;
    // Alone; after a base and before a mark of a low and of a high class.
    for (const std::u32string& text :
         {std::u32string{c}, std::u32string{U'a', c, U'\u0327', c, U'\u0301'}}) {
      const std::string source = utf8(text);
      ASSERT_EQ(our_form(source), icu_form(source)) << "U+" << std::hex << uint32_t{c};
      changed += our_form(source) != source ? 1 : 0;
    }
  }
  EXPECT_GT(changed, 3000u);
}

TEST(Nfc, EveryCanonicalDecompositionComposesAgain) {
  UErrorCode error = U_ZERO_ERROR;
  const UNormalizer2* nfc = unorm2_getNFCInstance(&error);
  for (char32_t c = 0; c < 0x110000; ++c) {
    UChar parts[32];
    const int32_t units = unorm2_getDecomposition(nfc, static_cast<UChar32>(c), parts, 32, &error);
    if (units < 0 || age(c) > 9) continue;
    std::string source;
    for (int32_t i = 0; i < units;) {
      UChar32 part;
      U16_NEXT(parts, i, units, part);
      append_utf8(static_cast<char32_t>(part), source);
    }
    ASSERT_EQ(our_form(source), icu_form(source)) << "U+" << std::hex << uint32_t{c};
  }
}

TEST(Nfc, RandomTextAsIcuHasItAndChangesCoverEveryDifference) {
  std::mt19937 random(11);
  for (int round = 0; round < 4000; ++round) {
    const std::string text = test::random_text(random, 1 + random() % 60, 9);
    std::string normal;
    std::vector<NfcChange> changes;
    const bool changed = normalize_nfc(text, normal, &changes);
    if (!changed) normal = text;
    ASSERT_EQ(normal, icu_form(text)) << text;
    ASSERT_EQ(changed, normal != text);
    ASSERT_EQ(changed, !changes.empty());
    // Putting the replaced parts into the source gives the normal form.
    std::string rebuilt;
    size_t copied = 0;
    for (const NfcChange& change : changes) {
      rebuilt += text.substr(copied, change.source_begin - copied);
      ASSERT_EQ(rebuilt.size(), change.target_begin);
      rebuilt += normal.substr(change.target_begin, change.target_end - change.target_begin);
      copied = change.source_end;
    }
    ASSERT_EQ(rebuilt + text.substr(copied), normal);
  }
}

// Marks of one class keep their order; sorts that do not keep it show that in long runs only.
TEST(Nfc, LongRunsOfMarksAsIcuHasThem) {
  std::mt19937 random(12);
  const std::u32string marks = U"\u0300\u0301\u0308\u0316\u0323\u0327\u0345\u0F73\u0344";
  for (int round = 0; round < 200; ++round) {
    std::u32string text = U"a";
    for (int i = 0; i < 200; ++i) text += marks[random() % marks.size()];
    ASSERT_EQ(our_form(utf8(text)), icu_form(utf8(text)));
  }
}

TEST(Nfc, NewerMarksStayWhereTheyAre) {
  // U+1DFA (Unicode 14, class 218) would move before U+0301 (class 230); U+11935 U+11930 (Unicode
  // 13) compose.
  EXPECT_EQ(our_form(utf8(U"q\u0301\u1DFA")), utf8(U"q\u0301\u1DFA"));
  EXPECT_EQ(our_form(utf8(U"e\u0301\U00011935\U00011930")), utf8(U"\u00E9\U00011935\U00011930"));
  EXPECT_EQ(our_form(utf8(U"e\u0301\U00011938")), utf8(U"\u00E9\U00011938"));
  EXPECT_EQ(our_form(utf8(U"\U00011938\u0301\u0316")), utf8(U"\U00011938\u0316\u0301"));
}

TEST(Nfc, NormalTextIsNotCopied) {
  for (const char* text :
       {"", "plain", "d\u00E9j\u00E0 vu", "\u4F60\u597D", "\uAC00", "q\u0323\u0301"}) {
    std::string out = "untouched";
    EXPECT_FALSE(normalize_nfc(text, out)) << text;
    EXPECT_EQ(out, "untouched");
  }
}

// Quadratic sorting (ICU's own insertion) would take minutes here.
TEST(Nfc, AMegabyteOfMarksInTheWrongOrder) {
  const std::string wrong = "a" + test::repeated("\u0301\u0316", 1 << 20);
  const std::string normal = our_form(wrong);
  // The first U+0301 joins the a only if nothing of its class or above stands between: U+0316 is
  // below.
  const size_t pairs = (1 << 20) / 4;
  EXPECT_EQ(normal, "\u00E1" + test::repeated("\u0316", 2 * pairs) +
                        test::repeated("\u0301", 2 * (pairs - 1)));
  EXPECT_EQ(our_form(test::repeated("\u0F73", 3 << 18)),
            test::repeated("\u0F71", 3 << 18) + test::repeated("\u0F72", 3 << 18));
}

TEST(UnicodeClasses, AgreeWithIcu) {
  const UnicodeClasses& classes = UnicodeClasses::get();
  for (char32_t c = 0; c < 0x110000; ++c) {
    const auto code_point = static_cast<UChar32>(c);
    const uint32_t category = U_GET_GC_MASK(code_point);
    CharacterClass expected = CharacterClass::kOther;
    if (c == U'\n' || c == U'\r') {
      expected = CharacterClass::kNewline;
    } else if (u_isUWhiteSpace(code_point)) {
      expected = CharacterClass::kWhiteSpace;
    } else if ((category & U_GC_L_MASK) != 0) {
      expected = CharacterClass::kLetter;
    } else if ((category & U_GC_M_MASK) != 0) {
      expected = CharacterClass::kMark;
    } else if ((category & U_GC_N_MASK) != 0) {
      expected = CharacterClass::kNumber;
    }
    ASSERT_EQ(classes.character_class(c), expected) << std::hex << uint32_t{c};
    ASSERT_EQ(classes.combines(c), u_getCombiningClass(code_point) != 0 && age(c) <= 9);
  }
}

}  // namespace
}  // namespace sluice::tokenizer
