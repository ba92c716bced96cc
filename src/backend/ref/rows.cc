// Operations that see one row at a time: embedding, norm, SwiGLU, gather, argmax.
#include <algorithm>
#include <cmath>

#include "backend/ref/matrix.h"
#include "backend/ref/ref_backend.h"
#include "backend/ref/scalar.h"
#include "base/check.h"
#include "codec/codec.h"

namespace sluice::ref {

void RefBackend::do_embed(const ops::EmbedArgs& args) {
  const auto* table = dynamic_cast<const LookupMatrix*>(args.table);
  SLUICE_CHECK(table != nullptr, "the table was not loaded for lookup by this backend");
  const RowsOf out = rows_of(args.out);
  for (int64_t r = 0; r < out.rows; ++r) {
    codec::decode_rows(table->encoded(), args.tokens[static_cast<size_t>(r)], 1, out.row(r));
  }
}

void RefBackend::do_rms_norm(const ops::RmsNormArgs& args) {
  const RowsOf x = rows_of(args.x), delta = rows_of(args.delta), out = rows_of(args.out);
  const float* weight = args.out.empty() ? nullptr : rows_of(args.weight).data;
  for (int64_t r = 0; r < x.rows; ++r) {
    float* row = x.row(r);
    if (delta.data != nullptr) {
      for (int64_t i = 0; i < x.columns; ++i) row[i] += delta.at(r, i);
    }
    if (out.data == nullptr) continue;
    const double factor = rms_factor(row, x.columns, args.eps);
    for (int64_t i = 0; i < x.columns; ++i) {
      out.at(r, i) = static_cast<float>(row[i] * factor * weight[i]);
    }
  }
}

void RefBackend::do_swiglu(const ops::SwigluArgs& args) {
  const RowsOf gate = rows_of(args.gate), up = rows_of(args.up), out = rows_of(args.out);
  for (int64_t r = 0; r < out.rows; ++r) {
    for (int64_t i = 0; i < out.columns; ++i) {
      out.at(r, i) = static_cast<float>(silu(gate.at(r, i)) * up.at(r, i));
    }
  }
}

void RefBackend::do_gather_rows(const ops::GatherRowsArgs& args) {
  const RowsOf x = rows_of(args.x), out = rows_of(args.out);
  for (int64_t r = 0; r < out.rows; ++r) {
    std::copy_n(x.row(args.rows[static_cast<size_t>(r)]), x.columns, out.row(r));
  }
}

void RefBackend::do_argmax(const ops::ArgmaxArgs& args) {
  const RowsOf logits = rows_of(args.logits);
  const ops::Range all{0, logits.columns};
  const std::span<const ops::Range> among = args.among.empty() ? std::span(&all, 1) : args.among;
  for (int64_t r = 0; r < logits.rows; ++r) {
    int64_t best = -1;
    for (const ops::Range& range : among) {
      for (int64_t i = range.first; i < range.end; ++i) {
        if (std::isnan(logits.at(r, i))) continue;
        if (best < 0 || logits.at(r, i) > logits.at(r, best)) best = i;
      }
    }
    // A row of NaN alone has no maximum; the first column keeps the result a token.
    if (best < 0) best = among.front().first;
    args.tokens[static_cast<size_t>(r)] = static_cast<int32_t>(best);
  }
}

}  // namespace sluice::ref
