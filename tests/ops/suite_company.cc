// A row's bits do not depend on its company: the other rows, their number, their order.
#include <gtest/gtest.h>

#include <algorithm>

#include "ops/attention_layer.h"
#include "ops/backend_suite.h"
#include "ops/gdn_layers.h"

namespace sluice::ops::testing {
namespace {

using Rows = std::vector<std::vector<float>>;

Rows split(const std::vector<float>& dense, size_t rows) {
  Rows out;
  const size_t width = rows == 0 ? 0 : dense.size() / rows;
  for (size_t r = 0; r < rows; ++r) {
    out.emplace_back(dense.begin() + static_cast<ptrdiff_t>(r * width),
                     dense.begin() + static_cast<ptrdiff_t>((r + 1) * width));
  }
  return out;
}

std::vector<float> join(const Rows& rows) {
  std::vector<float> dense;
  for (const auto& row : rows) dense.insert(dense.end(), row.begin(), row.end());
  return dense;
}

Rows random_rows(uint64_t seed, int64_t rows, int64_t width) {
  return split(random_values(seed, rows * width, -2.0f, 2.0f), static_cast<size_t>(rows));
}

// ---- products

class ProductUnderTest {
 public:
  ProductUnderTest(Backend& backend, Format format, int64_t features, int64_t columns)
      : backend_(&backend),
        first_(format, features, columns, 1),
        second_(format, 5, columns, 2),
        first_matrix_(first_.load(backend, MatrixUse::kProduct)),
        second_matrix_(second_.load(backend, MatrixUse::kProduct)) {}

  // Both products of the rows; per row the outputs of both. The answers come first.
  Rows run(const Rows& answers, const Rows& prompts) {
    Rows rows = answers;
    rows.insert(rows.end(), prompts.begin(), prompts.end());
    const auto count = static_cast<int64_t>(rows.size());
    const Array x(*backend_, count, first_.columns, join(rows));
    Array a(*backend_, count, first_.rows), b(*backend_, count, second_.rows);
    const Product products[] = {{first_matrix_.get(), a}, {second_matrix_.get(), b}};
    backend_->matmul({x, products, static_cast<int64_t>(answers.size())});
    EXPECT_TRUE(a.gaps_untouched() && b.gaps_untouched());
    Rows out = split(a.get(), rows.size());
    const Rows more = split(b.get(), rows.size());
    for (size_t r = 0; r < out.size(); ++r) {
      out[r].insert(out[r].end(), more[r].begin(), more[r].end());
    }
    return out;
  }

