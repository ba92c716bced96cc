#include "codec/golden_file.h"

#include <cstring>
#include <optional>
#include <stdexcept>

#include "base/file.h"
#include "base/json.h"
#include "support/zstd_file.h"

namespace sluice::codec::test {
namespace {

DType dtype_by_name(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(DType::kC64); ++i) {
    if (dtype_name(static_cast<DType>(i)) == name) return static_cast<DType>(i);
  }
  throw std::runtime_error("dtype " + std::string(name));
}

std::optional<DType> dtype_by_ggml_id(uint32_t id) {
  switch (id) {
    case 0:
      return DType::kF32;
    case 1:
      return DType::kF16;
    case 2:
      return DType::kQ4_0;
    case 3:
      return DType::kQ4_1;
    case 6:
      return DType::kQ5_0;
    case 7:
      return DType::kQ5_1;
    case 8:
      return DType::kQ8_0;
    case 10:
      return DType::kQ2_K;
    case 11:
      return DType::kQ3_K;
    case 12:
      return DType::kQ4_K;
    case 13:
      return DType::kQ5_K;
    case 14:
      return DType::kQ6_K;
    case 20:
      return DType::kIQ4_NL;
    case 23:
      return DType::kIQ4_XS;
    case 30:
      return DType::kBF16;
    case 39:
      return DType::kGgmlMXFP4;
    case 40:
      return DType::kGgmlNVFP4;
    default:
      return std::nullopt;
  }
}

// Sequential little-endian reads; std::string::at-like bounds by substr.
class Cursor {
 public:
  explicit Cursor(const std::string& text) : text_(text) {}
  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view take(size_t bytes) {
    if (bytes > text_.size() - at_) throw std::runtime_error("golden file too short");
    const std::string_view part(text_.data() + at_, bytes);
    at_ += bytes;
    return part;
  }
  std::string_view text() { return take(number<uint64_t>()); }
  size_t position() const { return at_; }

 private:
  const std::string& text_;
  size_t at_ = 0;
};

void skip_value(Cursor& cursor, uint32_t type) {
  static constexpr size_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  if (type == 8) {
    cursor.text();
  } else if (type == 9) {
    const auto element = cursor.number<uint32_t>();
    for (auto count = cursor.number<uint64_t>(); count > 0; --count) skip_value(cursor, element);
  } else {
    cursor.take(kSizes[type]);
  }
}

}  // namespace

int64_t GoldenTensor::rows() const {
  int64_t product = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) product *= shape[i];
  return product;
}

GoldenFile::GoldenFile(const std::filesystem::path& path) {
  if (path.extension() == ".zst") {
    content_ = sluice::test::read_zstd(path);
  } else {
    auto content = sluice::read_file(path, uint64_t{1} << 30);
    if (!content.ok()) throw std::runtime_error(content.error().message());
    content_ = *std::move(content);
  }
  content_.starts_with("GGUF") ? read_gguf() : read_safetensors();
}

const GoldenTensor* GoldenFile::find(std::string_view name) const {
  for (const GoldenTensor& tensor : tensors_) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

const GoldenTensor& GoldenFile::at(std::string_view name) const {
  const GoldenTensor* tensor = find(name);
  if (tensor == nullptr) throw std::runtime_error("no tensor " + std::string(name));
  return *tensor;
}

void GoldenFile::read_safetensors() {
  Cursor cursor(content_);
  const auto length = cursor.number<uint64_t>();
  const auto header = parse_json(cursor.take(length));
  if (!header.ok()) throw std::runtime_error(header.error().message());
  const std::span<const std::byte> data(
      reinterpret_cast<const std::byte*>(content_.data()) + 8 + length,
      content_.size() - 8 - length);
  for (const auto& [name, entry] : header->members()) {
    if (name == "__metadata__") continue;
    GoldenTensor tensor{name, dtype_by_name(entry.find("dtype")->string()), {}, {}};
    for (const Json& extent : entry.find("shape")->items())
      tensor.shape.push_back(*extent.as_int64());
    const auto& offsets = entry.find("data_offsets")->items();
    const uint64_t begin = *offsets.at(0).as_uint64(), end = *offsets.at(1).as_uint64();
    tensor.bytes = data.subspan(begin, end - begin);
    tensors_.push_back(std::move(tensor));
  }
}

void GoldenFile::read_gguf() {
  Cursor cursor(content_);
  cursor.take(8);  // magic, version
  const auto tensor_count = cursor.number<uint64_t>(), entry_count = cursor.number<uint64_t>();
  for (uint64_t i = 0; i < entry_count; ++i) {
    cursor.text();
    skip_value(cursor, cursor.number<uint32_t>());
  }
  struct Place {
    GoldenTensor tensor;
    uint64_t offset;
  };
  std::vector<Place> places;
  for (uint64_t i = 0; i < tensor_count; ++i) {
    GoldenTensor tensor;
    tensor.name = cursor.text();
    tensor.shape.resize(cursor.number<uint32_t>());
    for (size_t d = tensor.shape.size(); d > 0; --d) tensor.shape[d - 1] = cursor.number<int64_t>();
    const auto dtype = dtype_by_ggml_id(cursor.number<uint32_t>());
    const auto offset = cursor.number<uint64_t>();
    if (!dtype) continue;
    tensor.dtype = *dtype;
    places.push_back({std::move(tensor), offset});
  }
  const size_t data = (cursor.position() + 31) / 32 * 32;
  for (Place& place : places) {
    const auto elements = static_cast<uint64_t>(place.tensor.rows() * place.tensor.columns());
    const uint64_t size = dtype_bytes(place.tensor.dtype, elements).value();
    if (data + place.offset + size > content_.size())
      throw std::runtime_error("tensor outside the file");
    place.tensor.bytes = {reinterpret_cast<const std::byte*>(content_.data()) + data + place.offset,
                          size};
    tensors_.push_back(std::move(place.tensor));
  }
}

}  // namespace sluice::codec::test
