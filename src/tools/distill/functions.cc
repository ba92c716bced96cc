#include "tools/distill/functions.h"

#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <span>

#include "tools/distill/row_kernels.h"

namespace sluice::distill {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <typename T>
struct Arithmetic {
  using type = T;
};
template <>
struct Arithmetic<c10::BFloat16> {
  using type = float;
};

// Calls work(S{}) for the storage type S of `type`.
template <typename Work>
void with_storage(torch::ScalarType type, const Work& work) {
  switch (type) {
    case torch::kDouble:
      return work(double{});
    case torch::kBFloat16:
      return work(c10::BFloat16{});
    default:
      TORCH_CHECK(type == torch::kFloat, "storage type ", type);
      return work(float{});
  }
}

torch::ScalarType arithmetic_of(torch::ScalarType storage) {
  return storage == torch::kDouble ? torch::kDouble : torch::kFloat;
}

template <typename T>
std::span<const T> rows_as(const Tensor& tensor) {
  return {reinterpret_cast<const T*>(tensor.data_ptr<int64_t>()),
          static_cast<size_t>(tensor.size(0))};
}

// ------------------------------------------------------------------------------------------- norm

struct RmsNorm : torch::autograd::Function<RmsNorm> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight, double eps,
                        int64_t compute) {
    const auto type = static_cast<torch::ScalarType>(compute);
    const Tensor input = x.contiguous();
    const int64_t width = input.size(-1), rows = input.numel() / width;
    Tensor y = torch::empty(input.sizes(), input.options().dtype(type));
    Tensor inverse = torch::empty({rows}, input.options());
    with_storage(type, [&](auto storage) {
      using S = decltype(storage);
      using A = typename Arithmetic<S>::type;
      rms_norm_forward<S, A>(rows, width, input.data_ptr<A>(), weight.data_ptr<A>(),
                             static_cast<A>(eps), y.data_ptr<S>(), inverse.data_ptr<A>());
    });
    context->save_for_backward({input, weight, inverse});
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &inverse = saved[2];
    const Tensor dy = gradients[0].contiguous();
    const int64_t width = x.size(-1), rows = x.numel() / width;
    Tensor dx = torch::empty_like(x), dw = torch::zeros_like(weight);
    with_storage(dy.scalar_type(), [&](auto storage) {
      using S = decltype(storage);
      using A = typename Arithmetic<S>::type;
      rms_norm_backward<S, A>(rows, width, x.data_ptr<A>(), weight.data_ptr<A>(),
                              inverse.data_ptr<A>(), dy.data_ptr<S>(), dx.data_ptr<A>(),
                              dw.data_ptr<A>());
    });
    return {dx, dw, Tensor(), Tensor()};
  }
};

// ----------------------------------------------------------------------------------------- swiglu

struct SwiGlu : torch::autograd::Function<SwiGlu> {
  static Tensor forward(AutogradContext* context, const Tensor& gate_up) {
    const Tensor input = gate_up.contiguous();
    const int64_t rows = input.size(0), width = input.size(1) / 2;
    Tensor y = torch::empty({rows, width}, input.options());
    with_storage(input.scalar_type(), [&](auto storage) {
      using S = decltype(storage);
      swiglu_forward<S, typename Arithmetic<S>::type>(rows, width, input.data_ptr<S>(),
                                                      y.data_ptr<S>());
    });
    context->save_for_backward({input});
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const Tensor input = context->get_saved_variables()[0];
    const Tensor dy = gradients[0].contiguous();
    Tensor dx = torch::empty_like(input);
    with_storage(input.scalar_type(), [&](auto storage) {
      using S = decltype(storage);
      swiglu_backward<S, typename Arithmetic<S>::type>(input.size(0), input.size(1) / 2,
                                                       input.data_ptr<S>(), dy.data_ptr<S>(),
                                                       dx.data_ptr<S>());
    });
    return {dx};
  }
};

// -------------------------------------------------------------------------------------------- GDN

// softplus as the reference has it: the identity above 20.
template <typename A>
A softplus(A x) {
  return x > A(20) ? x : std::log1p(std::exp(x));
}