 private:
  Backend* backend_;
  Weight first_, second_;
  std::unique_ptr<Matrix> first_matrix_, second_matrix_;
};

void check_product(const BackendFactory& make_backend, Format format, int64_t features,
                   int64_t columns) {
  const auto backend = make_backend();
  ASSERT_TRUE(backend->reserve_scratch(200, columns).ok());
  ProductUnderTest product(*backend, format, features, columns);
  const Rows pool = random_rows(3, 80, columns);
  Rows as_answer, as_prompt;
  for (const auto& row : pool) {
    as_answer.push_back(product.run({row}, {})[0]);
    as_prompt.push_back(product.run({}, {row})[0]);
  }
  Random random(4);
  for (const int answers : {0, 1, 2, 3, 4, 5, 8, 9, 16, 33}) {
    for (const int prompts : {0, 1, 7, 64, 70}) {
      if (answers + prompts == 0) continue;
      SCOPED_TRACE(std::to_string(answers) + " answer and " + std::to_string(prompts) +
                   " prompt rows");
      std::vector<size_t> which;
      Rows answer_rows, prompt_rows;
      for (int r = 0; r < answers + prompts; ++r) {
        which.push_back(static_cast<size_t>(random.below(80)));
        (r < answers ? answer_rows : prompt_rows).push_back(pool[which.back()]);
      }
      const Rows out = product.run(answer_rows, prompt_rows);
      for (size_t r = 0; r < out.size(); ++r) {
        const Rows& alone = r < static_cast<size_t>(answers) ? as_answer : as_prompt;
        ASSERT_EQ(bits_of(out[r]), bits_of(alone[which[r]])) << "row " << r;
      }
    }
  }
}

// ---- operations on single rows

// An operation over `width`-wide input rows, as a function of them.
using RowOperation = std::function<Rows(Backend&, const Rows&)>;

void check_row_operation(const BackendFactory& make_backend, const char* name, int64_t width,
                         const RowOperation& run) {
  SCOPED_TRACE(name);
  const auto backend = make_backend();
  const Rows rows = random_rows(5, 13, width);
  const Rows together = run(*backend, rows);
  for (size_t r = 0; r < rows.size(); ++r) {
    ASSERT_EQ(bits_of(together[r]), bits_of(run(*backend, {rows[r]})[0])) << "row " << r;
  }
}

void check_row_operations(const BackendFactory& make_backend) {
  const int64_t width = 83;
  check_row_operation(make_backend, "rms_norm", 2 * width, [&](Backend& b, const Rows& rows) {
    const auto count = static_cast<int64_t>(rows.size());
    const Array in(b, count, 2 * width, join(rows)), weight(b, 1, width, random_values(6, width));
    Array out(b, count, width);
    b.rms_norm({in.view().column_range(0, width), in.view().column_range(width, width), weight,
                kNormEpsilon, out});
    return split(out.get(), rows.size());
  });
  check_row_operation(make_backend, "swiglu", 2 * width, [&](Backend& b, const Rows& rows) {
    const auto count = static_cast<int64_t>(rows.size());
    const Array in(b, count, 2 * width, join(rows));
    Array out(b, count, width);
    b.swiglu({in.view().column_range(0, width), in.view().column_range(width, width), out});
    return split(out.get(), rows.size());
  });
  const int64_t heads = 3, dim = 24;
  check_row_operation(
      make_backend, "attention_gate", 3 * heads * dim, [&](Backend& b, const Rows& rows) {
        const auto count = static_cast<int64_t>(rows.size());
        const Array in(b, count, 3 * heads * dim, join(rows));
        Array out(b, count, heads * dim);
        b.attention_gate({in.view().column_range(0, heads * dim),
                          in.view().column_range(heads * dim, 2 * heads * dim), dim, out});
        return split(out.get(), rows.size());
      });
  check_row_operation(make_backend, "gdn_norm", 2 * heads * dim, [&](Backend& b, const Rows& rows) {
    const auto count = static_cast<int64_t>(rows.size());
    const Array in(b, count, 2 * heads * dim, join(rows)), weight(b, 1, dim, random_values(7, dim));
    Array out(b, count, heads * dim);
    b.gdn_norm({in.view().column_range(0, heads * dim),
                in.view().column_range(heads * dim, heads * dim), weight, kNormEpsilon, out});
    return split(out.get(), rows.size());
  });
  const int64_t keys = 2 * dim, channels = 2 * keys + 50;
  check_row_operation(
      make_backend, "gdn_input", channels + 2 * heads, [&](Backend& b, const Rows& rows) {
        const auto count = static_cast<int64_t>(rows.size());
        const Array in(b, count, channels + 2 * heads, join(rows)),
            decay(b, 1, heads, random_values(8, heads, -1, -0.1f)),
            dt_bias(b, 1, heads, random_values(9, heads));
        Array out(b, count, 2 * keys + 2 * heads);
        const auto part = [&](int64_t first, int64_t size) {
          return out.view().column_range(first, size);
        };
        b.gdn_input({in.view().column_range(0, channels), in.view().column_range(channels, heads),
                     in.view().column_range(channels + heads, heads), decay, dt_bias, 2, dim,
                     part(0, keys), part(keys, keys), part(2 * keys, heads),
                     part(2 * keys + heads, heads)});
        return split(out.get(), rows.size());
      });
}

// ---- attention

struct Conversation {
  int32_t seed = 0;
  int prompt = 0, answers = 0;

