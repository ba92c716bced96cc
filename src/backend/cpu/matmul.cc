#include "backend/cpu/matmul.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "backend/cpu/pack/packed_matrix.h"
#include "backend/cpu/prepare.h"
#include "backend/cpu/product.h"
#include "base/check.h"
#include "codec/activation.h"

namespace sluice::cpu {
namespace {

// ------------------------------------------------------------------------------------- which
// kernel

bool is_float(const UnitShape& shape) { return shape.codes >= CodeKind::kBF16; }

bool supports_portable(InstructionSet, const UnitShape&) { return true; }

void portable_product(const ProductCall& call) {
  return is_float(call.weight->unit) ? portable::float_product(call)
                                     : portable::integer_product(call);
}

#if defined(__x86_64__)

bool supports_avx2(InstructionSet set, const UnitShape&) { return set >= InstructionSet::kAvx2; }

void avx2_product(const ProductCall& call) {
  return is_float(call.weight->unit) ? avx2::float_product(call) : avx2::integer_product(call);
}

bool supports_avxvnni_integer(InstructionSet set, const UnitShape& shape) {
  return set == InstructionSet::kAvxVnni && !is_float(shape);
}

bool supports_avx512_float(InstructionSet set, const UnitShape& shape) {
  return set >= InstructionSet::kAvx512 && is_float(shape);
}

bool supports_avx512vnni_integer(InstructionSet set, const UnitShape& shape) {
  return set >= InstructionSet::kAvx512Vnni && !is_float(shape);
}

#endif

struct Kernel {
  bool (*supports)(InstructionSet set, const UnitShape& shape);
  ProductFunction product;
  // Whether so many rows of integer activations are read as WordUnit; never if null.
  bool (*reads_words)(const UnitShape& shape, bool digit, int64_t rows) = nullptr;
};

// In order of preference. A kernel serves both roles: the integer sums are exact and the float sums
// ordered whatever the number of rows, so a row read as prompt has the bits it would have as an
// answer.
constexpr Kernel kKernels[] = {
#if defined(__x86_64__)
    {supports_avx512vnni_integer, avx512vnni::integer_product},
    {supports_avxvnni_integer, avxvnni::integer_product, avxvnni::reads_words},
    {supports_avx512_float, avx512::float_product},
    {supports_avx2, avx2_product,
     avx2::reads_words},  // AVX-512 without VNNI gains nothing over it for integers
#endif
    {supports_portable, portable_product},
};

const Kernel& choose_kernel(InstructionSet set, const UnitShape& shape) {
  for (const Kernel& kernel : kKernels) {
    if (kernel.supports(set, shape)) return kernel;
  }
  SLUICE_CHECK(false, "no kernel for {}", instruction_set_name(set));
}

// --------------------------------------------------------------------------------- what it reads

Prepared form_for(const PackedMatrix& matrix, int64_t rows) {
  const UnitShape& shape = matrix.view().unit;
  if (shape.codes == CodeKind::kE4M3) return Prepared::kScaledFloat;
  if (is_float(shape)) return Prepared::kFloat;
  const bool digit = matrix.mode() == ops::ActivationMode::kDigit;
  const Kernel& kernel = choose_kernel(matrix.set(), shape);
  if (kernel.reads_words != nullptr && kernel.reads_words(shape, digit, rows)) {
    return digit ? Prepared::kDigitWords : Prepared::kWideWords;
  }
  return digit ? Prepared::kDigit : Prepared::kWide;
}

constexpr size_t kAlignment = 64;

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Hands out aligned pieces of the caller's scratch.
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
    auto* piece = reinterpret_cast<T*>(memory_.data() + used_);
    used_ += aligned(bytes);
    return piece;
  }

 private:
  std::span<std::byte> memory_;
  size_t used_ = 0;
};

