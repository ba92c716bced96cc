// Any JSON as a schema, and any choice of tokens among those that the masks allow: nothing crashes
// or hangs, and the masks agree with what is taken and never lead into a dead end. The input is
// "options, schema \0 choices".
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/check.h"
#include "base/json.h"
#include "chat/grammar/schema_compiler.h"
#include "chat/grammar_harness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  using namespace sluice::chat::grammar;
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t split = input.find('\0');
  const auto schema = parse_json(input.substr(0, split));
  if (!schema.ok()) return 0;
  Expressions g;
  JsonGrammar json(g, data[0] & 1 ? WhiteSpace::kNone : WhiteSpace::kBounded);
  SchemaCompiler compiler(g, json, *schema, {.strict = (data[0] & 2) != 0});
  const auto document = compiler.compile(*schema, "");
  if (!document.ok()) {
    SLUICE_CHECK(!document.error().why.empty(), "an error without a reason");
    return 0;
  }
  const Rule root = g.declare();
  g.define(root, *document);
  // Small bounds: what is within them is not at question here.
  auto automaton = build_automaton(g, root, {.nodes = 20'000, .states = 1'000});
  if (!automaton.ok()) return 0;
  TokenConstraint constraint(
      std::make_shared<TokenMasks>(std::move(automaton).value(), small_trie()), plain_options());
  const std::string_view choices = split == std::string_view::npos ? "" : input.substr(split + 1);
  for (const char choice : choices.substr(0, 200)) {
    const auto mask = mask_of(constraint);
    TokenId taken = -1;
    for (TokenId i = 0; i < kVocabularySize && taken < 0; ++i) {
      const auto id =
          static_cast<TokenId>((i + 37 * static_cast<unsigned char>(choice)) % kVocabularySize);
      if (allowed(mask, id)) taken = id;
    }
    SLUICE_CHECK(taken >= 0, "a dead end");
    SLUICE_CHECK(constraint.advance(taken), "token {} is allowed and not taken", taken);
    if (taken == kStopId) break;
  }
  return 0;
}
