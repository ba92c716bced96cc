#include "tools/quantize/safetensors_build.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <set>

#include "base/check.h"
#include "base/file.h"
#include "codec/fp8.h"
#include "codec/number_formats.h"
#include "tools/convert/published_files.h"
#include "tools/convert/row_stream.h"
#include "tools/quantize/compensated_rounding.h"
#include "tools/quantize/fp8_search.h"
#include "tools/quantize/importance.h"

namespace sluice::quantize {

using convert::Convention;
using convert::ErrorSum;
using convert::RowReader;
using convert::Source;
using convert::SourceWeight;

namespace {

using Bytes = std::vector<std::byte>;

// 72, the largest E4M3 scale that keeps a code times its scale within E4M3
// (formats-safetensors.md 3.11).
constexpr uint8_t kLargestW4A8Scale = 0x69;

bool is_fp8(Format format) { return format == Format::kFp8Block || format == Format::kFp8Channel; }

Status check_finite(std::span<const float> values, const RowReader& reader, int64_t first) {
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  if (bad == values.end()) return {};
  const int64_t at = bad - values.begin();
  return bad_input(reader.name(),
                   fmt::format("value [{}, {}] is {}", first + at / reader.columns(),
                               at % reader.columns(), *bad),
                   "Only finite weights can be quantized: check the source checkpoint");
}

void store(Bytes& bytes, size_t index, DType dtype, float value) {
  if (dtype == DType::kBF16) {
    const uint16_t bits = codec::f32_to_bf16(value);
    std::memcpy(bytes.data() + 2 * index, &bits, sizeof bits);
  } else {
    std::memcpy(bytes.data() + 4 * index, &value, sizeof value);
  }
}

float load(const Bytes& bytes, size_t index, DType dtype) {
  if (dtype == DType::kBF16) {
    uint16_t bits = 0;
    std::memcpy(&bits, bytes.data() + 2 * index, sizeof bits);
    return codec::bf16_to_f32(bits);
  }
  float value = 0;
  std::memcpy(&value, bytes.data() + 4 * index, sizeof value);
  return value;
}

float largest(std::span<const float> values) {
  float amax = 0;
  for (const float value : values) amax = std::max(amax, std::fabs(value));
  return amax;
}

// Writes the planes of all matrices in the order in which the file wants them. Scales are small and
// may be wanted before or after the codes: whichever comes first makes them, and they are kept
// until both are written.
class Build {
 public:
  Build(const Source& source, const SafetensorsRequest& request, const SafetensorsPlan& plan,
        ThreadPool& pool, BuildReport& report)
      : source_(source), request_(request), pool_(pool), report_(report) {
    for (const PlannedTensor& tensor : plan.tensors) {
      by_name_[tensor.spec.name] = &tensor;
      if (tensor.kind == PlaneKind::kScales) scale_of_[tensor.weight] = &tensor;
      if (tensor.kind == PlaneKind::kCodes) codes_of_[tensor.weight] = &tensor;
    }
  }

  Status write(checkpoint::SafetensorsWriter& writer, const Progress& progress,
               BuildJournal& journal) {
    const auto& order = writer.plan();
    const size_t kept = writer.next();
    if (request_.compensation != nullptr) SLUICE_TRY(expect_factors(order, kept));
    for (size_t i = 0; i < order.size(); ++i) {
      const std::string& name = order[i].name;
      const PlannedTensor& tensor = *by_name_.at(name);
      count(tensor);
      if (i < kept) {
        if (has_error(tensor)) keep_errors(tensor, journal.entries()[i]);
        written(tensor);
        continue;
      }
      if (progress && !progress(i, order.size(), name)) return interrupted(name);
      const auto sink = [&](std::span<const std::byte> bytes) {
        journal.take(bytes);
        return writer.append(name, bytes);
      };
      SLUICE_TRY(write_plane(tensor, sink));
      written(tensor);
      SLUICE_TRY(note(journal, name, tensor));
    }
    finish_report(order);
    return {};
  }

 private:
  // Planes that stand for a weight in the report.
  static bool has_error(const PlannedTensor& tensor) {
    return tensor.kind == PlaneKind::kPlain || tensor.kind == PlaneKind::kCodes;
  }

