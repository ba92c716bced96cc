#include "tools/quantize/copy_build.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "base/file.h"
#include "checkpoint/gguf_writer.h"
#include "checkpoint/safetensors_writer.h"
#include "model/tensor_names.h"
#include "tools/convert/build_place.h"
#include "tools/convert/gguf_metadata.h"
#include "tools/convert/names.h"
#include "tools/convert/published_files.h"
#include "tools/convert/row_stream.h"
#include "tools/quantize/copied_configs.h"
#include "tools/quantize/tower_build.h"

namespace sluice::quantize {

using checkpoint::StoredTensor;
using checkpoint::TensorSpec;
using convert::Convention;
using convert::RowReader;
using convert::Source;
using convert::SourceWeight;

namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBesideWeights = uint64_t{64} << 20;

// A tensor of the result: bytes of the source, or a weight of the donor.
struct Piece {
  TensorSpec spec;
  const StoredTensor* stored = nullptr;
  const SourceWeight* weight = nullptr;
  std::string format;  // for the report
};

Status check_parts(const Source& source, const CopyRequest& request) {
  const std::string name = source.path.string();
  const bool vision =
      source.gguf() ? !source.checkpoint->vision_beside().empty() : source.has_vision();
  if (request.drop_vision && !vision) return usage_error("--vision", name + " has no vision tower");
  if (request.drop_draft && !source.binding.mtp_present)
    return usage_error("--mtp", name + " has no draft head");
  return {};
}

// A head works with the model whose hidden vectors, embedding and rotation it was trained on; what
// shapes can tell of that is checked here.
Status check_donor(const Source& source, const Source& donor) {
  const std::string name = donor.path.string();
  if (!donor.binding.mtp_usable) return bad_input(name, "has no draft head", "Name another donor");
  const model::TextConfig &ours = source.binding.config, &theirs = donor.binding.config;
  const std::tuple<const char*, int64_t, int64_t> sizes[] = {
      {"hidden size", ours.hidden, theirs.hidden},
      {"intermediate size", ours.intermediate, theirs.intermediate},
      {"attention heads", ours.query_heads, theirs.query_heads},
      {"key-value heads", ours.kv_heads, theirs.kv_heads},
      {"head dimension", ours.head_dim, theirs.head_dim},
      {"vocabulary", ours.vocabulary, theirs.vocabulary}};
  for (const auto& [what, own, other] : sizes) {
    if (own != other)
      return bad_input(name, fmt::format("its {} is {}, the model's is {}", what, other, own),
                       "Take the head of a build of the same model");
  }
  return {};
}

std::string format_of(const Source& source, const StoredTensor& stored) {
  for (const model::BoundTensor& tensor : source.binding.tensors) {
    if (tensor.stored == &stored && tensor.format) return std::string(format_name(*tensor.format));
  }
  return std::string(dtype_name(stored.dtype));
}

std::vector<Piece> pieces_of(const Source& source, const CopyRequest& request) {
  // A published model without a tower has text-only names.
  const bool rename = request.drop_vision && !source.gguf();
  std::vector<Piece> out;
  for (const model::BoundTensor& tensor : source.binding.tensors) {
    if (request.drop_vision && tensor.part == model::Part::kVision) continue;
    if ((request.drop_draft || request.donor != nullptr) && tensor.part == model::Part::kMtp)
      continue;
    const StoredTensor& stored = *tensor.stored;
    const std::string name =
        rename ? convert::published_name(model::canonical_name(stored.name), true) : stored.name;
    out.push_back(
        {{name, stored.dtype, stored.shape}, &stored, nullptr, format_of(source, stored)});
  }
  if (request.donor == nullptr) return out;
  for (const SourceWeight& weight : request.donor->weights) {
    if (!weight.draft()) continue;
    const EncodedMatrix& matrix = weight.bound->matrix;
    const bool vector = weight.bound->vector;
    Piece piece;
    piece.weight = &weight;
    piece.spec.name = source.gguf()
                          ? model::gguf_name(weight.canonical, source.binding.config.layers)
                          : convert::published_name(weight.canonical, rename);
    piece.spec.shape = vector ? std::vector<int64_t>{matrix.columns}
                              : std::vector<int64_t>{matrix.rows, matrix.columns};
    piece.spec.dtype = DType::kBF16;
    if (vector && source.gguf()) {
      piece.spec.dtype = DType::kF32;
    } else if (vector) {
      const RowReader reader(*request.donor, weight, Convention::kPublished);
      piece.spec.dtype = convert::vector_type(*request.donor, weight, convert::read_whole(reader));
    }
    piece.format = piece.spec.dtype == DType::kF32 ? "f32" : "bf16";
    out.push_back(std::move(piece));
  }
  return out;
}

uint64_t bytes_of(const TensorSpec& spec) {
  uint64_t elements = 1;
  for (const int64_t extent : spec.shape) elements *= static_cast<uint64_t>(extent);
  return dtype_bytes(spec.dtype, elements).value_or(0);
}

Status write_piece(const Source& source, const CopyRequest& request, const Piece& piece,
                   ThreadPool& pool, const convert::Output& out, BuildReport& report) {
  convert::ErrorSum error;
  if (piece.stored != nullptr) {
    SLUICE_TRY(convert::write_bytes(piece.stored->bytes, out));
  } else {
    const RowReader reader(*request.donor, *piece.weight,
                           source.gguf() ? Convention::kGguf : Convention::kPublished);
    SLUICE_TRY(convert::write_rows(reader, piece.spec.dtype, {}, pool, out, error));
  }
  const auto& shape = piece.spec.shape;
  const int64_t columns = shape.empty() ? 1 : shape.back();
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
  report.tensors.push_back(
      {piece.spec.name, piece.format, rows, columns, bytes_of(piece.spec), error.relative()});
  report.bytes += bytes_of(piece.spec);
  return {};
}

template <typename Writer>
Status write_all(const Source& source, const CopyRequest& request, const std::vector<Piece>& pieces,
                 const std::vector<std::string>& order, Writer& writer, ThreadPool& pool,
                 const BuildEvents& events, BuildReport& report) {
  std::map<std::string_view, const Piece*> by_name;
  for (const Piece& piece : pieces) by_name[piece.spec.name] = &piece;
  convert::ReadAhead ahead(*source.checkpoint);
  for (const std::string& name : order) {
    const StoredTensor* stored = by_name.at(name)->stored;
    ahead.add(std::span(&stored, stored != nullptr ? 1 : 0));
  }
  convert::WriteBehind behind(convert::buffers_for(pool));
  for (size_t i = 0; i < order.size(); ++i) {
    if (events.progress && !events.progress(i, order.size(), order[i]))
      return Error{ErrorCode::kInterrupted, order[i], "interrupted", {}};
    const auto sink = [&writer, &name = order[i]](std::span<const std::byte> bytes) {
      return writer.append(name, bytes);
    };
    ahead.begin(i);
    SLUICE_TRY(
        write_piece(source, request, *by_name.at(order[i]), pool, {&behind, sink, &ahead}, report));
  }
  SLUICE_TRY(behind.drain());
  return writer.finish();
}

// The tower beside a GGUF, byte by byte under the result's name.
Status write_tower(const TowerPlan& plan, const fs::path& model, ThreadPool& pool,
                   const BuildEvents& events, BuildReport& report) {
  std::vector<TensorSpec> specs;
  for (const TowerFileTensor& tensor : plan.tensors) specs.push_back(tensor.spec);
  const std::string file = plan.file_name(model);
  SLUICE_ASSIGN(auto writer, checkpoint::GgufWriter::create(model.parent_path() / file,
                                                            plan.metadata, std::move(specs)));
  convert::WriteBehind behind(convert::buffers_for(pool));
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    const std::string& name = plan.tensors[i].spec.name;
    if (events.progress && !events.progress(i, plan.tensors.size(), name))
      return Error{ErrorCode::kInterrupted, name, "interrupted", {}};
    convert::ErrorSum error;
    const auto sink = [&writer, &name](std::span<const std::byte> bytes) {
      return writer.append(name, bytes);
    };
    SLUICE_TRY(write_tower_tensor(plan, i, pool, {&behind, sink}, error));
    report_tower_tensor(plan, i, file, error, report);
  }
  SLUICE_TRY(behind.drain());
  return writer.finish();
}

