#include "ops/delta_bounds.h"

#include <algorithm>
#include <cmath>

#include "ops/arrays.h"

namespace sluice::ops::testing {
namespace {

constexpr double kStored = 0x1p-24;  // rounding of the state to F32

// The inputs of one value head at one row.
struct HeadRow {
  const float *query, *key, *value;
  double beta, g;
};

HeadRow head_row(const RecurrentSpec& spec, const DeltaInputs& in, int64_t row, int64_t head) {
  const int64_t ratio = spec.value_heads / spec.key_heads;
  const int64_t key_head =
      spec.head_order == HeadOrder::kGrouped ? head / ratio : head % spec.key_heads;
  const int64_t key_at = row * spec.key_width() + key_head * spec.key_dim;
  const auto gate = static_cast<size_t>(row * spec.value_heads + head);
  return {in.query.data() + key_at, in.key.data() + key_at,
          in.value.data() + row * spec.value_width() + head * spec.value_dim, in.beta[gate],
          in.g[gate]};
}

double dot(const float* a, const float* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += double{a[i]} * b[i];
  return sum;
}

double magnitude(const float* a, const float* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += std::abs(double{a[i]} * b[i]);
  return sum;
}

// A head's state column by column: value and bound. Columns of the delta rule are independent.
struct Column {
  std::vector<double> value, bound;  // [key_dim]
};

// sum of of[r] * |x[r]|
double weighted(const std::vector<double>& of, const float* x) {
  double sum = 0;
  for (size_t r = 0; r < of.size(); ++r) sum += std::abs(of[r]) * std::abs(double{x[r]});
  return sum;
}

double product(const std::vector<double>& of, const float* x) {
  double sum = 0;
  for (size_t r = 0; r < of.size(); ++r) sum += of[r] * x[r];
  return sum;
}

// The recurrence on exact values. Returns the change d.
double advance(std::vector<double>& column, const HeadRow& row, double value) {
  const double decay = std::exp(row.g);
  const double d = row.beta * (value - decay * product(column, row.key));
  for (size_t r = 0; r < column.size(); ++r) column[r] = decay * column[r] + row.key[r] * d;
  return d;
}

// What all columns of one head share inside a chunk.
struct Chunk {
  std::vector<HeadRow> rows;
  std::vector<double> gamma;
  // Per pair j <= i: the coefficient by which row j's change enters row i's, with its error; the
  // same for row i's output.
  std::vector<std::vector<double>> into_change, into_change_error, into_out, into_out_error;

  double unit;

  Chunk(const RecurrentSpec& spec, const DeltaInputs& in, int64_t first, int64_t count,
        int64_t head, double operation_unit, double term_error)
      : unit(operation_unit) {
    const double sum_error = term_error + static_cast<double>(spec.key_dim + 16) * unit;
    for (int64_t i = 0; i < count; ++i) {
      rows.push_back(head_row(spec, in, first + i, head));
      gamma.push_back((i == 0 ? 0.0 : gamma.back()) + rows.back().g);
      std::vector<double> a, a_error, p, p_error;
      for (int64_t j = 0; j <= i; ++j) {
        const HeadRow &to = rows[static_cast<size_t>(i)], &from = rows[static_cast<size_t>(j)];
        const double decay = std::exp(gamma.back() - gamma[static_cast<size_t>(j)]);
        const double relative = sum_error + exponent_error(i - j + 1);
        a.push_back(to.beta * std::abs(dot(to.key, from.key, spec.key_dim)) * decay);
        a_error.push_back(to.beta * magnitude(to.key, from.key, spec.key_dim) * decay * relative);
        p.push_back(std::abs(dot(to.query, from.key, spec.key_dim)) * decay);
        p_error.push_back(magnitude(to.query, from.key, spec.key_dim) * decay * relative);
      }
      into_change.push_back(a);
      into_change_error.push_back(a_error);
      into_out.push_back(p);
      into_out_error.push_back(p_error);
    }
  }

