#include "backend/cpu/matmul.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "backend/cpu/pack/packed_matrix.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/pieces.h"
#include "backend/cpu/prepare.h"
#include "backend/cpu/product.h"
#include "backend/cpu/ranking.h"
#include "base/check.h"
#include "codec/activation.h"

namespace sluice::cpu {
namespace {

const PackedMatrix& matrix_of(const DenseProduct& product) {
  return static_cast<const PackedMatrix&>(*product.weight);
}

Wanted wanted_for(const PackedMatrix& matrix, int64_t rows, bool prompt) {
  return {matrix.set(), matrix.view(), rows, matrix.mode() == ops::ActivationMode::kDigit, prompt};
}

// The form of activations that its kernel reads.
Prepared form_for(const PackedMatrix& matrix, int64_t rows, bool prompt) {
  const Wanted wanted = wanted_for(matrix, rows, prompt);
  return choose_kernel(wanted).reads(wanted);
}

// Whether prompt rows need a product of their own.
bool roles_differ(const PackedMatrix& matrix, int64_t rows) {
  return form_for(matrix, rows, false) != form_for(matrix, rows, true);
}

constexpr size_t kAlignment = 64;

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Hands out the caller's scratch, aligned.
class Scratch {
 public:
  explicit Scratch(std::span<std::byte> memory) : memory_(memory) {
    const size_t off = reinterpret_cast<uintptr_t>(memory.data()) % kAlignment;
    used_ = off == 0 ? 0 : kAlignment - off;
  }

  template <typename T>
  T* take(size_t bytes) {
    SLUICE_CHECK(used_ + bytes <= memory_.size(), "scratch of {} bytes, {} + {} needed",
                 memory_.size(), used_, bytes);
    auto* taken = reinterpret_cast<T*>(memory_.data() + used_);
    used_ += aligned(bytes);
    return taken;
  }

 private:
  std::span<std::byte> memory_;
  size_t used_ = 0;
};

// Rows that are multiplied together.
struct Part {
  int64_t first = 0, rows = 0;
  bool prompt = false;
};

// What the build's recipe does to the inputs; nothing unless the mode is `published`.
ActivationScheme recipe_of(const PackedMatrix& matrix) {
  return matrix.mode() == ops::ActivationMode::kPublished ? matrix.activations()
                                                          : ActivationScheme::kNone;
}

// Products that read the same prepared rows go together.
bool same_input(const PackedMatrix& a, const PackedMatrix& b, int64_t rows) {
  const ActivationScheme scheme = recipe_of(a);
  if (form_for(a, rows, false) != form_for(b, rows, false) ||
      form_for(a, rows, true) != form_for(b, rows, true) || scheme != recipe_of(b))
    return false;
  return scheme == ActivationScheme::kNone || (a.input_scale().use == b.input_scale().use &&
                                               a.input_scale().value == b.input_scale().value);
}

// The rows as the recipe's codes stand for them, [rows, columns] dense in `out`.
void apply_recipe(const PackedMatrix& matrix, const RowSpan& span, float* out, ThreadPool& pool) {
  pool.for_range(span.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const std::span<float> to(out + row * span.columns, static_cast<size_t>(span.columns));
      std::copy_n(span.x + row * span.stride, span.columns, to.begin());
      codec::quantize_activations(matrix.activations(), matrix.input_scale(), to);
    }
  });
}

// `common`: what the calls of all pieces share.
void multiply_piece(const DenseProduct& product, const Piece& piece, const Part& part,
                    const FetchDistances& fetch, const ProductCall& common) {
  const PackedMatrix& matrix = matrix_of(product);
  ProductCall call = common;
  call.weight = &matrix.view();
  call.fetch = fetch.of(matrix.view().unit.codes, part.rows);
  call.first_row = piece.first_row;
  call.last_row = piece.last_row;
  call.first_group = piece.first_group;
  call.last_group = piece.last_group;
  call.out = product.out + part.first * product.stride;
  call.stride = product.stride;
  choose_kernel(wanted_for(matrix, part.rows, part.prompt)).product(call);
}

constexpr size_t kMostProducts = 16;