  void keep_errors(const PlannedTensor& tensor, const JournalEntry& entry) {
    errors_[tensor.weight] = entry.error;
    if (entry.output_error) output_errors_[tensor.weight] = *entry.output_error;
  }

  Status note(BuildJournal& journal, const std::string& name, const PlannedTensor& tensor) const {
    if (!has_error(tensor)) return journal.add(name, {});
    const auto output = output_errors_.find(tensor.weight);
    const bool known = output != output_errors_.end();
    return journal.add(name, errors_.at(tensor.weight),
                       known ? std::optional(output->second) : std::nullopt);
  }

  void count(const PlannedTensor& tensor) {
    uint64_t elements = 1;
    for (const int64_t extent : tensor.spec.shape) elements *= static_cast<uint64_t>(extent);
    const uint64_t bytes = dtype_bytes(tensor.spec.dtype, elements).value_or(0);
    report_.bytes += bytes;
    bytes_of_[tensor.weight] += bytes;
    if (tensor.kind == PlaneKind::kVision) report_.parameters += elements;
  }

  Status write_plane(const PlannedTensor& tensor, const convert::Sink& sink) {
    if (tensor.kind == PlaneKind::kVision) return write_vision(tensor, sink);
    if (tensor.kind == PlaneKind::kCacheScale) {
      Bytes scale(static_cast<size_t>(dtype_info(tensor.spec.dtype).block_bytes));
      store(scale, 0, tensor.spec.dtype, tensor.cache_scale);
      return sink(scale);
    }
    const RowReader reader(source_, *tensor.weight, Convention::kPublished);
    switch (tensor.kind) {
      case PlaneKind::kPlain: {
        ErrorSum& error = errors_[tensor.weight];
        return convert::write_rows(reader, tensor.spec.dtype, {}, pool_, sink, error);
      }
      case PlaneKind::kTensorScale:
        return write_tensor_scale(tensor, sink);
      case PlaneKind::kInputScale:
        return write_input_scale(tensor, sink);
      case PlaneKind::kScales:
        if (is_fp8(tensor.format)) SLUICE_TRY(ensure_fp8_scales(reader, tensor));
        if (!scales_.contains(tensor.weight)) SLUICE_TRY(make_codes_again(reader, tensor));
        SLUICE_TRY(sink(scales_.at(tensor.weight)));
        break;
      default:
        SLUICE_TRY(is_fp8(tensor.format) ? write_fp8_codes(reader, tensor, sink)
                                         : write_nvfp4_codes(reader, tensor, sink));
    }
    return {};
  }

  Status write_vision(const PlannedTensor& tensor, const convert::Sink& sink) {
    if (tensor.stored != nullptr) return sink(tensor.stored->bytes);
    const convert::TowerReader reader(*source_.mmproj, *tensor.tower, Convention::kPublished);
    ErrorSum ignored;  // copies of a tower have no line in the report
    return convert::write_rows(reader, tensor.spec.dtype, {}, pool_, sink, ignored);
  }

  // Scales are needed until both planes are written.
  void written(const PlannedTensor& tensor) {
    const bool pair = tensor.kind == PlaneKind::kCodes || tensor.kind == PlaneKind::kScales;
    if (pair && !half_written_.insert(tensor.weight).second) scales_.erase(tensor.weight);
  }

  // ---------------------------------------------- FP8

