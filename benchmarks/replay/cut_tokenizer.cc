#include "replay/cut_tokenizer.h"

#include <algorithm>
#include <fstream>
#include <stdexcept>

#include "base/file.h"
#include "base/json.h"

namespace sluice::benchmarks {

void cut_tokenizer(const std::filesystem::path& from, int64_t vocabulary,
                   const std::filesystem::path& to) {
  constexpr int64_t kBytes = 256, kRowsAfterAdded = 8;
  const auto text = read_file(from, 1 << 26);
  if (!text.ok()) throw std::runtime_error(text.error().message());
  auto whole = parse_json(*text);
  if (!whole.ok()) throw std::runtime_error(from.string() + ": " + whole.error().message());
  Json& model = *whole->find("model");
  Json::Array& added = whole->find("added_tokens")->items();  // by id
  const int64_t first = vocabulary - kRowsAfterAdded - static_cast<int64_t>(added.size());
  if (first <= kBytes) throw std::runtime_error("a vocabulary without room for merges");
  for (size_t i = 0; i < added.size(); ++i) added[i].set("id", first + static_cast<int64_t>(i));
  std::erase_if(model.find("vocab")->members(),
                [&](const Json::Member& entry) { return *entry.second.as_int64() >= first; });
  // The merge of rank r makes token 256 + r.
  Json::Array& merges = model.find("merges")->items();
  merges.resize(std::min(merges.size(), static_cast<size_t>(first - kBytes)));
  std::ofstream file(to);
  file << whole->dump();
  if (!file.flush()) throw std::runtime_error(to.string() + " cannot be written");
}

}  // namespace sluice::benchmarks
