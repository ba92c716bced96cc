// Operations that see one row at a time: embedding, norm, SwiGLU, gather, argmax, products.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/lookup_matrix.h"
#include "backend/cpu/parallel.h"
#include "base/check.h"
#include "codec/codec.h"

namespace sluice::cpu {

void CpuBackend::do_embed(const ops::EmbedArgs& args) {
  const auto* table = dynamic_cast<const LookupMatrix*>(args.table);
  SLUICE_CHECK(table != nullptr, "the table was not loaded for lookup by this backend");
  const Rows out = rows_of(args.out);
  static_items(pool_, out.rows, out.rows * out.columns < kSerialFloats, [&](int64_t r, int) {
    codec::decode_rows(table->encoded(), args.tokens[static_cast<size_t>(r)], 1, out.row(r));
  });
}

void CpuBackend::do_rms_norm(const ops::RmsNormArgs& args) {
  const Rows x = rows_of(args.x), delta = rows_of(args.delta), out = rows_of(args.out);
  const float* const weight = args.out.empty() ? nullptr : rows_of(args.weight).data;
  static_items(pool_, x.rows, x.rows * x.columns < kSerialFloats, [&](int64_t r, int) {
    if (delta.data != nullptr) rows_.add(x.row(r), delta.row(r), x.columns);
    if (out.data != nullptr) rows_.rms_norm(x.row(r), weight, args.eps, out.row(r), x.columns);
  });
}

void CpuBackend::do_matmul(const ops::MatmulArgs& args) {
  const Rows x = rows_of(args.x);
  ensure_matmul_scratch(x.rows, x.columns);
  products_.clear();
  for (const ops::Product& product : args.products) {
    const Rows out = rows_of(product.out);
    products_.push_back({product.weight, out.data, out.stride, product.part});
  }
  cpu::matmul(x.data, x.rows, x.columns, x.stride, args.answer_rows, products_,
              {matmul_scratch_.data(), matmul_scratch_.size()}, pool_, fetch_);
}

void CpuBackend::do_swiglu(const ops::SwigluArgs& args) {
  const Rows gate = rows_of(args.gate), up = rows_of(args.up), out = rows_of(args.out);
  constexpr int64_t kPart = 4096;  // columns: a single row is shared out too
  const int64_t parts = (out.columns + kPart - 1) / kPart;
  static_items(pool_, out.rows * parts, out.rows * out.columns < kSerialFloats / 4,
               [&](int64_t item, int) {
                 const int64_t r = item / parts, first = item % parts * kPart;
                 rows_.swiglu(gate.row(r) + first, up.row(r) + first, out.row(r) + first,
                              std::min(kPart, out.columns - first));
               });
}

void CpuBackend::do_gather_rows(const ops::GatherRowsArgs& args) {
  const Rows x = rows_of(args.x), out = rows_of(args.out);
  for (int64_t r = 0; r < out.rows; ++r) {
    std::copy_n(x.row(args.rows[static_cast<size_t>(r)]), x.columns, out.row(r));
  }
}

void CpuBackend::do_argmax(const ops::ArgmaxArgs& args) {
  const Rows logits = rows_of(args.logits);
  constexpr int64_t kPart = 32768;
  const ops::Range all{0, logits.columns};
  std::vector<ops::Range> parts;
  for (const ops::Range& range : args.among.empty() ? std::span(&all, 1) : args.among) {
    for (int64_t first = range.first; first < range.end; first += kPart)
      parts.push_back({first, std::min(first + kPart, range.end)});
  }
  const auto count = static_cast<int64_t>(parts.size());
  std::vector<int64_t> best(static_cast<size_t>(logits.rows * count));
  static_items(pool_, logits.rows * count, false, [&](int64_t item, int) {
    const ops::Range& part = parts[static_cast<size_t>(item % count)];
    best[static_cast<size_t>(item)] =
        part.first + rows_.first_maximum(logits.row(item / count) + part.first, part.count());
  });
  for (int64_t r = 0; r < logits.rows; ++r) {
    // A later part wins only if it is larger, so the first maximum of the row does; a row of
    // values that are not numbers gives the first column.
    const float* const row = logits.row(r);
    int64_t winner = -1;
    for (int64_t part = 0; part < count; ++part) {
      const int64_t at = best[static_cast<size_t>(r * count + part)];
      if (std::isnan(row[at])) continue;
      if (winner < 0 || row[at] > row[winner]) winner = at;
    }
    if (winner < 0) winner = parts.front().first;
    args.tokens[static_cast<size_t>(r)] = static_cast<int32_t>(winner);
  }
}

}  // namespace sluice::cpu