std::vector<fs::path> files_of(const Source& source, const CopyRequest& request) {
  std::vector<fs::path> out = source.checkpoint->files();
  out.push_back(source.path);
  if (!source.gguf()) out.push_back(source.checkpoint->folder());
  if (source.mmproj != nullptr) out.push_back(source.mmproj->file->files().front());
  if (request.donor != nullptr) {
    out.push_back(request.donor->path);
    out.insert(out.end(), request.donor->checkpoint->files().begin(),
               request.donor->checkpoint->files().end());
  }
  return out;
}

uint64_t parameters_of(const Source& source, const CopyRequest& request) {
  uint64_t sum = 0;
  for (const SourceWeight& weight : source.weights) {
    if (weight.draft() && (request.drop_draft || request.donor != nullptr)) continue;
    sum += static_cast<uint64_t>(weight.bound->matrix.rows * weight.bound->matrix.columns);
  }
  if (request.donor != nullptr) {
    for (const SourceWeight& weight : request.donor->weights) {
      if (weight.draft())
        sum += static_cast<uint64_t>(weight.bound->matrix.rows * weight.bound->matrix.columns);
    }
  }
  if (!request.drop_vision) {
    for (const StoredTensor* stored : source.vision)
      sum += static_cast<uint64_t>(stored->elements());
  }
  return sum;
}

}  // namespace

