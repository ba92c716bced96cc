#include "tokenizer/regex_splitter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <array>
#include <string>

#include "base/check.h"

namespace sluice::tokenizer {
namespace {

// A piece of a sensible pattern is found in a few steps per byte and without depth. The interpreter
// counts steps exactly, compiled code coarsely; both stop a pattern that backtracks without end.
constexpr uint32_t kStepLimit = 10'000'000;
constexpr uint32_t kHeapLimitKib = 64 * 1024;
constexpr size_t kJitStackBytes = size_t{8} << 20;

std::string pcre2_message(int code) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

struct CompileContextDeleter {
  void operator()(pcre2_compile_context* p) const { pcre2_compile_context_free(p); }
};
struct MatchDataDeleter {
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
};
struct MatchContextDeleter {
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
};
struct JitStackDeleter {
  void operator()(pcre2_jit_stack* p) const { pcre2_jit_stack_free(p); }
};

}  // namespace

struct RegexSplitter::Code {
  pcre2_code* compiled = nullptr;
  explicit Code(pcre2_code* code) : compiled(code) {}
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  ~Code() { pcre2_code_free(compiled); }
};

RegexSplitter::RegexSplitter(std::unique_ptr<Code> code) : code_(std::move(code)) {}
RegexSplitter::RegexSplitter(RegexSplitter&&) noexcept = default;
RegexSplitter& RegexSplitter::operator=(RegexSplitter&&) noexcept = default;
RegexSplitter::~RegexSplitter() = default;

Result<RegexSplitter> RegexSplitter::compile(std::string_view pattern) {
  SLUICE_ASSIGN(const std::string translated, translate_pattern(pattern));
  const std::unique_ptr<pcre2_compile_context, CompileContextDeleter> context(
      pcre2_compile_context_create(nullptr));
  if (!context) return failed("pre-tokenizer pattern", "out of memory");
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);  // what `.` stops at
  int code = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* compiled =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &offset, context.get());
  if (compiled == nullptr) {
    return bad_input(fmt::format("pattern {}", pattern), pcre2_message(code));
  }
  RegexSplitter splitter(std::make_unique<Code>(compiled));
  uint32_t matches_empty = 0;
  pcre2_pattern_info(compiled, PCRE2_INFO_MATCHEMPTY, &matches_empty);
  if (matches_empty != 0) {
    return bad_input(fmt::format("pattern {}", pattern),
                     "it matches the empty text, so it does not say where pieces end");
  }
  // Without compiled code (a build of PCRE2 that has none) the interpreter does the same, slower.
  pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);
  return splitter;
}

Status RegexSplitter::split(std::string_view text, std::vector<uint32_t>& ends) const {
  const std::unique_ptr<pcre2_match_data, MatchDataDeleter> match(
      pcre2_match_data_create_from_pattern(code_->compiled, nullptr));
  const std::unique_ptr<pcre2_match_context, MatchContextDeleter> context(
      pcre2_match_context_create(nullptr));
  const std::unique_ptr<pcre2_jit_stack, JitStackDeleter> stack(
      pcre2_jit_stack_create(32 * 1024, kJitStackBytes, nullptr));
  if (!match || !context || !stack) return failed("pre-tokenizer pattern", "out of memory");
  pcre2_set_match_limit(context.get(), kStepLimit);
  pcre2_set_heap_limit(context.get(), kHeapLimitKib);
  pcre2_jit_stack_assign(context.get(), nullptr, stack.get());

  for (size_t position = 0; position < text.size();) {
    const int count =
        pcre2_match(code_->compiled, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                    position, PCRE2_NO_UTF_CHECK, match.get(), context.get());
    if (count == PCRE2_ERROR_NOMATCH) {
      ends.push_back(static_cast<uint32_t>(text.size()));
      return {};
    }
    if (count < 0) {
      return bad_input("pre-tokenizer pattern",
                       fmt::format("{} at byte {} of the text", pcre2_message(count), position),
                       "The text needs more steps than this pattern is given; split the text");
    }
    const PCRE2_SIZE* found = pcre2_get_ovector_pointer(match.get());
    SLUICE_CHECK(found[1] > position, "empty match at {}", position);  // refused by compile()
    if (found[0] > position) ends.push_back(static_cast<uint32_t>(found[0]));
    ends.push_back(static_cast<uint32_t>(found[1]));
    position = found[1];
  }
  return {};
}

size_t RegexSplitter::memory_bytes() const {
  size_t code = 0, jit = 0;
  pcre2_pattern_info(code_->compiled, PCRE2_INFO_SIZE, &code);
  pcre2_pattern_info(code_->compiled, PCRE2_INFO_JITSIZE, &jit);
  return sizeof(Code) + code + jit;
}

}  // namespace sluice::tokenizer