struct GdnCore : torch::autograd::Function<GdnCore> {
  static Tensor forward(AutogradContext* context, const Tensor& projected_in, const Tensor& conv,
                        const Tensor& a_log, const Tensor& dt_bias, const Tensor& norm,
                        const Tensor& segments, const DeltaShape& shape, double eps) {
    const Tensor projected = projected_in.contiguous();
    const auto type = projected.scalar_type();
    const auto options = projected.options().dtype(arithmetic_of(type));
    const int64_t rows = projected.size(0), channels = shape.channels();
    const int64_t heads = shape.value_heads, value_width = heads * shape.value_dim;
    const auto samples = rows_as<Segment>(segments);
    const Tensor taps = conv.t().contiguous();
    Tensor convolved = torch::empty({rows, channels}, options);
    Tensor decay = torch::empty({rows, heads}, options),
           beta = torch::empty({rows, heads}, options);
    Tensor core = torch::empty({rows, value_width}, options);
    Tensor written = torch::empty({rows, value_width}, options);
    Tensor states =
        torch::empty({delta_chunks(samples), heads, shape.key_dim, shape.value_dim}, options);
    Tensor y = torch::empty({rows, value_width}, projected.options());
    with_storage(type, [&](auto storage) {
      using S = decltype(storage);
      using A = typename Arithmetic<S>::type;
      const S* in = projected.data_ptr<S>();
      const int64_t stride = projected.size(1), gates_at = channels + value_width;
      for (const Segment& sample : samples) {
        conv_silu_forward<S, A>(sample.length(), channels, conv.size(1), in + sample.begin * stride,
                                stride, taps.data_ptr<A>(),
                                convolved.data_ptr<A>() + sample.begin * channels);
      }
      gates<S, A>(rows, heads, in + gates_at, stride, a_log.data_ptr<A>(), dt_bias.data_ptr<A>(),
                  beta.data_ptr<A>(), decay.data_ptr<A>());
      delta_rule_forward<A>(shape, samples, convolved.data_ptr<A>(), decay.data_ptr<A>(),
                            beta.data_ptr<A>(), core.data_ptr<A>(),
                            {written.data_ptr<A>(), states.data_ptr<A>()});
      gated_norm_forward<S, A>(rows, heads, shape.value_dim, core.data_ptr<A>(), in + channels,
                               stride, norm.data_ptr<A>(), static_cast<A>(eps), y.data_ptr<S>());
    });
    context->save_for_backward({projected, taps, a_log, dt_bias, norm, segments, convolved, decay,
                                beta, core, written, states});
    context->saved_data["shape"] =
        std::vector<int64_t>{shape.key_heads, shape.value_heads, shape.key_dim, shape.value_dim};
    context->saved_data["eps"] = eps;
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &projected = saved[0], &taps = saved[1], &a_log = saved[2], &dt_bias = saved[3];
    const Tensor &norm = saved[4], &convolved = saved[6], &decay = saved[7], &beta = saved[8];
    const Tensor &core = saved[9], &written = saved[10], &states = saved[11];
    const auto samples = rows_as<Segment>(saved[5]);
    const std::vector<int64_t> sizes = context->saved_data["shape"].toIntVector();
    const DeltaShape shape{sizes[0], sizes[1], sizes[2], sizes[3]};
    const double eps = context->saved_data["eps"].toDouble();
    const Tensor dy = gradients[0].contiguous();
    Tensor dprojected = torch::empty_like(projected), dconvolved = torch::empty_like(convolved);
    Tensor dcore = torch::empty_like(core), ddecay = torch::empty_like(decay);
    Tensor dbeta = torch::empty_like(beta), dtaps = torch::zeros_like(taps);
    Tensor da_log = torch::zeros_like(a_log), ddt_bias = torch::zeros_like(dt_bias);
    Tensor dnorm = torch::zeros_like(norm);
    with_storage(projected.scalar_type(), [&](auto storage) {
      using S = decltype(storage);
      using A = typename Arithmetic<S>::type;
      const S* in = projected.data_ptr<S>();
      S* din = dprojected.data_ptr<S>();
      const int64_t rows = projected.size(0), stride = projected.size(1);
      const int64_t channels = shape.channels(), heads = shape.value_heads;
      const int64_t gates_at = channels + heads * shape.value_dim;
      gated_norm_backward<S, A>(rows, heads, shape.value_dim, core.data_ptr<A>(), in + channels,
                                stride, norm.data_ptr<A>(), static_cast<A>(eps), dy.data_ptr<S>(),
                                dcore.data_ptr<A>(), din + channels, stride, dnorm.data_ptr<A>());
      delta_rule_backward<A>(shape, samples, convolved.data_ptr<A>(), decay.data_ptr<A>(),
                             beta.data_ptr<A>(), {written.data_ptr<A>(), states.data_ptr<A>()},
                             dcore.data_ptr<A>(), dconvolved.data_ptr<A>(), ddecay.data_ptr<A>(),
                             dbeta.data_ptr<A>());
      gates_backward<S, A>(rows, heads, in + gates_at, stride, a_log.data_ptr<A>(),
                           dt_bias.data_ptr<A>(), beta.data_ptr<A>(), decay.data_ptr<A>(),
                           dbeta.data_ptr<A>(), ddecay.data_ptr<A>(), din + gates_at,
                           da_log.data_ptr<A>(), ddt_bias.data_ptr<A>());
      for (const Segment& sample : samples) {
        conv_silu_backward<S, A>(sample.length(), channels, taps.size(0),
                                 in + sample.begin * stride, stride, taps.data_ptr<A>(),
                                 dconvolved.data_ptr<A>() + sample.begin * channels,
                                 din + sample.begin * stride, stride, dtaps.data_ptr<A>());
      }
    });
    return {dprojected, dtaps.t().contiguous(), da_log, ddt_bias, dnorm, Tensor(), Tensor(),
            Tensor()};
  }