  // Relative error of an exponential over `steps` sums of g: each is rounded in F32.
  double exponent_error(int64_t steps) const {
    return (8 + static_cast<double>(steps + 1) * std::abs(gamma.back())) * unit;
  }
};

// Bounds of one column over a chunk: outputs to `out`, and the state's bound at its end.
void bound_chunk_column(const Chunk& chunk, const std::vector<double>& after, int64_t column_index,
                        double unit, double term_error, Column& state, double* out,
                        int64_t out_stride) {
  const size_t count = chunk.rows.size();
  const double sum_error = term_error + static_cast<double>(state.value.size() + 16) * unit;
  std::vector<double> size(count), error(count);  // of the changes
  for (size_t i = 0; i < count; ++i) {
    const HeadRow& row = chunk.rows[i];
    const double decay = std::exp(chunk.gamma[i]);
    const double entry_error = sum_error + chunk.exponent_error(static_cast<int64_t>(i) + 1);
    const double change_error = term_error + static_cast<double>(i + 16) * unit;
    size[i] =
        row.beta * (std::abs(row.value[column_index]) + decay * weighted(state.value, row.key));
    error[i] = size[i] * entry_error + row.beta * decay * weighted(state.bound, row.key);
    for (size_t j = 0; j < i; ++j) {
      size[i] += chunk.into_change[i][j] * size[j];
      error[i] += chunk.into_change[i][j] * error[j] + chunk.into_change_error[i][j] * size[j];
    }
    error[i] += 2 * size[i] * change_error;
    double& bound = out[static_cast<int64_t>(i) * out_stride];
    bound =
        decay * (weighted(state.value, row.query) * entry_error + weighted(state.bound, row.query));
    for (size_t j = 0; j <= i; ++j) {
      bound += chunk.into_out[i][j] * (error[j] + size[j] * change_error) +
               chunk.into_out_error[i][j] * size[j];
    }
  }
  const double last = chunk.gamma.back();
  const double end_error = term_error + static_cast<double>(count + 16) * unit +
                           chunk.exponent_error(static_cast<int64_t>(count));
  for (size_t r = 0; r < state.value.size(); ++r) {
    double bound = std::exp(last) * (state.bound[r] + std::abs(state.value[r]) * end_error);
    for (size_t i = 0; i < count; ++i) {
      bound += std::exp(last - chunk.gamma[i]) * std::abs(double{chunk.rows[i].key[r]}) *
               (error[i] + size[i] * end_error);
    }
    state.bound[r] = bound + std::abs(after[r]) * kStored;
  }
  state.value = after;
}

Column column_of(const RecurrentSpec& spec, const std::vector<float>& state, int64_t head,
                 int64_t index) {
  Column column;
  for (int64_t r = 0; r < spec.key_dim; ++r) {
    column.value.push_back(
        state[static_cast<size_t>((head * spec.key_dim + r) * spec.value_dim + index)]);
  }
  column.bound.resize(column.value.size());
  return column;
}

DeltaBounds empty_bounds(const RecurrentSpec& spec, int64_t rows) {
  DeltaBounds bounds;
  bounds.out.resize(static_cast<size_t>(rows * spec.value_width()));
  bounds.out_bound = bounds.out;
  bounds.state.resize(static_cast<size_t>(spec.value_heads * spec.key_dim * spec.value_dim));
  bounds.state_bound = bounds.state;
  return bounds;
}

void store_state(const RecurrentSpec& spec, const Column& column, int64_t head, int64_t index,
                 DeltaBounds& bounds) {
  for (int64_t r = 0; r < spec.key_dim; ++r) {
    const auto at = static_cast<size_t>((head * spec.key_dim + r) * spec.value_dim + index);
    bounds.state[at] = column.value[static_cast<size_t>(r)];
    bounds.state_bound[at] = column.bound[static_cast<size_t>(r)];
  }
}

}  // namespace

DeltaInputs random_delta_inputs(const RecurrentSpec& spec, int64_t rows, uint64_t seed) {
  DeltaInputs in;
  in.query = random_values(mix(seed, 1), rows * spec.key_width());
  in.key = random_values(mix(seed, 2), rows * spec.key_width());
  const double query_scale = 1 / std::sqrt(static_cast<double>(spec.key_dim));
  for (auto* values : {&in.query, &in.key}) {
    for (int64_t at = 0; at < rows * spec.key_width(); at += spec.key_dim) {
      float* x = values->data() + at;
      const double scale =
          (values == &in.query ? query_scale : 1.0) / std::sqrt(dot(x, x, spec.key_dim));
      for (int64_t i = 0; i < spec.key_dim; ++i) x[i] = static_cast<float>(x[i] * scale);
    }
  }
  in.value = random_values(mix(seed, 3), rows * spec.value_width(), -2, 2);
  in.beta = random_values(mix(seed, 4), rows * spec.value_heads, 0.02f, 0.98f);
  in.g = random_values(mix(seed, 5), rows * spec.value_heads, -1.5f, -0.001f);
  // Gates at their ends: a closed one, no decay, and a decay that empties the state.
  if (rows > 2) {
    in.beta[0] = 0.0f;
    in.g[static_cast<size_t>(spec.value_heads)] = 0.0f;
    in.g[static_cast<size_t>(2 * spec.value_heads)] = -110.0f;
  }
  return in;
}

DeltaBounds sequential_bounds(const RecurrentSpec& spec, const std::vector<float>& state,
                              const DeltaInputs& in, int64_t rows, double unit, double term_error) {
  DeltaBounds bounds = empty_bounds(spec, rows);
  const double sum_error = term_error + static_cast<double>(spec.key_dim + 16) * unit;
  for (int64_t head = 0; head < spec.value_heads; ++head) {
    for (int64_t c = 0; c < spec.value_dim; ++c) {
      Column column = column_of(spec, state, head, c);
      for (int64_t i = 0; i < rows; ++i) {
        const HeadRow row = head_row(spec, in, i, head);
        const double decay = std::exp(row.g);
        const double old_size = decay * weighted(column.value, row.key);
        const double change_error = row.beta * (decay * weighted(column.bound, row.key) +
                                                (old_size + std::abs(row.value[c])) * sum_error);
        std::vector<double> rounding(column.value.size());
        for (size_t r = 0; r < rounding.size(); ++r) {
          rounding[r] = decay * (column.bound[r] + 8 * unit * std::abs(column.value[r]));
        }
        const double d = advance(column.value, row, row.value[c]);
        for (size_t r = 0; r < rounding.size(); ++r) {
          const double key = std::abs(double{row.key[r]});
          column.bound[r] = rounding[r] + key * (change_error + 8 * unit * std::abs(d)) +
                            std::abs(column.value[r]) * kStored;
        }
        const auto at = static_cast<size_t>(i * spec.value_width() + head * spec.value_dim + c);
        bounds.out[at] = product(column.value, row.query);
        bounds.out_bound[at] =
            weighted(column.bound, row.query) + weighted(column.value, row.query) * sum_error;
      }
      store_state(spec, column, head, c, bounds);
    }
  }
  return bounds;
}

DeltaBounds chunked_bounds(const RecurrentSpec& spec, const std::vector<float>& state,
                           const DeltaInputs& in, int64_t rows, int64_t first_index, double unit,
                           double term_error) {
  DeltaBounds bounds = empty_bounds(spec, rows);
  for (int64_t head = 0; head < spec.value_heads; ++head) {
    std::vector<Column> columns;
    for (int64_t c = 0; c < spec.value_dim; ++c) {
      columns.push_back(column_of(spec, state, head, c));
    }
    for (int64_t first = 0; first < rows;) {
      const int64_t count = std::min(kGrid - (first_index + first) % kGrid, rows - first);
      const Chunk chunk(spec, in, first, count, head, unit, term_error);
      for (int64_t c = 0; c < spec.value_dim; ++c) {
        Column& column = columns[static_cast<size_t>(c)];
        const int64_t at = first * spec.value_width() + head * spec.value_dim + c;
        std::vector<double> after = column.value;
        for (int64_t i = 0; i < count; ++i) {
          const HeadRow& row = chunk.rows[static_cast<size_t>(i)];
          advance(after, row, row.value[c]);
          bounds.out[static_cast<size_t>(at + i * spec.value_width())] = product(after, row.query);
        }
        bound_chunk_column(chunk, after, c, unit, term_error, column, bounds.out_bound.data() + at,
                           spec.value_width());
      }
      first += count;
    }
    for (int64_t c = 0; c < spec.value_dim; ++c) {
      store_state(spec, columns[static_cast<size_t>(c)], head, c, bounds);
    }
  }
  return bounds;
}

}  // namespace sluice::ops::testing
