#include "tools/quantize/safetensors_build.h"

#include <functional>
#include <map>

#include "base/file.h"
#include "tools/convert/published_files.h"
#include "tools/convert/read_ahead.h"
#include "tools/convert/write_behind.h"
#include "tools/quantize/planes.h"

namespace sluice::quantize {

using convert::Source;
using convert::SourceWeight;

namespace {

// The tensors of the plan in its order, from the first that is missing to the report.
class Build {
 public:
  Build(const Source& source, const SafetensorsRequest& request, const SafetensorsPlan& plan,
        ThreadPool& pool, BuildReport& report)
      : source_(source),
        request_(request),
        buffers_(convert::buffers_for(pool)),
        planes_(source, request, plan, pool),
        report_(report) {
    for (const PlannedTensor& tensor : plan.tensors) by_name_[tensor.spec.name] = &tensor;
  }

  Status write(checkpoint::SafetensorsWriter& writer, const Progress& progress,
               BuildJournal& journal) {
    for (const checkpoint::TensorSpec& spec : writer.plan())
      order_.push_back(by_name_.at(spec.name));
    const size_t kept = writer.next();
    if (request_.compensation != nullptr) {
      report_.calibration = {"gptq", request_.compensation->text(),
                             request_.compensation->tokens()};
      SLUICE_TRY(planes_.expect_factors(order_, kept));
    }
    convert::ReadAhead ahead(*source_.checkpoint);
    for (const PlannedTensor* tensor : order_) {
      count(*tensor);
      ahead.add(read_for(*tensor));
    }
    convert::WriteBehind behind(buffers_);
    for (size_t i = 0; i < order_.size(); ++i) {
      const PlannedTensor& tensor = *order_[i];
      if (i < kept) {
        planes_.kept(tensor, journal.entries()[i].error, journal.entries()[i].output_error);
        continue;
      }
      if (progress && !progress(i, order_.size(), tensor.spec.name)) {
        SLUICE_TRY(behind.drain());
        return interrupted(tensor.spec.name);
      }
      ahead.begin(i);
      const auto sink = [&writer, &journal, &tensor](std::span<const std::byte> bytes) {
        journal.take(bytes);
        return writer.append(tensor.spec.name, bytes);
      };
      SLUICE_TRY(planes_.write(tensor, {&behind, sink, &ahead}));
      planes_.written(tensor);
      SLUICE_TRY(behind.add(note(journal, tensor)));
    }
    SLUICE_TRY(behind.drain());
    finish_report(writer.file_order());
    return {};
  }

 private:
  // What the source has for it: scales are found with the codes.
  static std::vector<const checkpoint::StoredTensor*> read_for(const PlannedTensor& tensor) {
    if (Planes::has_error(tensor)) return tensor.weight->bound->stored;
    if (tensor.stored != nullptr) return {tensor.stored};
    return {};
  }

  // The journal's line, to be written behind the tensor's last byte.
  std::function<Status()> note(BuildJournal& journal, const PlannedTensor& tensor) const {
    convert::ErrorSum error;
    if (Planes::has_error(tensor)) error = planes_.error(tensor);
    return [&journal, &tensor, error, output = planes_.output_error(tensor)] {
      return journal.add(tensor.spec.name, error,
                         Planes::has_error(tensor) ? output : std::nullopt);
    };
  }

  void count(const PlannedTensor& tensor) {
    uint64_t elements = 1;
    for (const int64_t extent : tensor.spec.shape) elements *= static_cast<uint64_t>(extent);
    const uint64_t bytes = dtype_bytes(tensor.spec.dtype, elements).value_or(0);
    report_.bytes += bytes;
    bytes_of_[tensor.weight] += bytes;
    if (tensor.kind == PlaneKind::kVision) report_.parameters += elements;
  }

  // One line per weight, under the name of its codes, in the order of the files.
  void finish_report(const std::vector<size_t>& file_order) {
    for (const size_t number : file_order) {
      const PlannedTensor* tensor = order_[number];
      if (!Planes::has_error(*tensor)) continue;
      const EncodedMatrix& matrix = tensor->weight->bound->matrix;
      const bool quantized = tensor->kind == PlaneKind::kCodes;
      const Format plain = tensor->spec.dtype == DType::kF32 ? Format::kF32 : Format::kBF16;
      report_.tensors.push_back({tensor->spec.name,
                                 std::string(format_name(quantized ? tensor->format : plain)),
                                 matrix.rows, matrix.columns, bytes_of_.at(tensor->weight),
                                 planes_.error(*tensor).relative()});
      if (const auto output = planes_.output_error(*tensor))
        report_.tensors.back().output_error = *output;
      report_.parameters += static_cast<uint64_t>(matrix.rows * matrix.columns);
    }
  }

  const Source& source_;
  const SafetensorsRequest& request_;
  const size_t buffers_;
  Planes planes_;
  BuildReport& report_;
  std::map<std::string, const PlannedTensor*> by_name_;
  std::vector<const PlannedTensor*> order_;  // of writing
  std::map<const SourceWeight*, uint64_t> bytes_of_;
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
  options.as_given = true;  // codes and scales of a weight come out of one pass over it
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
