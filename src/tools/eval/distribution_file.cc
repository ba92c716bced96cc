#include "tools/eval/distribution_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"

namespace sluice::tools {
namespace {

constexpr char kMagic[8] = {'s', 'l', 'u', 'i', 'c', 'e', 'P', '1'};
constexpr size_t kFixedHeader = sizeof kMagic + 4 * sizeof(uint32_t);
// Below this a probability is as good as none: it bounds the step of the 16-bit code to 6e-4.
constexpr float kFloor = -40.0f;

size_t row_bytes(uint32_t vocabulary) { return 2 * sizeof(float) + vocabulary * sizeof(uint16_t); }

template <typename T>
T read_at(std::span<const std::byte> bytes, uint64_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

}  // namespace

Result<DistributionWriter> DistributionWriter::create(const std::filesystem::path& path,
                                                      const DistributionHeader& header,
                                                      bool overwrite) {
  SLUICE_ASSIGN(FileWriter file, FileWriter::create(path, overwrite));
  const uint32_t fixed[4] = {header.vocabulary, header.context, header.first_scored,
                             static_cast<uint32_t>(header.tokens.size())};
  SLUICE_TRY(file.append(std::string_view(kMagic, sizeof kMagic)));
  SLUICE_TRY(file.append(std::as_bytes(std::span(fixed))));
  SLUICE_TRY(file.append(std::as_bytes(std::span(header.tokens))));
  DistributionWriter writer(std::move(file));
  writer.row_.resize(row_bytes(header.vocabulary));
  return writer;
}

Status DistributionWriter::add(std::span<const float> values) {
  SLUICE_CHECK(row_bytes(static_cast<uint32_t>(values.size())) == row_.size(), "{} values",
               values.size());
  const float highest = *std::max_element(values.begin(), values.end());
  const float lowest = std::max(*std::min_element(values.begin(), values.end()), kFloor);
  const float step = highest > lowest ? (highest - lowest) / 65535.0f : 1.0f;
  std::memcpy(row_.data(), &lowest, sizeof lowest);
  std::memcpy(row_.data() + sizeof lowest, &step, sizeof step);
  for (size_t i = 0; i < values.size(); ++i) {
    const auto code =
        static_cast<uint16_t>(std::lround(std::clamp((values[i] - lowest) / step, 0.0f, 65535.0f)));
    std::memcpy(row_.data() + 2 * sizeof(float) + i * sizeof code, &code, sizeof code);
  }
  return file_.append(row_);
}

bool DistributionReader::recognises(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return false;
  const Result<MappedFile> file = MappedFile::open(path);
  return file.ok() && file->bytes().size() >= sizeof kMagic &&
         std::memcmp(file->bytes().data(), kMagic, sizeof kMagic) == 0;
}

Result<DistributionReader> DistributionReader::open(const std::filesystem::path& path) {
  DistributionReader reader;
  SLUICE_ASSIGN(reader.file_, MappedFile::open(path));
  const auto bytes = reader.file_.bytes();
  const auto refuse = [&](std::string why) {
    return bad_input(path.string(), std::move(why), "Write it again with --save-logits");
  };
  if (bytes.size() < kFixedHeader || std::memcmp(bytes.data(), kMagic, sizeof kMagic) != 0)
    return refuse("not a file of distributions");
  DistributionHeader& header = reader.header_;
  header.vocabulary = read_at<uint32_t>(bytes, 8);
  header.context = read_at<uint32_t>(bytes, 12);
  header.first_scored = read_at<uint32_t>(bytes, 16);
  const auto tokens = read_at<uint32_t>(bytes, 20);
  if (header.vocabulary == 0 || header.vocabulary > (1u << 24) || header.context < 2 ||
      header.first_scored >= header.context) {
    return refuse(fmt::format("impossible header: vocabulary {}, context {}, first scored {}",
                              header.vocabulary, header.context, header.first_scored));
  }
  if ((bytes.size() - kFixedHeader) / sizeof(int32_t) < tokens)
    return refuse("ends inside its tokens");
  header.tokens.resize(tokens);
  std::memcpy(header.tokens.data(), bytes.data() + kFixedHeader, tokens * sizeof(int32_t));
  reader.first_row_offset_ = kFixedHeader + uint64_t{tokens} * sizeof(int32_t);
  const uint64_t rest = bytes.size() - reader.first_row_offset_;
  if (rest % row_bytes(header.vocabulary) != 0) return refuse("ends inside a row");
  reader.rows_ = rest / row_bytes(header.vocabulary);
  return reader;
}

void DistributionReader::read(uint64_t row, std::span<float> values) const {
  SLUICE_CHECK(row < rows_ && values.size() == header_.vocabulary, "row {} of {}, {} values", row,
               rows_, values.size());
  const uint64_t offset = first_row_offset_ + row * row_bytes(header_.vocabulary);
  const auto bytes = file_.bytes();
  const auto lowest = read_at<float>(bytes, offset);
  const auto step = read_at<float>(bytes, offset + sizeof(float));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = lowest + step * static_cast<float>(read_at<uint16_t>(
                                    bytes, offset + 2 * sizeof(float) + i * sizeof(uint16_t)));
  }
}

}  // namespace sluice::tools