Result<BuildReport> make_copy(const Source& source, const CopyRequest& request, ThreadPool& pool,
                              const BuildEvents& events) {
  SLUICE_TRY(check_parts(source, request));
  if (request.donor != nullptr) SLUICE_TRY(check_donor(source, *request.donor));
  const bool gguf_name = request.out.extension() == ".gguf";
  if (gguf_name != source.gguf()) {
    return usage_error(request.out.string(),
                       source.gguf() ? "the source is a GGUF, so is the result"
                                     : "the source is a folder of safetensors, so is the result",
                       source.gguf() ? "Name a .gguf file" : "Name a folder");
  }
  const bool draft =
      request.donor != nullptr || (source.binding.mtp_present && !request.drop_draft);
  const std::vector<Piece> pieces = pieces_of(source, request);
  std::vector<TensorSpec> specs;
  uint64_t bytes = 0;
  for (const Piece& piece : pieces) {
    specs.push_back(piece.spec);
    bytes += bytes_of(piece.spec);
  }
  std::optional<TowerPlan> tower;
  if (source.gguf() && !request.drop_vision) {
    SLUICE_ASSIGN(tower, plan_tower(source, std::nullopt));
    bytes += tower ? tower->bytes : 0;
  }
  SLUICE_ASSIGN(auto place, convert::BuildPlace::create(request.out, files_of(source, request),
                                                        request.overwrite, bytes + kBesideWeights));
  if (events.announce) events.announce(bytes);
  BuildReport report;
  report.source = source.path.filename().string();
  report.target = request.donor != nullptr ? "graft" : "strip";
  report.parameters = parameters_of(source, request);
  if (request.donor != nullptr)
    report.notes.push_back("draft head of " + request.donor->path.filename().string());
  if (request.drop_vision) report.notes.push_back("the vision tower is left out");
  if (request.drop_draft) report.notes.push_back("the draft head is left out");
  fs::path model = place.staging();
  std::vector<std::string> order;
  if (source.gguf()) {
    model /= place.file_name();
    convert::GgufFacts facts;
    facts.copied = true;
    facts.draft = draft;
    if (tower) SLUICE_TRY(write_tower(*tower, model, pool, events, report));
    SLUICE_ASSIGN(const auto metadata, convert::gguf_metadata(source, facts));
    for (const TensorSpec& spec : specs) order.push_back(spec.name);
    SLUICE_ASSIGN(auto writer, checkpoint::GgufWriter::create(model, metadata, std::move(specs)));
    SLUICE_TRY(write_all(source, request, pieces, order, writer, pool, events, report));
  } else {
    SLUICE_ASSIGN(auto writer, checkpoint::SafetensorsWriter::create(model, std::move(specs)));
    for (const TensorSpec& spec : writer.plan()) order.push_back(spec.name);
    SLUICE_TRY(write_all(source, request, pieces, order, writer, pool, events, report));
    SLUICE_TRY(write_copied_files(source,
                                  {draft, !request.drop_vision && !source.vision.empty(),
                                   request.drop_vision, request.donor != nullptr},
                                  model));
  }
  if (events.judge) SLUICE_TRY(events.judge(model, report));
  SLUICE_TRY(write_report(report, place.staging(),
                          [&](const std::string& name) { return place.companion(name); }));
  SLUICE_TRY(place.commit());
  return report;
}

}  // namespace sluice::quantize