  // beta = sigmoid(b), g = -exp(A_log) softplus(a + dt_bias); `ba` points at [b | a] of the first
  // row.
  template <typename S, typename A>
  static void gates(int64_t rows, int64_t heads, const S* ba, int64_t stride, const A* a_log,
                    const A* dt_bias, A* beta, A* g) {
    for (int64_t row = 0; row < rows; ++row, ba += stride, beta += heads, g += heads) {
      for (int64_t head = 0; head < heads; ++head) {
        beta[head] = A(1) / (A(1) + std::exp(-static_cast<A>(ba[head])));
        g[head] =
            -std::exp(a_log[head]) * softplus(static_cast<A>(ba[heads + head]) + dt_bias[head]);
      }
    }
  }

  template <typename S, typename A>
  static void gates_backward(int64_t rows, int64_t heads, const S* ba, int64_t stride,
                             const A* a_log, const A* dt_bias, const A* beta, const A* g,
                             const A* dbeta, const A* dg, S* dba, A* da_log, A* ddt_bias) {
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t head = 0; head < heads; ++head) {
        const int64_t at = row * heads + head;
        const A b = beta[at];
        dba[row * stride + head] = static_cast<S>(dbeta[at] * b * (A(1) - b));
        const A input = static_cast<A>(ba[row * stride + heads + head]) + dt_bias[head];
        const A slope = input > A(20) ? A(1) : A(1) / (A(1) + std::exp(-input));
        const A da = -dg[at] * std::exp(a_log[head]) * slope;
        dba[row * stride + heads + head] = static_cast<S>(da);
        ddt_bias[head] += da;
        da_log[head] += dg[at] * g[at];
      }
    }
  }
};

// -------------------------------------------------------------------------------------- attention

struct Attention : torch::autograd::Function<Attention> {
  static AttentionShape shape_of(const Tensor& q, const Tensor& k, const Tensor& extra_k) {
    return {q.size(1), k.size(1), q.size(2), extra_k.size(1)};
  }

  template <typename T>
  static AttentionInputs<T> inputs_of(const variable_list& saved, const Tensor& last) {
    return {saved[0].data_ptr<T>(), saved[1].data_ptr<T>(), saved[2].data_ptr<T>(),
            saved[3].data_ptr<T>(), saved[4].data_ptr<T>(), last.data_ptr<int64_t>()};
  }

