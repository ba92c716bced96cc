#include "tools/quantize/journal_lines.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <charconv>
#include <cmath>
#include <utility>

#include "base/json.h"

namespace sluice::quantize {
namespace {

constexpr int64_t kVersion = 1;
constexpr size_t kHexDigits = 16;

uint64_t chained(std::string_view json, uint64_t before) {
  return XXH3_64bits_withSeed(json.data(), json.size(), before);
}

std::optional<uint64_t> from_hex(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.size() != kHexDigits || error != std::errc() || end != text.data() + text.size())
    return std::nullopt;
  return value;
}

std::string text_of(const Json& object, std::string_view key) {
  const Json* found = object.find(key);
  return found != nullptr && found->is_string() ? found->string() : std::string();
}

// The JSON of the line that begins `text`, if its hash fits what was before it.
std::optional<Json> checked_line(std::string_view line, uint64_t before) {
  if (line.size() <= kHexDigits || line[kHexDigits] != ' ') return std::nullopt;
  const std::string_view json = line.substr(kHexDigits + 1);
  if (from_hex(line.substr(0, kHexDigits)) != chained(json, before)) return std::nullopt;
  auto parsed = parse_json(json, {.depth = 4, .duplicates = DuplicateKeys::kReject});
  if (!parsed.ok() || !parsed->is_object()) return std::nullopt;
  return std::move(*parsed);
}

bool is_size(double value) { return value >= 0 && std::isfinite(value); }

std::optional<JournalEntry> entry_of(const Json& json) {
  JournalEntry entry;
  entry.tensor = text_of(json, "tensor");
  const auto hash = from_hex(text_of(json, "hash"));
  const Json *error = json.find("squared_error"), *norm = json.find("squared_norm");
  if (entry.tensor.empty() || !hash || error == nullptr || norm == nullptr) return std::nullopt;
  entry.hash = *hash;
  entry.error.squared_error = error->as_double().value_or(NAN);
  entry.error.squared_norm = norm->as_double().value_or(NAN);
  bool sane = is_size(entry.error.squared_error) && is_size(entry.error.squared_norm);
  if (const Json* output = json.find("output_error")) {
    const Json *plain = output->find("plain"), *written = output->find("written");
    if (plain == nullptr || written == nullptr) return std::nullopt;
    entry.output_error = {plain->as_double().value_or(NAN), written->as_double().value_or(NAN)};
    sane = sane && is_size(entry.output_error->plain) && is_size(entry.output_error->written);
  }
  return sane ? std::optional(std::move(entry)) : std::nullopt;
}

}  // namespace

Result<ParsedJournal> parse_journal(std::string_view text) {
  ParsedJournal parsed;
  size_t at = 0;
  uint64_t chain = 0;
  while (true) {
    const size_t end = text.find('\n', at);
    if (end == std::string_view::npos) break;
    const std::string_view line = text.substr(at, end - at);
    const auto json = checked_line(line, chain);
    const auto entry = json && at > 0 ? entry_of(*json) : std::nullopt;
    if (!json || (at > 0 && !entry)) {
      parsed.damage = fmt::format("its line at byte {} is damaged", at);
      break;
    }
    chain = *from_hex(line.substr(0, kHexDigits));
    JournalEntry& place = at == 0 ? parsed.head : parsed.entries.emplace_back(*entry);
    if (at == 0) {
      const Json* version = json->find("version");
      if (version == nullptr || version->as_int64() != kVersion)
        return bad_input(kJournalName, "is of another version");
      parsed.identity = {text_of(*json, "program"), text_of(*json, "source"),
                         text_of(*json, "request")};
    }
    place.end = end + 1;
    place.chain = chain;
    at = end + 1;
  }
  if (parsed.head.end == 0)
    return bad_input(kJournalName, parsed.damage.empty() ? "is empty" : parsed.damage);
  return parsed;
}

std::string sealed_line(std::string_view json, uint64_t& chain) {
  chain = chained(json, chain);
  return fmt::format("{:016x} {}\n", chain, json);
}

std::string journal_head(const BuildIdentity& identity, uint64_t& chain) {
  Json head = Json::object();
  head.set("version", kVersion);
  head.set("program", identity.program);
  head.set("source", identity.source);
  head.set("request", identity.request);
  return sealed_line(head.dump(), chain);
}

std::string journal_line(const JournalEntry& entry, uint64_t& chain) {
  Json line = Json::object();
  line.set("tensor", entry.tensor);
  line.set("hash", fmt::format("{:016x}", entry.hash));
  line.set("squared_error", entry.error.squared_error);
  line.set("squared_norm", entry.error.squared_norm);
  if (entry.output_error) {
    Json output = Json::object();
    output.set("plain", entry.output_error->plain);
    output.set("written", entry.output_error->written);
    line.set("output_error", std::move(output));
  }
  return sealed_line(line.dump(), chain);
}

}  // namespace sluice::quantize