  Status ensure_fp8_scales(const RowReader& reader, const PlannedTensor& tensor) {
    if (scales_.contains(tensor.weight)) return {};
    const bool channel = tensor.format == Format::kFp8Channel;
    const DType dtype = scale_of_.at(tensor.weight)->spec.dtype;
    const int64_t rows = reader.rows(), columns = reader.columns();
    const int64_t height = channel ? 1 : codec::kFp8Tile,
                  width = channel ? columns : codec::kFp8Tile;
    const int64_t across = (columns + width - 1) / width;
    Bytes scales(static_cast<size_t>((rows + height - 1) / height * across) *
                 static_cast<size_t>(dtype_info(dtype).block_bytes));
    const bool search = request_.search != ScaleSearch::kNone;
    const auto work = [&](int64_t first, int64_t count, std::span<const float> values) -> Status {
      SLUICE_TRY(check_finite(values, reader, first));
      for (int64_t top = 0; top < count; top += height) {
        for (int64_t j = 0; j < across; ++j) {
          const int64_t begin = j * width, taken = std::min(width, columns - begin);
          float amax = 0;
          for (int64_t row = top; row < std::min(count, top + height); ++row)
            amax = std::max(amax, largest(values.subspan(static_cast<size_t>(row * columns + begin),
                                                         static_cast<size_t>(taken))));
          const float scale =
              channel && search ? best_fp8_scale(values.subspan(static_cast<size_t>(top * columns),
                                                                static_cast<size_t>(columns)),
                                                 dtype)
                                : plain_fp8_scale(amax, dtype);
          store(scales, static_cast<size_t>((first + top) / height * across + j), dtype, scale);
        }
      }
      return {};
    };
    SLUICE_TRY(convert::for_each_slab(reader, pool_, height, work,
                                      [](int64_t, int64_t) { return Status(); }));
    scales_[tensor.weight] = std::move(scales);
    return {};
  }

  Status write_fp8_codes(const RowReader& reader, const PlannedTensor& tensor,
                         const convert::Sink& sink) {
    SLUICE_TRY(ensure_fp8_scales(reader, tensor));
    const Bytes& scales = scales_.at(tensor.weight);
    const DType dtype = scale_of_.at(tensor.weight)->spec.dtype;
    const bool channel = tensor.format == Format::kFp8Channel;
    const int64_t columns = reader.columns();
    const int64_t height = channel ? 1 : codec::kFp8Tile,
                  width = channel ? columns : codec::kFp8Tile;
    const int64_t across = (columns + width - 1) / width;
    if (request_.compensation != nullptr) {
      std::vector<float> values(scales.size() / dtype_info(dtype).block_bytes);
      for (size_t i = 0; i < values.size(); ++i) values[i] = load(scales, i, dtype);
      return write_compensated(reader, tensor, Fp8Lattice{height, width, values}, {}, columns,
                               sink);
    }
    const auto encode = [&](int64_t row, std::span<const float> values, uint8_t* codes) {
      double error = 0;
      for (int64_t j = 0; j < across; ++j) {
        const int64_t begin = j * width, taken = std::min(width, columns - begin);
        const float scale = load(scales, static_cast<size_t>(row / height * across + j), dtype);
        error += encode_fp8_values(
            values.subspan(static_cast<size_t>(begin), static_cast<size_t>(taken)), scale,
            codes + begin);
      }
      return error;
    };
    return write_codes(reader, tensor, columns, row_by_row(columns, columns, encode), sink);
  }

  // ---------------------------------------------- NVFP4

  // One divisor for all modules that engines fuse.
  Result<float> divisor_of(const PlannedTensor& tensor) {
    const auto fused = fused_with(tensor.module);
    const auto known = divisors_.find(fused.front());
    if (known != divisors_.end()) return known->second;
    float amax = 0;
    for (const std::string& module : fused) {
      const SourceWeight* weight = source_.find(module + ".weight");
      if (weight == nullptr) continue;
      const RowReader reader(source_, *weight, Convention::kPublished);
      std::vector<float> of_rows(static_cast<size_t>(reader.rows()));
      const auto work = [&](int64_t first, int64_t count, std::span<const float> values) -> Status {
        SLUICE_TRY(check_finite(values, reader, first));
        const auto columns = static_cast<size_t>(reader.columns());
        for (int64_t row = 0; row < count; ++row)
          of_rows[static_cast<size_t>(first + row)] =
              largest(values.subspan(static_cast<size_t>(row) * columns, columns));
        return {};
      };
      SLUICE_TRY(convert::for_each_slab(reader, pool_, 1, work,
                                        [](int64_t, int64_t) { return Status(); }));
      amax = std::max(amax, largest(of_rows));
    }
    const float divisor = power_of_two_divisor(amax, tensor.format == Format::kW4A8Nvfp4);
    divisors_[fused.front()] = divisor;
    return divisor;
  }

  Status write_tensor_scale(const PlannedTensor& tensor, const convert::Sink& sink) {
    SLUICE_ASSIGN(const float divisor, divisor_of(tensor));
    return write_float(request_.layout == Layout::kModelOpt ? 1.0f / divisor : divisor, sink);
  }