// All products of the set, which read the same rows, for one part of these.
void multiply_part(std::span<const DenseProduct* const> set, const RowSpan& inputs,
                   const Part& part, const FetchDistances& fetch, Scratch arena, ThreadPool& pool) {
  const PackedMatrix& first = matrix_of(*set[0]);
  const Prepared form = form_for(first, part.rows, part.prompt);
  auto* units = arena.take<std::byte>(prepared_bytes(form, part.rows, inputs.columns));
  auto* row_factors = arena.take<float>(static_cast<size_t>(part.rows) * sizeof(float));
  ProductCall common;
  common.moderate =
      prepare(form, first.set(),
              {inputs.x + part.first * inputs.stride, part.rows, inputs.columns, inputs.stride},
              units, row_factors, pool);
  common.activations = units;
  common.row_factors = row_factors;
  common.digit = form == Prepared::kDigit || form == Prepared::kDigitWords;
  common.words = form == Prepared::kWideWords || form == Prepared::kDigitWords;
  common.rows = part.rows;
  std::array<PartOfWeight, kMostProducts> weights;
  for (size_t i = 0; i < set.size(); ++i) weights[i] = {&matrix_of(*set[i]).view(), set[i]->part};
  const Pieces pieces({weights.data(), set.size()}, part.rows, pool.size());
  shared_items(pool, pieces.count(), false, [&](int64_t item, int) {
    const Piece piece = pieces.at(item);
    if (piece.first_group < piece.last_group)
      multiply_piece(*set[piece.product], piece, part, fetch, common);
  });
}

}  // namespace

ops::ActivationMode default_mode(InstructionSet set) {
  return set == InstructionSet::kPortable || set == InstructionSet::kAmx
             ? ops::ActivationMode::kWide
             : ops::ActivationMode::kByFormat;
}

size_t packed_bytes(const EncodedMatrix& source, InstructionSet, ops::ActivationMode) {
  return PackedMatrix::bytes_for(source);
}

Result<std::unique_ptr<ops::Matrix>> pack_matrix(const EncodedMatrix& source, InstructionSet set,
                                                 ops::ActivationMode mode, ThreadPool& pool) {
  return std::unique_ptr<ops::Matrix>(std::make_unique<PackedMatrix>(source, set, mode, pool));
}

size_t matmul_scratch_bytes(int64_t rows, int64_t max_columns) {
  size_t units = 0;
  for (const Prepared form : {Prepared::kWide, Prepared::kDigit, Prepared::kWideWords,
                              Prepared::kFloat, Prepared::kScaledFloat, Prepared::kPairs}) {
    units = std::max(units, prepared_bytes(form, rows, max_columns));
  }
  const size_t factors = aligned(static_cast<size_t>(rows) * sizeof(float));
  const size_t recipe = aligned(static_cast<size_t>(rows * max_columns) * sizeof(float));
  return kAlignment + aligned(units) + factors + recipe;
}

void matmul(const float* x, int64_t rows, int64_t columns, int64_t stride, int64_t answer_rows,
            std::span<const DenseProduct> products, std::span<std::byte> scratch, ThreadPool& pool,
            const FetchDistances& fetch) {
  SLUICE_CHECK(answer_rows >= 0 && answer_rows <= rows, "answer_rows {} of {}", answer_rows, rows);
  SLUICE_CHECK(products.size() <= kMostProducts, "{} products at once", products.size());
  if (rows == 0) return;
  std::array<bool, kMostProducts> done{};
  for (size_t first = 0; first < products.size(); ++first) {
    if (done[first]) continue;
    const PackedMatrix& leader = matrix_of(products[first]);
    std::array<const DenseProduct*, kMostProducts> set{};
    size_t count = 0;
    for (size_t i = first; i < products.size(); ++i) {
      const PackedMatrix& matrix = matrix_of(products[i]);
      if (done[i] || !same_input(leader, matrix, rows)) continue;
      SLUICE_CHECK(matrix.columns() == columns, "weight of {} columns, input of {}",
                   matrix.columns(), columns);
      done[i] = true;
      set[count++] = &products[i];
    }
    Scratch arena(scratch);
    RowSpan inputs{x, rows, columns, stride};
    if (recipe_of(leader) != ActivationScheme::kNone) {
      auto* values = arena.take<float>(static_cast<size_t>(rows * columns) * sizeof(float));
      apply_recipe(leader, inputs, values, pool);
      inputs = {values, rows, columns, columns};
    }
    const std::span<const DenseProduct* const> same{set.data(), count};
    if (!roles_differ(leader, rows)) {
      multiply_part(same, inputs, {0, rows, false}, fetch, arena, pool);
      continue;
    }
    for (const Part& part :
         {Part{0, answer_rows, false}, Part{answer_rows, rows - answer_rows, true}}) {
      if (part.rows > 0) multiply_part(same, inputs, part, fetch, arena, pool);
    }
  }
}

}  // namespace sluice::cpu
