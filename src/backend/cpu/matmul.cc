#include "backend/cpu/matmul.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "backend/cpu/pack/packed_matrix.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/prepare.h"
#include "backend/cpu/product.h"
#include "base/check.h"
#include "codec/activation.h"

namespace sluice::cpu {
namespace {

// ------------------------------------------------------------------------------------- which
// kernel

bool is_float(const UnitShape& shape) { return shape.codes >= CodeKind::kBF16; }

// What a kernel is wanted for.
struct Wanted {
  InstructionSet set;
  const PackedView& weight;
  int64_t rows = 1;
  bool digit = false;   // one digit an activation
  bool prompt = false;  // the rows' role
};

bool supports_portable(const Wanted&) { return true; }

void portable_product(const ProductCall& call) {
  return is_float(call.weight->unit) ? portable::float_product(call)
                                     : portable::integer_product(call);
}

#if defined(__x86_64__)

bool supports_avx2(const Wanted& wanted) { return wanted.set >= InstructionSet::kAvx2; }

void avx2_product(const ProductCall& call) {
  return is_float(call.weight->unit) ? avx2::float_product(call) : avx2::integer_product(call);
}

bool supports_avxvnni_integer(const Wanted& wanted) {
  return wanted.set == InstructionSet::kAvxVnni && !is_float(wanted.weight.unit);
}

bool supports_avx512_float(const Wanted& wanted) {
  return wanted.set >= InstructionSet::kAvx512 && is_float(wanted.weight.unit);
}

bool supports_avx512vnni_integer(const Wanted& wanted) {
  return wanted.set >= InstructionSet::kAvx512Vnni && !is_float(wanted.weight.unit);
}

// A tile product takes as long for one row as for sixteen, and scales per 16 columns need twice as
// many. Below these numbers of rows VNNI is taken for no slower: estimates, not measurements
// (docs/decisions/cpu-products.md). The bits are the same.
constexpr int64_t kFewestTileRows = 4, kFewestHalfTileRows = 8;

bool supports_amx_integer(const Wanted& wanted) {
  return wanted.set >= InstructionSet::kAmx && !is_float(wanted.weight.unit) &&
         wanted.rows >=
             (wanted.weight.unit.scale_groups == 16 ? kFewestHalfTileRows : kFewestTileRows);
}

// Other bits than the kernels for answers: by role, whatever the number of rows.
bool supports_amx_prompt(const Wanted& wanted) {
  const UnitShape& shape = wanted.weight.unit;
  return wanted.set >= InstructionSet::kAmx && wanted.prompt &&
         (shape.codes == CodeKind::kBF16 ||
          (shape.codes == CodeKind::kE4M3 && shape.scales != ScaleKind::kE8M0));
}

#endif

// The form of activations that a kernel reads.
Prepared reads_own(const Wanted& wanted) {
  if (is_float(wanted.weight.unit))
    return wanted.weight.unit.codes == CodeKind::kE4M3 ? Prepared::kScaledFloat : Prepared::kFloat;
  return wanted.digit ? Prepared::kDigit : Prepared::kWide;
}

#if defined(__x86_64__)

template <bool (*kWords)(const PackedView& weight, bool digit, int64_t rows)>
Prepared reads_words(const Wanted& wanted) {
  if (!is_float(wanted.weight.unit) && kWords(wanted.weight, wanted.digit, wanted.rows))
    return wanted.digit ? Prepared::kDigitWords : Prepared::kWideWords;
  return reads_own(wanted);
}

Prepared reads_pairs(const Wanted&) { return Prepared::kPairs; }

#endif

struct Kernel {
  bool (*supports)(const Wanted& wanted);
  ProductFunction product;
  Prepared (*reads)(const Wanted& wanted);
};

// In order of preference. Integer sums are exact and the float sums ordered whatever the number of
// rows, so with most of them a row read as prompt has the bits it would have as an answer; a kernel
// that sums otherwise serves one role only.
constexpr Kernel kKernels[] = {
#if defined(__x86_64__)
    {supports_amx_prompt, amx::float_product, reads_pairs},
    {supports_amx_integer, amx::integer_product, reads_own},
    {supports_avx512vnni_integer, avx512vnni::integer_product, reads_own},
    {supports_avxvnni_integer, avxvnni::integer_product, reads_words<avxvnni::reads_words>},
    {supports_avx512_float, avx512::float_product, reads_own},
    // AVX-512 without VNNI gains nothing over it for integers.
    {supports_avx2, avx2_product, reads_words<avx2::reads_words>},
#endif
    {supports_portable, portable_product, reads_own},
};

const Kernel& choose_kernel(const Wanted& wanted) {
  for (const Kernel& kernel : kKernels) {
    if (kernel.supports(wanted)) return kernel;
  }
  SLUICE_CHECK(false, "no kernel for {}", instruction_set_name(wanted.set));
}

// --------------------------------------------------------------------------------- what it reads

Wanted wanted_for(const PackedMatrix& matrix, int64_t rows, bool prompt) {
  return {matrix.set(), matrix.view(), rows, matrix.mode() == ops::ActivationMode::kDigit, prompt};
}

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

// Rows that are multiplied together.
struct Part {
  int64_t first = 0, rows = 0;
  bool prompt = false;
};

// Products of one set cut into items for shared_items(): each member's part is its share of the
// groups of every product, as the packer split them, in a few pieces a product that others may
// take. Block of rows after block: the activations of one block stay in the third cache while all
// groups are multiplied with them, and weights, which are read in order, come from memory again.
class Pieces {
 public:
  Pieces(std::span<const DenseProduct* const> set, const ProductCall& common, const Part& part,
         const FetchDistances& fetch, int members)
      : set_(set), common_(common), part_(part), fetch_(fetch), members_(members) {
    size_t bytes = 0;
    int64_t groups = 0;
    for (const DenseProduct* product : set) {
      const PackedView& weight = matrix(*product).view();
      groups = std::max(groups, weight.groups);
      bytes = std::max(
          bytes, static_cast<size_t>(weight.groups * weight.units_per_group) * weight.unit.bytes);
    }
    const auto pieces = static_cast<int64_t>(bytes / kLeastBytes) * common.rows / members;
    const int64_t most = common.rows < kManyRows ? kMostPieces
                                                 : std::clamp(groups / members / kLeastGroups,
                                                              kFewestPieces, kMostPieces);
    a_product_ = std::clamp<int64_t>(pieces, 1, most);
    blocks_ = row_blocks(common.rows);
  }

