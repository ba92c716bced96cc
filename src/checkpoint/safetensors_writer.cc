#include "checkpoint/safetensors_writer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <system_error>
#include <tuple>
#include <unordered_set>

#include "base/json.h"
#include "base/utf8.h"
#include "checkpoint/rules.h"
#include "checkpoint/safetensors.h"

namespace sluice::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLoneName = "model.safetensors";
constexpr std::string_view kIndexName = "model.safetensors.index.json";

// Bytes of a tensor that the format can hold; the error says why it cannot.
Result<uint64_t> stored_size(const TensorSpec& spec) {
  const auto refuse = [&](std::string why) {
    return bad_input(fmt::format("tensor {}", quote(spec.name)),
                     why + ", safetensors cannot store it");
  };
  if (const auto problem = safetensors_name_problem(spec.name)) return refuse(*problem);
  if (find_invalid_utf8(spec.name) || spec.name == "__metadata__")
    return refuse("not a name for a tensor");
  if (!safetensors_dtype(dtype_name(spec.dtype)) || spec.dtype > DType::kC64) {
    return refuse(fmt::format("type {}", dtype_name(spec.dtype)));
  }
  if (spec.shape.size() > kMaxRank) return refuse(fmt::format("{} dimensions", spec.shape.size()));
  uint64_t elements = 1;
  for (const int64_t extent : spec.shape) {
    if (extent < 0 || __builtin_mul_overflow(elements, static_cast<uint64_t>(extent), &elements)) {
      return refuse(fmt::format("shape [{}]", fmt::join(spec.shape, ", ")));
    }
  }
  const std::optional<uint64_t> size = dtype_bytes(spec.dtype, elements);
  if (!size || *size > (uint64_t{1} << 53))
    return refuse(fmt::format("shape [{}]", fmt::join(spec.shape, ", ")));
  return *size;
}

Result<std::vector<uint64_t>> stored_sizes(const std::vector<TensorSpec>& specs) {
  std::vector<uint64_t> sizes;
  std::unordered_set<std::string_view> names;
  for (const TensorSpec& spec : specs) {
    if (!names.insert(spec.name).second) {
      return bad_input(fmt::format("tensor {}", quote(spec.name)), "the name occurs twice");
    }
    SLUICE_ASSIGN(const uint64_t size, stored_size(spec));
    sizes.push_back(size);
  }
  return sizes;
}

// Bytes to which an element wants to be aligned; types below a byte have no wish.
int alignment_of(DType type) {
  const DTypeInfo& info = dtype_info(type);
  return info.block_elements == 1 ? info.block_bytes : 1;
}

bool in_file_order(const TensorSpec& a, const TensorSpec& b) {
  return std::make_tuple(-alignment_of(a.dtype), std::string_view(a.name)) <
         std::make_tuple(-alignment_of(b.dtype), std::string_view(b.name));
}

void sort_in_file_order(std::span<TensorSpec> specs) { std::ranges::sort(specs, in_file_order); }

// Length and text of a header, padded so that the data begin at a multiple of 8.
Result<std::string> header_bytes(std::span<const TensorSpec> specs,
                                 const SafetensorsOptions& options) {
  std::string text = "{";
  if (!options.metadata.empty()) {
    Json metadata = Json::object();
    for (const auto& [key, value] : options.metadata) metadata.set(key, value);
    text += "\"__metadata__\":" + metadata.dump() + ",";
  }
  uint64_t offset = 0;
  for (const TensorSpec& spec : specs) {
    SLUICE_ASSIGN(const uint64_t size, stored_size(spec));
    append_json_string(spec.name, text);
    text += fmt::format(R"(:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}},)",
                        dtype_name(spec.dtype), fmt::join(spec.shape, ","), offset, offset + size);
    offset += size;
  }
  if (text.back() == ',') text.pop_back();
  text += '}';
  text.resize((text.size() + 7) / 8 * 8, ' ');
  if (text.size() > kMaxHeaderBytes) {
    return bad_input("safetensors header",
                     fmt::format("{} bytes, the limit is {}", text.size(), kMaxHeaderBytes),
                     "Lower the shard limit");
  }
  const uint64_t length = text.size();
  std::string bytes(reinterpret_cast<const char*>(&length), sizeof length);
  return bytes + text;
}

}  // namespace

