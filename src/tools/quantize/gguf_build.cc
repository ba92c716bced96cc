#include "tools/quantize/gguf_build.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "base/file.h"
#include "model/tensor_names.h"
#include "tools/convert/gguf_metadata.h"
#include "tools/convert/row_stream.h"
#include "tools/quantize/importance.h"

namespace sluice::quantize {

using convert::Convention;
using convert::RowReader;
using convert::Source;
using convert::SourceWeight;

namespace {

std::vector<int64_t> gguf_shape(const SourceWeight& weight) {
  const EncodedMatrix& matrix = weight.bound->matrix;
  // Vectors are matrices of one row; the convolution is the one vector weight with two dimensions.
  if (weight.bound->vector && matrix.rows == 1) return {matrix.columns};
  return {matrix.rows, matrix.columns};
}

bool has_blocks(DType type) { return dtype_info(type).block_elements > 1; }

// Formats that ggml's quantizer weighs by importance.
bool uses_importance(DType type) {
  return has_blocks(type) && type != DType::kQ8_0 && type != DType::kGgmlMXFP4 &&
         type != DType::kGgmlNVFP4;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// Bits per weight of a source tensor against those of the type it becomes.
bool gains_nothing(const SourceWeight& weight, DType type) {
  const EncodedMatrix& matrix = weight.bound->matrix;
  const double stored = static_cast<double>(matrix.codes.bytes.size());
  const auto bytes =
      dtype_bytes(type, static_cast<uint64_t>(matrix.rows) * static_cast<uint64_t>(matrix.columns));
  return bytes && static_cast<double>(*bytes) > 2 * stored && has_blocks(matrix.codes.dtype);
}

convert::GgufFacts facts_of(const GgufRequest& request, bool draft) {
  convert::GgufFacts facts;
  facts.draft = draft;
  facts.file_type = request.mixture->file_type;
  if (request.importance == nullptr) return facts;
  facts.importance_file = request.importance_file;
  const auto& datasets = request.importance->datasets();
  if (!datasets.empty()) facts.importance_dataset = datasets.front();
  facts.importance_entries = request.importance->entries().size();
  facts.importance_chunks = request.importance->chunks();
  return facts;
}

void report_tensor(const GgufTensor& tensor, const RowReader& reader,
                   const convert::ErrorSum& error, BuildReport& report) {
  const auto elements = static_cast<uint64_t>(reader.rows() * reader.columns());
  const auto bytes = dtype_bytes(tensor.spec.dtype, elements).value_or(0);
  report.tensors.push_back({tensor.spec.name, lower(dtype_name(tensor.spec.dtype)), reader.rows(),
                            reader.columns(), bytes, error.relative()});
  report.parameters += elements;
  report.bytes += bytes;
}

}  // namespace

Result<GgufPlan> plan_gguf(const Source& source, const GgufRequest& request) {
  const model::TextConfig& config = source.binding.config;
  const bool draft = source.binding.mtp_present && request.draft != DraftHead::kNone;
  GgufPlan plan;
  SLUICE_ASSIGN(plan.metadata, convert::gguf_metadata(source, facts_of(request, draft)));
  const MixtureRule rule(*request.mixture, {request.older_rule, request.importance != nullptr},
                         config, config.layers + (draft ? 1 : 0));
  const bool quantizes = has_blocks(request.mixture->base);
  size_t without = 0, grown = 0;
  for (const SourceWeight& weight : source.weights) {
    if (weight.draft() && !draft) continue;
    GgufTensor tensor;
    tensor.weight = &weight;
    tensor.spec.name = model::gguf_name(weight.canonical, config.layers);
    if (tensor.spec.name.empty())
      return bad_input(weight.bound->name, "GGUF has no name for this tensor");
    tensor.spec.shape = gguf_shape(weight);
    tensor.spec.dtype = rule.type(tensor.spec.name, tensor.spec.shape);
    const auto chosen = request.chosen.find(weight.canonical);
    if (chosen != request.chosen.end() && !weight.draft() && has_blocks(tensor.spec.dtype))
      tensor.spec.dtype = type_for_columns(chosen->second, tensor.spec.shape.back());
    const bool kept = weight.draft() && request.draft == DraftHead::kBf16 && quantizes &&
                      has_blocks(tensor.spec.dtype);
    if (kept) tensor.spec.dtype = DType::kBF16;
    if (uses_importance(tensor.spec.dtype) && request.importance != nullptr) {
      SLUICE_ASSIGN(tensor.importance,
                    importance_of(request.importance, request.importance_file, weight, config));
      if (tensor.importance.empty()) ++without;
    }
    if (gains_nothing(weight, tensor.spec.dtype)) ++grown;
    plan.bytes +=
        dtype_bytes(tensor.spec.dtype,
                    static_cast<uint64_t>(weight.bound->matrix.rows * weight.bound->matrix.columns))
            .value_or(0);
    plan.tensors.push_back(std::move(tensor));
  }
  if (without > 0)
    plan.notes.push_back(fmt::format("{} tensors have no entry in the importance matrix", without));
  if (grown > 0) {
    plan.notes.push_back(fmt::format(
        "{} tensors of the source have fewer bits than they get here: nothing is won back", grown));
  }
  if (request.keep_vision) {
    SLUICE_ASSIGN(plan.tower, plan_tower(source, request.vision_type));
  }
  const bool vision =
      source.gguf() ? !source.checkpoint->vision_beside().empty() : source.has_vision();
  if (vision && !plan.tower) plan.notes.push_back("the vision tower is left out");
  if (source.binding.mtp_present && !draft) plan.notes.push_back("the draft head is left out");
  return plan;
}

std::string plan_identity(const GgufPlan& plan) {
  IdentityHash hash;
  for (const GgufTensor& tensor : plan.tensors) {
    hash.add(tensor.spec.name);
    hash.add(dtype_name(tensor.spec.dtype));
    hash.add(tensor.importance);
  }
  if (plan.tower) add_to_identity(*plan.tower, hash);
  return hash.hex();
}

namespace {

// Both files of a build as one sequence of tensors, as the journal counts them. The tower comes
// first: what is wrong with it is found before hours of work on the text model.
class GgufFiles {
 public:
  GgufFiles(const Source& source, const GgufPlan& plan, std::filesystem::path file)
      : source_(source), plan_(plan), file_(std::move(file)) {
    if (plan.tower) {
      tower_tensors_ = plan.tower->tensors.size();
      tower_file_ = file_.parent_path() / plan.tower->file_name(file_);
    }
  }

