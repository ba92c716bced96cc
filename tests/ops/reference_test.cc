// The reference backend under the suites that all backends share, held to double
// arithmetic with one rounding of each result.
#include <gtest/gtest.h>

#include "backend/ref/ref_backend.h"
#include "ops/arrays.h"
#include "ops/attention_layer.h"
#include "ops/backend_suite.h"
#include "ops/gdn_layers.h"

namespace sluice::ops::testing {
namespace {

BackendFactory reference(int threads) {
  return [threads] { return std::make_unique<ref::RefBackend>(threads); };
}

// Double throughout, with room for its roundings and its library's functions.
SuiteOptions wide() {
  SuiteOptions options;
  options.unit = 0x1p-50;
  return options;
}

TEST(ReferenceBackend, Values) { check_values(reference(1), wide()); }
TEST(ReferenceBackend, Memory) { check_memory(reference(1)); }
TEST(ReferenceBackend, DeferredCommit) { check_deferred_commit(reference(1)); }
TEST(ReferenceBackend, ChunkGrid) { check_chunk_grid(reference(1)); }
TEST(ReferenceBackend, Company) { check_company(reference(1)); }
TEST(ReferenceBackend, ThreadsChangeNoBit) { check_same_bits(reference(1), reference(3)); }

// A format that only the codec knows: 32 codes and an F16 scale a block.
TEST(ReferenceBackend, DecodesAnyFormat) {
  const int64_t rows = 3, columns = 64;
  std::vector<std::byte> bytes;
  Random random(1);
  for (int64_t block = 0; block < rows * columns / 32; ++block) {
    bytes.push_back(std::byte{0x00});
    bytes.push_back(std::byte{0x34});  // 0.25
    for (int i = 0; i < 32; ++i) bytes.push_back(static_cast<std::byte>(random.below(256)));
  }
  EncodedMatrix encoded;
  encoded.format = Format::kQ8_0;
  encoded.rows = rows;
  encoded.columns = columns;
  encoded.codes = {bytes, DType::kQ8_0, rows, columns};
  std::vector<float> expected;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i % 34 >= 2) expected.push_back(0.25f * static_cast<int8_t>(bytes[i]));
  }

  ref::RefBackend backend(1);
  const auto product = std::move(backend.load_matrix(encoded, MatrixUse::kProduct)).value();
  const auto lookup = std::move(backend.load_matrix(encoded, MatrixUse::kLookup)).value();
  EXPECT_EQ(product->bytes(), static_cast<size_t>(rows * columns) * sizeof(float));
  EXPECT_EQ(lookup->bytes(), 0u);
  EXPECT_EQ(backend.matrix_bytes(encoded, MatrixUse::kLookup), 0u);
  const std::vector<int32_t> tokens = {0, 1, 2};
  Array out(backend, rows, columns);
  backend.embed({lookup.get(), tokens, out});
  EXPECT_EQ(bits_of(out.get()), bits_of(expected));
  // The unit vectors read the product matrix column by column.
  std::vector<float> identity(static_cast<size_t>(columns * columns));
  for (int64_t i = 0; i < columns; ++i) identity[static_cast<size_t>(i * (columns + 1))] = 1;
  Array transposed(backend, columns, rows);
  const Product products[] = {{product.get(), transposed}};
  backend.matmul({Array(backend, columns, columns, identity), products, 0});
  const std::vector<float> got = transposed.get();
  for (int64_t k = 0; k < columns; ++k) {
    for (int64_t n = 0; n < rows; ++n) {
      EXPECT_EQ(got[static_cast<size_t>(k * rows + n)],
                expected[static_cast<size_t>(n * columns + k)]);
    }
  }

  encoded.codes.bytes = encoded.codes.bytes.first(34);
  for (const MatrixUse use : {MatrixUse::kProduct, MatrixUse::kLookup}) {
    const auto refused = backend.load_matrix(encoded, use);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::kBadInput);
  }
}

TEST(ReferenceBackend, RefusesMemoryThatIsNotThere) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "AddressSanitizer ends the program where the system would refuse";
#endif
  ref::RefBackend backend(1);
  const auto expect_refused = [](const auto& result) {
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code, ErrorCode::kDoesNotFit);
  };
  expect_refused(backend.allocate(size_t{1} << 60));
  expect_refused(backend.create_kv_cache(
      AttentionShape{2, 2, 256, 32}.kv_spec(16, int64_t{1} << 40, KvFormat::kF32)));
  RecurrentSpec spec = gdn_spec(2, 4, 128, 128, HeadOrder::kGrouped, 1, 4);
  spec.pending_rows = int64_t{1} << 50;
  expect_refused(backend.create_recurrent_state(spec));
}

}  // namespace
}  // namespace sluice::ops::testing