// Member `member` multiplies its groups of every product of the set; the split is the packer's.
void multiply_share(std::span<const DenseProduct* const> set, const ProductCall& common, int member,
                    int size) {
  for (const DenseProduct* product : set) {
    const auto& matrix = static_cast<const PackedMatrix&>(*product->weight);
    ProductCall call = common;
    call.weight = &matrix.view();
    call.first_group = matrix.view().groups * member / size;
    call.last_group = matrix.view().groups * (member + 1) / size;
    call.out = product->out;
    call.stride = product->stride;
    if (call.first_group < call.last_group)
      choose_kernel(matrix.set(), matrix.view().unit).product(call);
  }
}

// What the build's recipe does to the inputs; nothing unless the mode is `published`.
ActivationScheme recipe_of(const PackedMatrix& matrix) {
  return matrix.mode() == ops::ActivationMode::kPublished ? matrix.activations()
                                                          : ActivationScheme::kNone;
}

// Products that read the same prepared rows go together.
bool same_input(const PackedMatrix& a, const PackedMatrix& b, int64_t rows) {
  const ActivationScheme scheme = recipe_of(a);
  if (form_for(a, rows) != form_for(b, rows) || scheme != recipe_of(b)) return false;
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

constexpr size_t kMostProducts = 16;

}  // namespace

ops::ActivationMode default_mode(InstructionSet set) {
  return set == InstructionSet::kAvx2 || set == InstructionSet::kAvxVnni ||
                 set == InstructionSet::kAvx512
             ? ops::ActivationMode::kDigit
             : ops::ActivationMode::kWide;
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
                              Prepared::kFloat, Prepared::kScaledFloat}) {
    units = std::max(units, prepared_bytes(form, rows, max_columns));
  }
  const size_t factors = aligned(static_cast<size_t>(rows) * sizeof(float));
  const size_t recipe = aligned(static_cast<size_t>(rows * max_columns) * sizeof(float));
  return kAlignment + aligned(units) + factors + recipe;
}

void matmul(const float* x, int64_t rows, int64_t columns, int64_t stride, int64_t answer_rows,
            std::span<const DenseProduct> products, std::span<std::byte> scratch,
            ThreadPool& pool) {
  SLUICE_CHECK(answer_rows >= 0 && answer_rows <= rows, "answer_rows {} of {}", answer_rows, rows);
  SLUICE_CHECK(products.size() <= kMostProducts, "{} products at once", products.size());
  if (rows == 0) return;
  std::array<bool, kMostProducts> done{};
  for (size_t first = 0; first < products.size(); ++first) {
    if (done[first]) continue;
    const auto& leader = static_cast<const PackedMatrix&>(*products[first].weight);
    std::array<const DenseProduct*, kMostProducts> set{};
    size_t count = 0;
    for (size_t i = first; i < products.size(); ++i) {
      const auto& matrix = static_cast<const PackedMatrix&>(*products[i].weight);
      if (done[i] || !same_input(leader, matrix, rows)) continue;
      SLUICE_CHECK(matrix.columns() == columns, "weight of {} columns, input of {}",
                   matrix.columns(), columns);
      done[i] = true;
      set[count++] = &products[i];
    }
    Scratch pieces(scratch);
    const Prepared form = form_for(leader, rows);
    auto* units = pieces.take<std::byte>(prepared_bytes(form, rows, columns));
    auto* row_factors = pieces.take<float>(static_cast<size_t>(rows) * sizeof(float));
    RowSpan inputs{x, rows, columns, stride};
    if (recipe_of(leader) != ActivationScheme::kNone) {
      auto* values = pieces.take<float>(static_cast<size_t>(rows * columns) * sizeof(float));
      apply_recipe(leader, inputs, values, pool);
      inputs = {values, rows, columns, columns};
    }
    prepare(form, leader.set(), inputs, units, row_factors, pool);

    ProductCall common;
    common.activations = units;
    common.row_factors = row_factors;
    common.digit = form == Prepared::kDigit || form == Prepared::kDigitWords;
    common.words = form == Prepared::kWideWords || form == Prepared::kDigitWords;
    common.rows = rows;
    pool.run([&](int member, int size) {
      multiply_share({set.data(), count}, common, member, size);
    });
  }
}

}  // namespace sluice::cpu