  std::vector<int32_t> tokens(int first, int count) const {
    std::vector<int32_t> all;
    for (int i = first; i < first + count; ++i) all.push_back(seed * 10000 + i);
    return all;
  }
};

// Each conversation alone: the prompt in one segment, then answers one by one.
Rows attend_alone(Backend& backend, const AttentionShape& shape, KvFormat format,
                  const Conversation& c, int32_t first_index) {
  AttentionLayer layer(backend, shape, shape.kv_spec(1, 8, format), 11);
  const auto pages = page_list(0, 8);
  const Piece prompt{Role::kPrompt, first_index, c.tokens(0, c.prompt), 0, 0, pages};
  Rows rows = layer.attend({&prompt, 1}, 0, first_index);
  for (int i = 0; i < c.answers; ++i) {
    const Piece answer{Role::kAnswer, first_index + c.prompt + i, c.tokens(c.prompt + i, 1), 0, 0,
                       pages};
    rows.push_back(layer.attend({&answer, 1}, 0, first_index)[0]);
  }
  return rows;
}

// All together: prompts cut on the grid and interleaved, answers several at a time while others
// still read, pages scattered.
void check_attention(const BackendFactory& make_backend, const AttentionShape& shape,
                     KvFormat format, int32_t first_index) {
  const std::vector<Conversation> all = {{1, 130, 14}, {2, 3, 30}, {3, 200, 5}, {4, 64, 9}};
  std::vector<Rows> alone, together(all.size());
  const auto backend = make_backend();
  for (const Conversation& c : all) {
    alone.push_back(attend_alone(*backend, shape, format, c, first_index));
  }
  AttentionLayer layer(*backend, shape, shape.kv_spec(1, 40, format), 11);
  Random random(12);
  for (bool more = true; more;) {
    std::vector<Piece> answers, prompts;
    std::vector<size_t> answer_of, prompt_of;
    more = false;
    for (size_t place = 0; place < all.size(); ++place) {
      const size_t i = (place + together[0].size()) % all.size();
      const Conversation& c = all[i];
      const int done = static_cast<int>(together[i].size());
      if (done == c.prompt + c.answers) continue;
      more = true;
      if (random.below(3) == 0) continue;
      const bool answer = done >= c.prompt;
      const int to_grid = kGrid - (first_index + done) % kGrid;
      const int count = answer ? std::min(1 + random.below(9), c.prompt + c.answers - done)
                               : std::min(to_grid + kGrid * random.below(2), c.prompt - done);
      (answer ? answers : prompts)
          .push_back({answer ? Role::kAnswer : Role::kPrompt, first_index + done,
                      c.tokens(done, count), static_cast<int32_t>(i), 0,
                      page_list(static_cast<int>(i), 8, static_cast<int>(all.size()))});
      (answer ? answer_of : prompt_of).push_back(i);
    }
    if (answers.empty() && prompts.empty()) continue;
    answers.insert(answers.end(), prompts.begin(), prompts.end());
    answer_of.insert(answer_of.end(), prompt_of.begin(), prompt_of.end());
    const Rows out = layer.attend(answers, 0, first_index);
    size_t row = 0;
    for (size_t p = 0; p < answers.size(); ++p) {
      for (size_t k = 0; k < answers[p].tokens.size(); ++k) {
        together[answer_of[p]].push_back(out[row++]);
      }
    }
  }
  for (size_t i = 0; i < all.size(); ++i) {
    ASSERT_EQ(together[i].size(), alone[i].size());
    for (size_t r = 0; r < alone[i].size(); ++r) {
      ASSERT_EQ(bits_of(together[i][r]), bits_of(alone[i][r])) << "sequence " << i << " row " << r;
    }
  }
}

// One pass through everything that a backend may share out among threads.
Rows run_everything(Backend& backend) {
  const AttentionShape shape{6, 3, 32, 4};
  AttentionLayer attention(backend, shape, shape.kv_spec(1, 8, KvFormat::kBF16), 13);
  GdnLayers gdn(backend, gdn_spec(2, 6, 32, 40, HeadOrder::kGrouped, 3, 9), 14);
  Random random(15);
  const auto piece = [&](Role role, int32_t index, int rows, int32_t slot, int32_t commit) {
    std::vector<int32_t> tokens;
    for (int r = 0; r < rows; ++r) tokens.push_back(random.below(1000));
    return Piece{role, index, tokens, slot, commit, page_list(slot, 2, 3)};
  };
  const std::vector<std::vector<Piece>> steps = {
      {piece(Role::kPrompt, 0, 70, 0, 0), piece(Role::kPrompt, 0, 3, 1, 0)},
      {piece(Role::kAnswer, 70, 5, 0, 0), piece(Role::kPrompt, 3, 64, 1, 0)},
      {piece(Role::kAnswer, 73, 9, 0, 3), piece(Role::kAnswer, 67, 1, 1, 0)}};
  Rows all;
  for (const auto& pieces : steps) {
    for (const Rows& rows : {attention.attend(pieces, 0), gdn.step(pieces)}) {
      all.insert(all.end(), rows.begin(), rows.end());
    }
  }
  all.push_back(gdn.image(0));
  EXPECT_TRUE(backend.reserve_scratch(20, 96).ok());
  ProductUnderTest product(backend, Format::kBF16, 37, 96);
  const Rows x = random_rows(16, 20, 96);
  for (const Rows& rows : {product.run({x.begin(), x.begin() + 9}, {x.begin() + 9, x.end()}),
                           product.run({x[0]}, {})}) {
    all.insert(all.end(), rows.begin(), rows.end());
  }
  return all;
}

}  // namespace

void check_same_bits(const BackendFactory& make_one, const BackendFactory& make_other) {
  const auto one = make_one(), other = make_other();
  const Rows a = run_everything(*one), b = run_everything(*other);
  ASSERT_EQ(a.size(), b.size());
  for (size_t r = 0; r < a.size(); ++r) ASSERT_EQ(bits_of(a[r]), bits_of(b[r])) << "result " << r;
}

void check_company(const BackendFactory& make_backend, const SuiteOptions& options) {
  for (const Format format : options.product_formats) {
    for (const auto& [features, columns] :
         std::vector<std::pair<int64_t, int64_t>>{{1, 32}, {37, 96}, {48, 83}, {16, 320}}) {
      SCOPED_TRACE(std::string(format_name(format)) + " weight " + std::to_string(features) +
                   " x " + std::to_string(columns));
      check_product(make_backend, format, features, columns);
    }
  }
  check_row_operations(make_backend);
  for (const KvFormat format : options.kv_formats) {
    for (const int32_t first_index : {0, 1}) {
      SCOPED_TRACE("kv format " + std::to_string(static_cast<int>(format)));
      check_attention(make_backend, {4, 2, 32, 4}, format, first_index);
    }
  }
  check_attention(make_backend, {3, 1, 64, 8}, options.kv_formats[0], 0);
  check_attention(make_backend, {2, 1, 256, 32}, options.kv_formats[0], 0);
}

}  // namespace sluice::ops::testing