  static Tensor forward(AutogradContext* context, const Tensor& q, const Tensor& k, const Tensor& v,
                        const Tensor& extra_k, const Tensor& extra_v, const Tensor& groups,
                        const Tensor& last) {
    const variable_list inputs{q.contiguous(), k.contiguous(), v.contiguous(), extra_k.contiguous(),
                               extra_v.contiguous()};
    const AttentionShape shape = shape_of(q, k, extra_k);
    const auto parts = rows_as<AttentionGroup>(groups);
    Tensor probabilities = torch::empty({attention_trace_size(shape, parts)}, q.options());
    Tensor out = torch::zeros({q.size(0), shape.query_heads * shape.head_dim}, q.options());
    AT_DISPATCH_FLOATING_TYPES(q.scalar_type(), "attention", [&] {
      attention_forward<scalar_t>(shape, parts, inputs_of<scalar_t>(inputs, last),
                                  probabilities.data_ptr<scalar_t>(), out.data_ptr<scalar_t>());
    });
    context->save_for_backward(
        {inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], groups, last, probabilities});
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const AttentionShape shape = shape_of(saved[0], saved[1], saved[3]);
    const Tensor dout = gradients[0].contiguous();
    variable_list out(7);
    for (size_t i = 0; i < 5; ++i) out[i] = torch::zeros_like(saved[i]);
    AT_DISPATCH_FLOATING_TYPES(dout.scalar_type(), "attention_backward", [&] {
      attention_backward<scalar_t>(
          shape, rows_as<AttentionGroup>(saved[5]), inputs_of<scalar_t>(saved, saved[6]),
          saved[7].data_ptr<scalar_t>(), dout.data_ptr<scalar_t>(),
          {out[0].data_ptr<scalar_t>(), out[1].data_ptr<scalar_t>(), out[2].data_ptr<scalar_t>(),
           out[3].data_ptr<scalar_t>(), out[4].data_ptr<scalar_t>()});
    });
    return out;
  }
};

// ------------------------------------------------------------------------------------------- head

struct HeadLoss : torch::autograd::Function<HeadLoss> {
  static Tensor forward(AutogradContext* context, const Tensor& hidden, const Tensor& head,
                        const Tensor& labels, const Tensor& row_weights, int64_t* hits) {
    const int64_t rows = hidden.size(0), vocabulary = head.size(0);
    Tensor logits = torch::mm(hidden, head.t());
    double loss = 0;
    *hits = 0;
    with_storage(logits.scalar_type(), [&](auto storage) {
      using S = decltype(storage);
      using A = typename Arithmetic<S>::type;
      for (int64_t row = 0; row < rows; ++row) {
        const A weight = row_weights.data_ptr<A>()[row];
        bool hit = false;
        const A entropy =
            cross_entropy_row<S, A>(vocabulary, logits.data_ptr<S>() + row * vocabulary,
                                    labels.data_ptr<int64_t>()[row], weight, hit);
        // Rows without weight fill up a batch; they must not count.
        if (weight == A(0)) continue;
        loss += static_cast<double>(weight * entropy);
        *hits += hit ? 1 : 0;
      }
    });
    context->save_for_backward({torch::mm(logits, head), torch::mm(logits.t(), hidden)});
    return torch::full({}, loss, torch::TensorOptions().dtype(arithmetic_of(logits.scalar_type())));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const double factor = gradients[0].item<double>();
    if (factor == 1.0) return {saved[0], saved[1], Tensor(), Tensor(), Tensor()};
    return {saved[0] * factor, saved[1] * factor, Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps, torch::ScalarType compute) {
  return RmsNorm::apply(x, weight, eps, static_cast<int64_t>(compute));
}

Tensor swiglu(const Tensor& gate_up) { return SwiGlu::apply(gate_up); }

Tensor gdn_core(const Tensor& projected, const Tensor& conv, const Tensor& a_log,
                const Tensor& dt_bias, const Tensor& norm, const Segments& segments,
                const DeltaShape& shape, double eps) {
  return GdnCore::apply(projected, conv, a_log, dt_bias, norm, segments, shape, eps);
}

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& extra_k,
                 const Tensor& extra_v, const Tensor& groups, const Tensor& last) {
  // A custom function takes no undefined tensors.
  const Tensor none = torch::empty({q.size(0), 0, k.size(1), k.size(2)}, q.options());
  return Attention::apply(q, k, v, extra_k.defined() ? extra_k : none,
                          extra_v.defined() ? extra_v : none, groups, last);
}

HeadResult head_loss(const Tensor& hidden, const Tensor& head, const Tensor& labels,
                     const Tensor& row_weights) {
  HeadResult result;
  result.loss = HeadLoss::apply(hidden, head, labels, row_weights, &result.hits);
  return result;
}

}  // namespace sluice::distill