  // Opens both and finds the first tensor that is missing.
  Result<size_t> open(const checkpoint::IsIntact& intact) {
    size_t kept = 0;
    checkpoint::GgufOptions options;
    options.kept = intact;
    if (plan_.tower) {
      std::vector<checkpoint::TensorSpec> specs;
      for (const TowerFileTensor& tensor : plan_.tower->tensors) specs.push_back(tensor.spec);
      SLUICE_ASSIGN(tower_, checkpoint::GgufWriter::create(tower_file_, plan_.tower->metadata,
                                                           std::move(specs), options));
      kept = tower_->next();
      options.kept = checkpoint::keeps_nothing;
      if (kept == tower_tensors_) {
        options.kept = [&](size_t number, const checkpoint::TensorSpec& tensor,
                           std::span<const std::byte> bytes) {
          return intact(tower_tensors_ + number, tensor, bytes);
        };
      }
    }
    std::vector<checkpoint::TensorSpec> specs;
    for (const GgufTensor& tensor : plan_.tensors) specs.push_back(tensor.spec);
    SLUICE_ASSIGN(text_,
                  checkpoint::GgufWriter::create(file_, plan_.metadata, std::move(specs), options));
    return kept + text_->next();
  }

  size_t size() const { return tower_tensors_ + plan_.tensors.size(); }
  const std::string& name(size_t number) const {
    return number < tower_tensors_ ? plan_.tower->tensors[number].spec.name
                                   : plan_.tensors[number - tower_tensors_].spec.name;
  }

  // What is read for each tensor, as steps; nothing of the tower, which is another file.
  void plan_reading(convert::ReadAhead& ahead) const {
    for (size_t i = 0; i < tower_tensors_; ++i) ahead.add({});
    for (const GgufTensor& tensor : plan_.tensors) ahead.add(tensor.weight->bound->stored);
  }

  Status write(size_t number, ThreadPool& pool, BuildJournal& journal, convert::WriteBehind& behind,
               convert::ReadAhead& ahead, convert::ErrorSum& error) {
    checkpoint::GgufWriter& writer = number < tower_tensors_ ? *tower_ : *text_;
    const auto sink = [&journal, &writer, &name = name(number)](std::span<const std::byte> bytes) {
      journal.take(bytes);
      return writer.append(name, bytes);
    };
    const convert::Output out{&behind, sink, &ahead};
    if (number < tower_tensors_) return write_tower_tensor(*plan_.tower, number, pool, out, error);
    const GgufTensor& tensor = plan_.tensors[number - tower_tensors_];
    const RowReader reader(source_, *tensor.weight, Convention::kGguf);
    return convert::write_rows(reader, tensor.spec.dtype, tensor.importance, pool, out, error);
  }

  void report(size_t number, const convert::ErrorSum& error, BuildReport& report) const {
    if (number < tower_tensors_) {
      report_tower_tensor(*plan_.tower, number, tower_file_.filename().string(), error, report);
      return;
    }
    const GgufTensor& tensor = plan_.tensors[number - tower_tensors_];
    report_tensor(tensor, RowReader(source_, *tensor.weight, Convention::kGguf), error, report);
  }

  Status finish() {
    if (tower_) SLUICE_TRY(tower_->finish());
    return text_->finish();
  }

 private:
  const Source& source_;
  const GgufPlan& plan_;
  std::filesystem::path file_, tower_file_;
  size_t tower_tensors_ = 0;
  std::optional<checkpoint::GgufWriter> tower_, text_;
};

}  // namespace

Status write_gguf(const Source& source, const GgufPlan& plan, const std::filesystem::path& file,
                  ThreadPool& pool, const BuildEvents& events, BuildJournal& journal,
                  BuildReport& report) {
  GgufFiles files(source, plan, file);
  SLUICE_ASSIGN(const size_t kept, files.open(journal.is_intact()));
  SLUICE_TRY(journal.begin(kept, files.size(), events.notice));
  convert::ReadAhead ahead(*source.checkpoint);
  files.plan_reading(ahead);
  convert::WriteBehind behind(convert::buffers_for(pool));
  for (size_t i = 0; i < files.size(); ++i) {
    if (i < kept) {
      files.report(i, journal.entries()[i].error, report);
      continue;
    }
    if (events.progress && !events.progress(i, files.size(), files.name(i))) {
      SLUICE_TRY(behind.drain());
      return interrupted(files.name(i));
    }
    ahead.begin(i);
    convert::ErrorSum error;
    SLUICE_TRY(files.write(i, pool, journal, behind, ahead, error));
    SLUICE_TRY(behind.add([&, i, error] { return journal.add(files.name(i), error); }));
    files.report(i, error, report);
  }
  SLUICE_TRY(behind.drain());
  report.notes.insert(report.notes.end(), plan.notes.begin(), plan.notes.end());
  return files.finish();
}

}  // namespace sluice::quantize