Result<std::vector<SafetensorsWriter::Shard>> SafetensorsWriter::shards_of(
    std::vector<TensorSpec>& specs, const SafetensorsOptions& options) {
  SLUICE_ASSIGN(const std::vector<uint64_t> sizes, stored_sizes(specs));
  std::vector<Shard> shards(1);
  uint64_t filled = 0;
  for (size_t i = 0; i < specs.size(); ++i) {
    if (shards.back().first != i && filled + sizes[i] > options.shard_limit) {
      shards.emplace_back();
      shards.back().first = i;
      filled = 0;
    }
    shards.back().end = i + 1;
    filled += sizes[i];
  }
  for (size_t i = 0; i < shards.size(); ++i) {
    Shard& shard = shards[i];
    if (!options.as_given)
      sort_in_file_order(std::span(specs).subspan(shard.first, shard.end - shard.first));
    shard.file_name = shards.size() == 1
                          ? std::string(kLoneName)
                          : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
  }
  return shards;
}

Result<uint64_t> SafetensorsWriter::total_bytes(std::vector<TensorSpec> specs,
                                                SafetensorsOptions options) {
  options.as_given = false;  // the files are the same
  SLUICE_ASSIGN(const auto shards, shards_of(specs, options));
  SLUICE_ASSIGN(const auto sizes, stored_sizes(specs));
  uint64_t sum = 0;
  for (const uint64_t size : sizes) sum += size;
  for (const Shard& shard : shards) {
    SLUICE_ASSIGN(
        const std::string header,
        header_bytes(std::span(specs).subspan(shard.first, shard.end - shard.first), options));
    sum += header.size();
  }
  return sum;
}

Result<SafetensorsWriter> SafetensorsWriter::create(const fs::path& folder,
                                                    std::vector<TensorSpec> specs,
                                                    SafetensorsOptions options) {
  std::error_code problem;
  for (const std::string_view name : {kIndexName, kLoneName}) {
    if (!options.overwrite && !options.kept && fs::exists(folder / name, problem)) {
      return usage_error((folder / name).string(), "exists already",
                         "Choose another folder or add --overwrite");
    }
  }
  SLUICE_ASSIGN(auto shards, shards_of(specs, options));
  return start(folder, std::move(specs), std::move(shards), std::move(options));
}

Result<SafetensorsWriter> SafetensorsWriter::create_file(const fs::path& file,
                                                         std::vector<TensorSpec> specs,
                                                         SafetensorsOptions options) {
  std::vector<Shard> shards(1);
  shards[0].file_name = file.filename().string();
  shards[0].end = specs.size();
  if (!options.as_given) sort_in_file_order(specs);
  SLUICE_ASSIGN(SafetensorsWriter writer,
                start(file.parent_path(), std::move(specs), std::move(shards), std::move(options)));
  writer.is_checkpoint_ = false;
  return writer;
}

Result<SafetensorsWriter> SafetensorsWriter::start(fs::path folder, std::vector<TensorSpec> plan,
                                                   std::vector<Shard> shards,
                                                   SafetensorsOptions options) {
  SafetensorsWriter writer;
  writer.folder_ = std::move(folder);
  writer.options_ = std::move(options);
  writer.shards_ = std::move(shards);
  SLUICE_ASSIGN(std::vector<uint64_t> sizes, stored_sizes(plan));
  writer.sequence_ = TensorSequence(std::move(plan), std::move(sizes));
  SLUICE_TRY(writer.open_shard(writer.shards_[0]));
  while (writer.next() == writer.shards_[writer.shard_].end &&
         writer.shard_ + 1 < writer.shards_.size()) {
    ++writer.shard_;
    SLUICE_TRY(writer.open_shard(writer.shards_[writer.shard_]));
  }
  // What lies behind the first missing tensor is not asked about when its file is opened.
  if (writer.options_.kept) writer.options_.kept = keeps_nothing;
  return writer;
}