  // 2688 / amax for activations in NVFP4, 448 / amax in FP8; ModelOpt stores the reciprocal.
  Status write_input_scale(const PlannedTensor& tensor, const convert::Sink& sink) {
    float amax = 0;
    for (const std::string& module : fused_with(tensor.module))
      amax = std::max(amax, request_.ranges->find(module).value_or(0));
    const float most =
        tensor.format == Format::kW4A8Nvfp4 ? codec::kE4m3Max : codec::kE4m3Max * codec::kE2m1Max;
    return write_float(request_.layout == Layout::kModelOpt ? amax / most : most / amax, sink);
  }

  static Status write_float(float value, const convert::Sink& sink) {
    return sink(std::as_bytes(std::span(&value, 1)));
  }

  // NVFP4 finds scales and codes together: an earlier run that ended between the two has left the
  // codes only. They stand beside each other in a file, so that at most one matrix is found twice
  // (and one more where shards meet); what would spare that is a file of scales that nobody else
  // reads.
  Status make_codes_again(const RowReader& reader, const PlannedTensor& scales) {
    const auto codes = codes_of_.find(scales.weight);
    SLUICE_CHECK(codes != codes_of_.end(), "{} belongs to no codes", scales.spec.name);
    return write_nvfp4_codes(reader, *codes->second,
                             [](std::span<const std::byte>) { return Status(); });
  }

  Status write_nvfp4_codes(const RowReader& reader, const PlannedTensor& tensor,
                           const convert::Sink& sink) {
    SLUICE_ASSIGN(const float divisor, divisor_of(tensor));
    const int64_t columns = reader.columns(), group = block_columns(tensor.format);
    const std::vector<float> importance =
        in_published_order(tensor.importance, *tensor.weight, source_.binding.config);
    Bytes& scales = scales_[tensor.weight];
    scales.resize(static_cast<size_t>(reader.rows() * (columns / group)));
    if (request_.compensation != nullptr) {
      Nvfp4Lattice lattice{group, divisor, request_.search, importance};
      if (tensor.format == Format::kW4A8Nvfp4) lattice.largest_scale = kLargestW4A8Scale;
      return write_compensated(reader, tensor, lattice, as_codes(scales), columns / 2, sink);
    }
    const auto encode = [&](int64_t row, std::span<const float> values, uint8_t* codes) {
      uint8_t* own = as_codes(scales).data() + row * (columns / group);
      encode_nvfp4_row(values, importance, group, divisor, request_.search, own, codes);
      double error = 0;
      for (size_t i = 0; i < values.size(); ++i) {
        const uint8_t code = (codes[i / 2] >> (i % 2 == 0 ? 0 : 4)) & 15;
        const float factor = codec::kE4m3Values[own[i / static_cast<size_t>(group)]] / divisor;
        const double difference =
            static_cast<double>(codec::kE2m1Values[code] * factor) - static_cast<double>(values[i]);
        error += difference * difference;
      }
      return error;
    };
    return write_codes(reader, tensor, columns / 2, row_by_row(columns, columns / 2, encode), sink);
  }

  // ---------------------------------------------- compensated rounding of either

  // Of the tensors from `kept` on, and of a matrix whose codes are kept without their scales.
  Status expect_factors(const std::vector<checkpoint::TensorSpec>& order, size_t kept) {
    report_.calibration = {"gptq", request_.compensation->text(), request_.compensation->tokens()};
    std::vector<std::string> modules;
    std::set<const SourceWeight*> coded;
    for (size_t i = 0; i < order.size(); ++i) {
      const PlannedTensor& tensor = *by_name_.at(order[i].name);
      const bool codes = tensor.kind == PlaneKind::kCodes;
      const bool codes_again = tensor.kind == PlaneKind::kScales && !is_fp8(tensor.format) &&
                               !coded.contains(tensor.weight);
      if (i >= kept && (codes || codes_again)) {
        modules.push_back(tensor.module);
        coded.insert(tensor.weight);
      }
    }
    return request_.compensation->expect(modules);
  }

