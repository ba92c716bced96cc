// Runs each product and each vector kernel once, for valgrind's callgrind to count the instructions
// of: see instruction_counts.py. Counted are the instruction sets that valgrind executes, portable
// and avx2.
#include <valgrind/callgrind.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "backend/cpu/detect.h"
#include "backend/cpu/matmul.h"
#include "backend/cpu/vector/attention_kernels.h"
#include "backend/cpu/vector/gdn_kernels.h"
#include "backend/cpu/vector/row_kernels.h"
#include "backend/matmul_matrices.h"
#include "tensor/format.h"

namespace sluice::cpu {
namespace {

using ops::ActivationMode;

// What `work` executes becomes the totals of a file of callgrind's, under the given name.
template <typename Work>
void count(const std::string& name, const Work& work) {
  CALLGRIND_ZERO_STATS;
  CALLGRIND_TOGGLE_COLLECT;
  work();
  CALLGRIND_TOGGLE_COLLECT;
  CALLGRIND_DUMP_STATS_AT(name.c_str());
}

std::vector<float> random_values(size_t count) {
  std::vector<float> values(count);
  test::Random random(count);
  for (float& value : values) value = random.normal();
  return values;
}

// -------------------------------------------------------------------------------------- products

// Enough outputs that the kernel and not the preparation of its inputs is most of the count.
constexpr int64_t kOutputs = 64, kColumns = 512, kMostRows = 16;

struct Product {
  std::string name;
  int64_t columns = 0;
  std::unique_ptr<ops::Matrix> weight;
  std::vector<int64_t> rows;
};

std::vector<Product> products_of(InstructionSet set, ThreadPool& pool) {
  // Nobody takes portable for speed: two numbers of rows show what goes wrong there.
  const std::vector<int64_t> rows = set == InstructionSet::kPortable
                                        ? std::vector<int64_t>{1, 4}
                                        : std::vector<int64_t>{1, 2, 4, 8, 16};
  std::vector<Product> products;
  for (const test::MatrixForm& form : test::all_forms()) {
    const int64_t columns = (kColumns + form.column_step - 1) / form.column_step * form.column_step;
    const test::RandomMatrix matrix(form, kOutputs, columns, 1);
    for (const ActivationMode mode : {ActivationMode::kWide, ActivationMode::kDigit}) {
      if (mode == ActivationMode::kDigit && has_float_codes(form.format)) continue;
      products.push_back({std::string(instruction_set_name(set)) + " " + form.name +
                              (mode == ActivationMode::kWide ? " wide" : " digit"),
                          columns, pack_matrix(matrix.encoded(), set, mode, pool).value(), rows});
    }
  }
  return products;
}

void count_product(const Product& product, ThreadPool& pool) {
  const std::vector<float> x = random_values(static_cast<size_t>(kMostRows * product.columns));
  std::vector<float> out(static_cast<size_t>(kMostRows * kOutputs));
  std::vector<std::byte> scratch(matmul_scratch_bytes(kMostRows, product.columns));
  const DenseProduct dense[] = {{product.weight.get(), out.data(), kOutputs}};
  for (const int64_t rows : product.rows) {
    count(product.name + " rows " + std::to_string(rows), [&] {
      matmul(x.data(), rows, product.columns, product.columns, rows, dense, scratch, pool);
    });
  }
}

// ----------------------------------------------------------------------------------- other kernels

void count_row_kernels(const std::string& set, const RowKernels& kernels) {
  constexpr int64_t kCount = 2048;
  const std::vector<float> a = random_values(kCount), b = random_values(kCount + 1);
  std::vector<float> out(kCount);
  float* to = out.data();
  count(set + " add", [&] { kernels.add(to, a.data(), kCount); });
  count(set + " rms_norm", [&] { kernels.rms_norm(a.data(), b.data(), 1e-6f, to, kCount); });
  count(set + " l2_norm", [&] { kernels.l2_norm(a.data(), 1.0f, to, kCount); });
  count(set + " gated_norm",
        [&] { kernels.gated_norm(a.data(), a.data(), b.data(), 1e-6f, to, kCount); });
  count(set + " swiglu", [&] { kernels.swiglu(a.data(), b.data(), to, kCount); });
  count(set + " sigmoid_gate", [&] { kernels.sigmoid_gate(a.data(), b.data(), to, kCount); });
  count(set + " rotate", [&] { kernels.rotate(to, a.data(), b.data(), kCount / 2); });
  count(set + " first_maximum", [&] { kernels.first_maximum(a.data(), kCount); });
  const float* taps[] = {a.data(), a.data() + 512, a.data() + 1024, a.data() + 1536};
  count(set + " convolve", [&] { kernels.convolve(taps, b.data(), 512, 4, to, 512); });
}

void count_attention(const std::string& set, const AttentionKernels& kernels) {
  constexpr int64_t kHeads = 6, kDim = 128;
  const std::vector<float> queries = random_values(kHeads * kDim);
  const std::vector<std::byte> stored(ops::kGrid * kDim * sizeof(float));  // zeros in every format
  std::vector<float> out(kHeads * kDim);
  const std::pair<const char*, ops::KvFormat> formats[] = {
      {"f32", ops::KvFormat::kF32}, {"bf16", ops::KvFormat::kBF16}, {"fp8", ops::KvFormat::kFp8}};
  for (const auto& [name, format] : formats) {
    const PageView page{stored.data(), stored.data(), format, kDim, 0.1f};
    std::vector<SoftmaxState> states(kHeads, SoftmaxState{-1e30f, 0.0f});
    count(set + " attend_page " + name, [&] {
      kernels.attend_page(page, queries.data(), kHeads, 0, ops::kGrid, states.data(), out.data());
    });
  }
}

void count_gdn(const std::string& set, const GdnKernels& kernels) {
  constexpr int64_t kDim = 128, kRows = 64;
  const std::vector<float> keys = random_values(kRows * kDim), values = random_values(kRows * 32);
  std::vector<float> state(kDim * kStateColumns), scratch(2 * kDim * kStateColumns),
      change(kStateColumns), out(kRows * kStateColumns), news(kRows * kStateColumns),
      mixing(kRows * kRows), attention(kRows * kRows);
  const DeltaRow row{keys.data(), keys.data(), values.data(), change.data(),
                     0.9f,        0.5f,        out.data()};
  count(set + " apply_rows",
        [&] { kernels.apply_rows(&row, 1, &row, 1, kDim, state.data(), scratch.data(), nullptr); });
  ChunkShared chunk;
  chunk.rows = kRows;
  chunk.key_dim = kDim;
  chunk.keys = chunk.queries = keys.data();
  chunk.key_stride = chunk.query_stride = kDim;
  chunk.mixing = mixing.data();
  chunk.attention = attention.data();
  chunk.transposed = scratch.data();
  const std::vector<float> decay(kRows, -0.1f);
  count(set + " prepare_chunk", [&] { kernels.prepare_chunk(chunk, decay.data(), 1); });
  count(set + " apply_chunk", [&] {
    kernels.apply_chunk(chunk, values.data(), kStateColumns, state.data(), news.data(), out.data(),
                        kStateColumns);
  });
}

int run() {
  ThreadPool pool(1);
  const auto supported = supported_instruction_sets();
  std::vector<InstructionSet> sets;
  for (const InstructionSet set : {InstructionSet::kPortable, InstructionSet::kAvx2}) {
    if (std::find(supported.begin(), supported.end(), set) != supported.end()) {
      sets.push_back(set);
    } else {
      std::printf("unsupported %s\n", std::string(instruction_set_name(set)).c_str());
    }
  }
  std::vector<Product> products;
  for (const InstructionSet set : sets) {
    for (Product& product : products_of(set, pool)) products.push_back(std::move(product));
  }
  // Packing above is most of the work and runs much faster before this.
  CALLGRIND_START_INSTRUMENTATION;
  for (const Product& product : products) count_product(product, pool);
  for (const InstructionSet set : sets) {
    const std::string name(instruction_set_name(set));
    count_row_kernels(name, row_kernels(set));
    count_attention(name, attention_kernels(set));
    count_gdn(name, gdn_kernels(set));
  }
  return 0;
}

}  // namespace
}  // namespace sluice::cpu

int main() { return sluice::cpu::run(); }