  int64_t count() const { return a_member() * members_; }

  void multiply(int64_t item) const {
    const int64_t member = item / a_member(), block = item % a_member() / a_block(),
                  piece = item % a_block();
    const DenseProduct& product = *set_[static_cast<size_t>(piece / a_product_)];
    const PackedView& weight = matrix(product).view();
    const bool all = product.part.empty();
    const int64_t first = all ? 0 : product.part.first / kGroupRows,
                  last = all ? weight.groups : (product.part.end + kGroupRows - 1) / kGroupRows,
                  begin = first + (last - first) * member / members_,
                  groups = first + (last - first) * (member + 1) / members_ - begin,
                  i = piece % a_product_;
    ProductCall call = common_;
    call.weight = &weight;
    // Even numbers of groups: kernels multiply two together.
    const auto edge = [&](int64_t at) {
      return at == a_product_ ? begin + groups : begin + groups * at / a_product_ / 2 * 2;
    };
    call.first_row = row_block_begin(call.rows, block);
    call.last_row = row_block_begin(call.rows, block + 1);
    call.first_group = edge(i);
    call.last_group = edge(i + 1);
    call.out = product.out + part_.first * product.stride;
    call.stride = product.stride;
    call.fetch = fetch_.of(weight.unit.codes, call.rows);
    if (call.first_group < call.last_group)
      choose_kernel(wanted_for(matrix(product), call.rows, part_.prompt)).product(call);
  }

 private:
  // A piece reads at least so many bytes, or does the work of reading them with more rows: some
  // four microseconds, against which taking it costs nothing.
  static constexpr size_t kLeastBytes = 64 * 1024;
  static constexpr int64_t kMostPieces = 16;
  // Of many rows, whose activations fill the second cache, it has enough groups to use them again;
  // but for a few pieces, because cores differ in speed.
  static constexpr int64_t kManyRows = 64, kLeastGroups = 8, kFewestPieces = 4;

  static const PackedMatrix& matrix(const DenseProduct& product) {
    return static_cast<const PackedMatrix&>(*product.weight);
  }
  int64_t a_block() const { return a_product_ * static_cast<int64_t>(set_.size()); }
  int64_t a_member() const { return a_block() * blocks_; }

  std::span<const DenseProduct* const> set_;
  const ProductCall& common_;
  const Part& part_;
  const FetchDistances& fetch_;
  int64_t members_, a_product_ = 1, blocks_ = 1;
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

constexpr size_t kMostProducts = 16;

// All products of the set, which read the same rows, for one part of these.
void multiply_part(std::span<const DenseProduct* const> set, const RowSpan& inputs,
                   const Part& part, const FetchDistances& fetch, Scratch pieces,
                   ThreadPool& pool) {
  const auto& first = static_cast<const PackedMatrix&>(*set[0]->weight);
  const Prepared form = form_for(first, part.rows, part.prompt);
  auto* units = pieces.take<std::byte>(prepared_bytes(form, part.rows, inputs.columns));
  auto* row_factors = pieces.take<float>(static_cast<size_t>(part.rows) * sizeof(float));
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
  const Pieces shares(set, common, part, fetch, pool.size());
  shared_items(pool, shares.count(), false, [&](int64_t item, int) { shares.multiply(item); });
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
    RowSpan inputs{x, rows, columns, stride};
    if (recipe_of(leader) != ActivationScheme::kNone) {
      auto* values = pieces.take<float>(static_cast<size_t>(rows * columns) * sizeof(float));
      apply_recipe(leader, inputs, values, pool);
      inputs = {values, rows, columns, columns};
    }
    const std::span<const DenseProduct* const> same{set.data(), count};
    if (!roles_differ(leader, rows)) {
      multiply_part(same, inputs, {0, rows, false}, fetch, pieces, pool);
      continue;
    }
    for (const Part& part :
         {Part{0, answer_rows, false}, Part{answer_rows, rows - answer_rows, true}}) {
      if (part.rows > 0) multiply_part(same, inputs, part, fetch, pieces, pool);
    }
  }
}

}  // namespace sluice::cpu