  // `scales`: all of the matrix, for formats whose search is part of the rounding; else empty.
  Status write_compensated(const RowReader& reader, const PlannedTensor& tensor,
                           const Lattice& lattice, std::span<uint8_t> scales, int64_t row_bytes,
                           const convert::Sink& sink) {
    SLUICE_ASSIGN(const auto factor, request_.compensation->factor(tensor.module, pool_));
    const auto rows = static_cast<size_t>(reader.rows());
    const size_t row_scales = scales.size() / rows;
    std::vector<RowLoss> losses(rows);
    const auto encode = [&](int64_t first, std::span<const float> values, uint8_t* codes,
                            std::span<ErrorSum> sums) {
      const auto at = static_cast<size_t>(first);
      const RoundedRows out{{codes, sums.size() * static_cast<size_t>(row_bytes)},
                            scales.subspan(at * row_scales, sums.size() * row_scales),
                            std::span(losses).subspan(at, sums.size())};
      round_compensated(*factor, lattice, first, values, out);
      for (size_t i = 0; i < sums.size(); ++i) sums[i].squared_error = out.losses[i].squared_error;
    };
    SLUICE_TRY(write_codes(reader, tensor, row_bytes, encode, sink));
    RowLoss sum;
    for (const RowLoss& loss : losses) {
      sum.output += loss.output;
      sum.plain += loss.plain;
      sum.written += loss.written;
    }
    output_errors_[tensor.weight] = {ErrorSum{sum.plain, sum.output}.relative(),
                                     ErrorSum{sum.written, sum.output}.relative()};
    return {};
  }

  static std::span<uint8_t> as_codes(Bytes& bytes) {
    return {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()};
  }

  // ---------------------------------------------- codes of either

  // Rows from `first` into `codes`, and the squared error of each.
  using EncodeRows = std::function<void(int64_t first, std::span<const float> values,
                                        uint8_t* codes, std::span<ErrorSum> sums)>;
  using EncodeRow =
      std::function<double(int64_t row, std::span<const float> values, uint8_t* codes)>;

  static EncodeRows row_by_row(int64_t columns, int64_t row_bytes, EncodeRow encode) {
    return [=](int64_t first, std::span<const float> values, uint8_t* codes,
               std::span<ErrorSum> sums) {
      for (size_t i = 0; i < sums.size(); ++i) {
        const auto row = static_cast<int64_t>(i);
        sums[i].squared_error =
            encode(first + row,
                   values.subspan(static_cast<size_t>(row * columns), static_cast<size_t>(columns)),
                   codes + row * row_bytes);
      }
    };
  }

  Status write_codes(const RowReader& reader, const PlannedTensor& tensor, int64_t row_bytes,
                     const EncodeRows& encode, const convert::Sink& sink) {
    const int64_t rows = reader.rows(), columns = reader.columns();
    std::vector<ErrorSum> sums(static_cast<size_t>(rows));
    Bytes codes(
        static_cast<size_t>(std::min(rows, convert::kSlabValues / columns + 1) * row_bytes));
    int64_t slab_first = 0;
    const auto work = [&](int64_t first, int64_t count, std::span<const float> values) -> Status {
      SLUICE_TRY(check_finite(values, reader, first));
      const auto own =
          std::span(sums).subspan(static_cast<size_t>(first), static_cast<size_t>(count));
      encode(first, values, as_codes(codes).data() + (first - slab_first) * row_bytes, own);
      for (size_t row = 0; row < own.size(); ++row) {
        const auto width = static_cast<size_t>(columns);
        for (const float weight : values.subspan(row * width, width)) {
          const auto value = static_cast<double>(weight);
          own[row].squared_norm += value * value;
        }
      }
      return {};
    };
    const auto finish = [&](int64_t first, int64_t count) -> Status {
      slab_first = first + count;
      return sink(std::span(codes).first(static_cast<size_t>(count * row_bytes)));
    };
    SLUICE_TRY(convert::for_each_slab(reader, pool_, 1, work, finish));
    ErrorSum& error = errors_[tensor.weight];
    error = {};
    for (const ErrorSum& sum : sums) {
      error.squared_error += sum.squared_error;
      error.squared_norm += sum.squared_norm;
    }
    return {};
  }

