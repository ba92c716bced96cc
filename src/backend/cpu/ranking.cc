#include "backend/cpu/ranking.h"

#include "base/check.h"

namespace sluice::cpu {
namespace {

bool is_float(const UnitShape& shape) { return shape.codes >= CodeKind::kBF16; }

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

}  // namespace

const Kernel& choose_kernel(const Wanted& wanted) {
  for (const Kernel& kernel : kKernels) {
    if (kernel.supports(wanted)) return kernel;
  }
  SLUICE_CHECK(false, "no kernel for {}", instruction_set_name(wanted.set));
}

}  // namespace sluice::cpu