std::vector<size_t> SafetensorsWriter::file_order(const Shard& shard) const {
  std::vector<size_t> order(shard.end - shard.first);
  std::iota(order.begin(), order.end(), shard.first);
  std::ranges::sort(order, [&](size_t a, size_t b) { return in_file_order(plan()[a], plan()[b]); });
  return order;
}

std::vector<size_t> SafetensorsWriter::file_order() const {
  std::vector<size_t> order;
  for (const Shard& shard : shards_) {
    const auto own = file_order(shard);
    order.insert(order.end(), own.begin(), own.end());
  }
  return order;
}

Status SafetensorsWriter::lay_out(Shard& shard) {
  const std::vector<size_t> order = file_order(shard);
  std::vector<TensorSpec> sorted;
  for (const size_t tensor : order) sorted.push_back(plan()[tensor]);
  SLUICE_ASSIGN(shard.header, header_bytes(sorted, options_));
  shard.places.resize(order.size());
  uint64_t place = shard.header.size();
  for (const size_t tensor : order) {
    shard.places[tensor - shard.first] = place;
    place += sequence_.size(tensor);
  }
  return {};
}

Status SafetensorsWriter::open_shard(Shard& shard) {
  const fs::path file = folder_ / shard.file_name;
  SLUICE_TRY(lay_out(shard));
  KeptPart kept;
  if (options_.kept) {
    SLUICE_ASSIGN(
        kept, find_kept(file, shard.header, sequence_, shard.first, shard.places, options_.kept));
    sequence_.begin_at(kept.end);
    SLUICE_ASSIGN(shard.writer, FileWriter::go_on(file, kept.bytes));
  } else {
    SLUICE_ASSIGN(shard.writer, FileWriter::create(file, options_.overwrite));
  }
  return kept.bytes > 0 ? Status() : shard.writer->append(shard.header);
}

Status SafetensorsWriter::append(std::string_view name, std::span<const std::byte> bytes) {
  if (sequence_.current() == shards_[shard_].end && shard_ + 1 < shards_.size()) {
    ++shard_;
    SLUICE_TRY(open_shard(shards_[shard_]));
  }
  const size_t tensor = sequence_.current();
  const uint64_t given = sequence_.given();
  sequence_.take(name, bytes.size());
  Shard& shard = shards_[shard_];
  return shard.writer->write_at(shard.places[tensor - shard.first] + given, bytes);
}

Status SafetensorsWriter::finish() {
  SLUICE_CHECK(sequence_.done(), "{} of {} tensors were written", sequence_.current(),
               plan().size());
  for (Shard& shard : shards_) SLUICE_TRY(shard.writer->commit());
  if (!is_checkpoint_) return {};
  if (shards_.size() > 1) return write_index();
  // An index of the checkpoint that was here before would win over the new file.
  std::error_code problem;
  fs::remove(folder_ / kIndexName, problem);
  if (problem)
    return failed((folder_ / kIndexName).string(), "cannot remove it: " + problem.message());
  return {};
}

Status SafetensorsWriter::write_index() const {
  uint64_t total = 0;
  std::vector<std::pair<std::string_view, std::string_view>> places;
  for (const Shard& shard : shards_) {
    for (size_t i = shard.first; i < shard.end; ++i) {
      places.emplace_back(plan()[i].name, shard.file_name);
      total += sequence_.size(i);
    }
  }
  std::ranges::sort(places);
  Json::Object map;
  for (const auto& [name, file] : places) map.emplace_back(std::string(name), Json(file));
  Json index = Json::object();
  index.set("metadata", Json::object()).set("total_size", Json(total));
  index.set("weight_map", Json(std::move(map)));
  const std::string text = index.dump(2) + "\n";
  return write_file(folder_ / kIndexName, std::as_bytes(std::span(text.data(), text.size())),
                    options_.overwrite || options_.kept);
}

}  // namespace sluice::checkpoint