  // One line per weight, under the name of its codes.
  void finish_report(const std::vector<checkpoint::TensorSpec>& order) {
    for (const checkpoint::TensorSpec& spec : order) {
      const PlannedTensor& tensor = *by_name_.at(spec.name);
      if (!has_error(tensor)) continue;
      const EncodedMatrix& matrix = tensor.weight->bound->matrix;
      const bool quantized = tensor.kind == PlaneKind::kCodes;
      const Format plain = spec.dtype == DType::kF32 ? Format::kF32 : Format::kBF16;
      report_.tensors.push_back(
          {spec.name, std::string(format_name(quantized ? tensor.format : plain)), matrix.rows,
           matrix.columns, bytes_of_.at(tensor.weight), errors_[tensor.weight].relative()});
      const auto output = output_errors_.find(tensor.weight);
      if (output != output_errors_.end()) report_.tensors.back().output_error = output->second;
      report_.parameters += static_cast<uint64_t>(matrix.rows * matrix.columns);
    }
  }

  const Source& source_;
  const SafetensorsRequest& request_;
  ThreadPool& pool_;
  BuildReport& report_;
  std::map<std::string, const PlannedTensor*> by_name_;
  std::map<const SourceWeight*, const PlannedTensor*> scale_of_, codes_of_;
  std::map<const SourceWeight*, Bytes> scales_;
  std::set<const SourceWeight*> half_written_;  // codes or scales
  std::map<const SourceWeight*, ErrorSum> errors_;
  std::map<const SourceWeight*, TensorReport::OutputError> output_errors_;
  std::map<const SourceWeight*, uint64_t> bytes_of_;
  std::map<std::string, float> divisors_;  // by the first module of the fused group
};

Status write_json(const std::filesystem::path& path, const Json& json) {
  const std::string text = json.dump(2) + "\n";
  return write_file(path, std::as_bytes(std::span(text)), false);
}

}  // namespace

std::string plan_identity(const SafetensorsRequest& request, const SafetensorsPlan& plan) {
  IdentityHash hash;
  hash.add(layout_name(request.layout));
  hash.add(static_cast<int64_t>(request.search));
  hash.add(request.compensation != nullptr ? request.compensation->identity() : "plain");
  for (const PlannedTensor& tensor : plan.tensors) {
    hash.add(tensor.spec.name);
    hash.add(dtype_name(tensor.spec.dtype));
    hash.add(static_cast<int64_t>(tensor.kind));
    hash.add(format_name(tensor.format));
    hash.add(tensor.importance);
    hash.add(std::span(&tensor.cache_scale, 1));
    if (tensor.kind != PlaneKind::kInputScale) continue;
    for (const std::string& module : fused_with(tensor.module)) {
      const float amax = request.ranges->find(module).value_or(0);
      hash.add(std::span(&amax, 1));
    }
  }
  return hash.hex();
}

Status write_safetensors(const Source& source, const SafetensorsRequest& request,
                         const SafetensorsPlan& plan, const std::filesystem::path& folder,
                         ThreadPool& pool, const BuildEvents& events, BuildJournal& journal,
                         BuildReport& report) {
  std::vector<checkpoint::TensorSpec> specs;
  for (const PlannedTensor& tensor : plan.tensors) specs.push_back(tensor.spec);
  checkpoint::SafetensorsOptions options;
  options.kept = journal.is_intact();
  SLUICE_ASSIGN(auto writer,
                checkpoint::SafetensorsWriter::create(folder, std::move(specs), options));
  SLUICE_TRY(journal.begin(writer.next(), writer.plan().size(), events.notice));
  Build build(source, request, plan, pool, report);
  SLUICE_TRY(build.write(writer, events.progress, journal));
  SLUICE_TRY(writer.finish());
  report.notes.insert(report.notes.end(), plan.notes.begin(), plan.notes.end());
  convert::PublishedFacts facts;
  facts.draft = plan.draft;
  facts.vision = plan.vision;
  facts.quantization_config = plan.quantization.config;
  SLUICE_TRY(convert::write_published_files(source, facts, folder));
  if (plan.quantization.hf_quant_config)
    SLUICE_TRY(write_json(folder / "hf_quant_config.json", *plan.quantization.hf_quant_config));
  return {};
}

}  // namespace sluice::quantize
