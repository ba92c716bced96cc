// The checks at the door: each wrong argument is a ContractViolation that names what is wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "backend/ref/ref_backend.h"
#include "base/check.h"
#include "ops/arrays.h"
#include "ops/attention_layer.h"
#include "ops/gdn_layers.h"

namespace sluice::ops::testing {
namespace {

using ::testing::HasSubstr;

class Door : public ::testing::Test {
 protected:
  Door() : backend_(1) {}

  View view(int64_t rows, int64_t columns) {
    arrays_.push_back(std::make_unique<Array>(
        backend_, rows, columns, std::vector<float>(static_cast<size_t>(rows * columns), 0.5f)));
    return *arrays_.back();
  }

  template <typename Call>
  void expect_refused(const Call& call, const std::string& text) {
    try {
      call();
      ADD_FAILURE() << "accepted; expected a violation with '" << text << "'";
    } catch (const ContractViolation& violation) {
      EXPECT_THAT(violation.what(), HasSubstr(text));
    }
  }

  // A change of good arguments, and what the refusal must say.
  template <typename Args>
  struct Change {
    std::function<void(Args&)> make;
    const char* text;
  };

  // `good` is accepted; each change of it is refused.
  template <typename Args>
  void expect_door(void (Backend::*operation)(const Args&), const Args& good,
                   const std::vector<Change<Args>>& changes) {
    (backend_.*operation)(good);
    for (const Change<Args>& change : changes) {
      Args bad = good;
      change.make(bad);
      expect_refused([&] { (backend_.*operation)(bad); }, change.text);
    }
  }

  ref::RefBackend backend_;
  std::vector<std::unique_ptr<Array>> arrays_;
};

TEST_F(Door, UploadAndDownload) {
  const View good = view(2, 3);
  const std::vector<float> values(6);
  backend_.upload(good, values);
  expect_refused([&] { backend_.upload(good, std::span(values).first(5)); }, "5 values for [2, 3]");
  View far = good;
  far.rows = 100;
  expect_refused([&] { backend_.download(far); }, "of a buffer of");
  View narrow = good;
  narrow.stride = 2;
  expect_refused([&] { backend_.download(narrow); }, "stride 2 columns 3");
  expect_refused([&] { backend_.download({}); }, "has no buffer");
  View before = good;
  before.offset = -1;
  expect_refused([&] { backend_.download(before); }, "at -1");
}

TEST_F(Door, Embed) {
  const Weight table(Format::kF32, 7, 5, 1);
  const auto matrix = table.load(backend_, MatrixUse::kLookup);
  const auto product = table.load(backend_, MatrixUse::kProduct);
  const std::vector<int32_t> tokens = {1, 6}, high = {1, 7}, low = {-1, 0};
  const EmbedArgs good{matrix.get(), tokens, view(2, 5)};
  expect_door<EmbedArgs>(
      &Backend::embed, good,
      {{[](EmbedArgs& a) { a.table = nullptr; }, "no table"},
       {[&](EmbedArgs& a) { a.out = view(2, 4); }, "out is [2, 4], expected [2, 5]"},
       {[&](EmbedArgs& a) { a.out = view(3, 5); }, "out is [3, 5], expected [2, 5]"},
       {[&](EmbedArgs& a) { a.tokens = high; }, "token 7 of 7"},
       {[&](EmbedArgs& a) { a.tokens = low; }, "token -1 of 7"},
       {[&](EmbedArgs& a) { a.table = product.get(); }, "not loaded for lookup"}});
}

TEST_F(Door, RmsNorm) {
  const RmsNormArgs good{view(2, 6), view(2, 6), view(1, 6), 1e-6f, view(2, 6)};
  expect_door<RmsNormArgs>(
      &Backend::rms_norm, good,
      {{[&](RmsNormArgs& a) { a.delta = view(2, 5); }, "delta is [2, 5], expected [2, 6]"},
       {[&](RmsNormArgs& a) { a.weight = view(2, 6); }, "weight is [2, 6], expected [1, 6]"},
       {[&](RmsNormArgs& a) { a.out = view(1, 6); }, "out is [1, 6], expected [2, 6]"},
       {[&](RmsNormArgs& a) { a.delta = a.out = {}; }, "nothing to do"},
       {[&](RmsNormArgs& a) { a.weight = {}; }, "weight has no buffer"}});
}

TEST_F(Door, Matmul) {
  const Weight weight(Format::kBF16, 4, 6, 1);
  const auto matrix = weight.load(backend_, MatrixUse::kProduct);
  const auto lookup = weight.load(backend_, MatrixUse::kLookup);
  std::vector<Product> products = {{matrix.get(), view(3, 4)}};
  const std::vector<Product> narrow = {{matrix.get(), view(3, 3)}}, none = {{nullptr, view(3, 4)}},
                             table = {{lookup.get(), view(3, 4)}},
                             beyond = {{matrix.get(), view(3, 4), {0, 5}}},
                             odd = {{matrix.get(), view(3, 4), {2, 4}}};
  const MatmulArgs good{view(3, 6), products, 2};
  expect_door<MatmulArgs>(
      &Backend::matmul, good,
      {{[&](MatmulArgs& a) { a.x = view(3, 5); }, "weight [4, 6], x has 5 columns"},
       {[&](MatmulArgs& a) { a.answer_rows = 4; }, "answer rows 4 of 3"},
       {[&](MatmulArgs& a) { a.answer_rows = -1; }, "answer rows -1 of 3"},
       {[&](MatmulArgs& a) { a.products = narrow; }, "out is [3, 3], expected [3, 4]"},
       {[&](MatmulArgs& a) { a.products = none; }, "no weight"},
       {[&](MatmulArgs& a) { a.products = beyond; }, "outputs 0 to 5 of 4"},
       {[&](MatmulArgs& a) { a.products = odd; }, "outputs 2 to 4 of 4"},
       {[&](MatmulArgs& a) { a.products = table; }, "not loaded for products"}});
}

TEST_F(Door, Swiglu) {
  const SwigluArgs good{view(2, 4), view(2, 4), view(2, 4)};
  expect_door<SwigluArgs>(
      &Backend::swiglu, good,
      {{[&](SwigluArgs& a) { a.up = view(2, 3); }, "up is [2, 3], expected [2, 4]"},
       {[&](SwigluArgs& a) { a.out = view(1, 4); }, "out is [1, 4], expected [2, 4]"}});
}

TEST_F(Door, Attention) {
  const AttentionShape shape{4, 2, 8, 3};
  auto cache = backend_.create_kv_cache(shape.kv_spec(2, 3, KvFormat::kF32)).value().release();
  const std::unique_ptr<KvCache> owner(cache);
  const Piece piece{Role::kPrompt, 60, {1, 2, 3, 4, 5}, 0, 0, {2, 0}};
  const Batch batch = make_batch({&piece, 1});
  const RotaryTable rotary{{1, 0.5f, 0.25f}, {0, 1, 2}, 1};
  const RotaryTable wide{{1, 1, 1, 1, 1}, {0, 0, 0, 0, 0}, 1}, uneven{{1, 1}, {0}, 1};
  Batch short_batch = batch, foreign_page = batch, few_pages = batch, gap = batch, index = batch;
  short_batch.rows.pop_back();
  foreign_page.pages[1] = 3;
  few_pages.segments[0].page_count = 1;
  gap.segments[0].first_row = 1;
  index.rows[2].index = 61;

  const AttentionInputArgs good_input{
      &batch,  view(5, 64), view(5, 16), view(5, 16), view(1, 8), view(1, 8), 1e-6f,
      &rotary, cache,       1,           view(5, 32), {},         {}};
  using In = AttentionInputArgs;
  expect_door<In>(
      &Backend::attention_input, good_input,
      {{[](In& a) { a.cache = nullptr; }, "cache and rotary"},
       {[](In& a) { a.batch = nullptr; }, "no batch"},
       {[&](In& a) { a.batch = &short_batch; }, "batch has 4 rows, the views 5"},
       {[&](In& a) { a.batch = &foreign_page; }, "page 3 of 3"},
       {[&](In& a) { a.batch = &few_pages; }, "65 tokens in 1 pages"},
       {[&](In& a) { a.batch = &gap; }, "segment 0 has 5 rows from 1, expected from 0"},
       {[&](In& a) { a.batch = &index; }, "row 2 is of segment 0 at index 61"},
       {[](In& a) { a.layer = 2; }, "layer 2 of 2"},
       {[&](In& a) { a.query_gate = view(5, 63); }, "query_gate is [5, 63], expected [5, 64]"},
       {[&](In& a) { a.key = view(5, 8); }, "key is [5, 8], expected [5, 16]"},
       {[&](In& a) { a.value = view(4, 16); }, "value is [4, 16], expected [5, 16]"},
       {[&](In& a) { a.query_norm = view(1, 7); }, "query_norm is [1, 7], expected [1, 8]"},
       {[&](In& a) { a.key_norm = view(1, 9); }, "key_norm is [1, 9], expected [1, 8]"},
       {[&](In& a) { a.query = view(5, 24); }, "query columns 24, kv heads 2 of 8"},
       {[&](In& a) { a.query_normed = view(5, 16); }, "query_normed is [5, 16]"},
       {[&](In& a) { a.key_normed = view(5, 32); }, "key_normed is [5, 32]"},
       {[&](In& a) { a.rotary = &wide; }, "rotary pairs 5 of head dim 8"},
       {[&](In& a) { a.rotary = &uneven; }, "rotary pairs 2"}});

  const AttentionArgs good{&batch, view(5, 32), cache, 0, 1, view(5, 32)};
  using At = AttentionArgs;
  expect_door<At>(
      &Backend::attention, good,
      {{[](At& a) { a.cache = nullptr; }, "no cache"},
       {[&](At& a) { a.out = view(5, 31); }, "out is [5, 31], expected [5, 32]"},
       {[&](At& a) { a.query = a.out = view(5, 24); }, "query columns 24, kv heads 2 of 8"},
       {[](At& a) { a.layer = -1; }, "layer -1 of 2"},
       {[&](At& a) { a.batch = &few_pages; }, "65 tokens in 1 pages"},
       {[](At& a) { a.first_index = 61; }, "a row at index 60 attends from index 61"}});

  const AttentionGateArgs good_gate{view(5, 32), view(5, 64), 8, view(5, 32)};
  using Gate = AttentionGateArgs;
  expect_door<Gate>(
      &Backend::attention_gate, good_gate,
      {{[](Gate& a) { a.head_dim = 5; }, "head dim 5 of 32"},
       {[](Gate& a) { a.head_dim = 0; }, "head dim 0 of 32"},
       {[&](Gate& a) { a.query_gate = view(5, 32); }, "query_gate is [5, 32], expected [5, 64]"},
       {[&](Gate& a) { a.out = view(4, 32); }, "out is [4, 32], expected [5, 32]"}});
}

TEST_F(Door, Gdn) {
  const RecurrentSpec spec = gdn_spec(2, 4, 8, 6, HeadOrder::kGrouped, 2, 3);
  const auto state = std::move(backend_.create_recurrent_state(spec)).value();
  const int64_t channels = spec.conv_channels();  // 56
  const std::vector<Piece> pieces = {{Role::kAnswer, 9, {1, 2, 3}, 1}, {Role::kPrompt, 0, {4, 5}}};
  const Batch batch = make_batch(pieces);
  const auto changed = [&](const std::function<void(Batch&)>& change) {
    Batch copy = batch;
    change(copy);
    return copy;
  };
  const Batch slot = changed([](Batch&b) { b.segments[1].slot = 2; }),
              twice = changed([](Batch&b) { b.segments[1].slot = 1; }),
              commit = changed([](Batch&b) { b.segments[0].commit = 4; }),
              eager = changed([](Batch&b) { b.segments[1].commit = 1; }),
              order = changed([](Batch&b) { std::swap(b.segments[0].role, b.segments[1].role); });
  const std::vector<Piece> four = {{Role::kAnswer, 0, {1, 2, 3, 4}, 0}, {Role::kPrompt, 0, {5}, 1}};
  const Batch many = make_batch(four);

  using Conv = GdnConvArgs;
  const Conv good_conv{&batch, view(5, channels), view(channels, 4), state.get(),
                       1,      view(5, channels)};
  expect_door<Conv>(
      &Backend::gdn_conv, good_conv,
      {{[](Conv& a) { a.state = nullptr; }, "no recurrent state"},
       {[](Conv& a) { a.layer = 2; }, "layer 2 of 2"},
       {[&](Conv& a) { a.raw = view(5, 55); }, "raw is [5, 55], expected [5, 56]"},
       {[&](Conv& a) { a.weight = view(channels, 3); }, "weight is [56, 3], expected [56, 4]"},
       {[&](Conv& a) { a.out = view(5, 57); }, "out is [5, 57], expected [5, 56]"},
       {[&](Conv& a) { a.batch = &slot; }, "slot 2 of 2"},
       {[&](Conv& a) { a.batch = &twice; }, "slot 1 in two segments"},
       {[&](Conv& a) { a.batch = &commit; }, "commit 4 of 3"},
       {[&](Conv& a) { a.batch = &eager; }, "commit 1 of 0 pending rows"},
       {[&](Conv& a) { a.batch = &order; }, "answer segment 1 after a prompt"},
       {[&](Conv& a) { a.batch = &many; }, "4 answer rows, 3 can be pending"}});

  using In = GdnInputArgs;
  const In good_input{view(5, channels), view(5, 4),  view(5, 4), view(1, 4), view(1, 4), 2, 8,
                      view(5, 16),       view(5, 16), view(5, 4), view(5, 4)};
  expect_door<In>(&Backend::gdn_input, good_input,
                  {{[&](In& a) { a.a = view(4, 4); }, "a is [4, 4], expected [5, 4]"},
                   {[&](In& a) { a.b = view(5, 3); }, "b is [5, 3], expected [5, 4]"},
                   {[&](In& a) { a.decay = view(1, 3); }, "decay is [1, 3], expected [1, 4]"},
                   {[&](In& a) { a.dt_bias = view(2, 4); }, "dt_bias is [2, 4], expected [1, 4]"},
                   {[&](In& a) { a.conv = view(5, 32); }, "conv columns 32 for keys of 16"},
                   {[&](In& a) { a.query = view(5, 15); }, "query is [5, 15], expected [5, 16]"},
                   {[&](In& a) { a.key = view(5, 17); }, "key is [5, 17], expected [5, 16]"},
                   {[&](In& a) { a.beta = view(5, 2); }, "beta is [5, 2], expected [5, 4]"},
                   {[&](In& a) { a.g = view(1, 4); }, "g is [1, 4], expected [5, 4]"}});

  using Delta = GdnDeltaArgs;
  const Delta good{&batch,     view(5, 16), view(5, 16), view(5, 24), view(5, 4),
                   view(5, 4), state.get(), 0,           view(5, 24)};
  expect_door<Delta>(
      &Backend::gdn_delta, good,
      {{[&](Delta& a) { a.query = view(5, 24); }, "query is [5, 24], expected [5, 16]"},
       {[&](Delta& a) { a.key = view(5, 8); }, "key is [5, 8], expected [5, 16]"},
       {[&](Delta& a) { a.value = view(5, 16); }, "value is [5, 16], expected [5, 24]"},
       {[&](Delta& a) { a.beta = view(5, 5); }, "beta is [5, 5], expected [5, 4]"},
       {[&](Delta& a) { a.g = view(5, 3); }, "g is [5, 3], expected [5, 4]"},
       {[&](Delta& a) { a.out = view(5, 16); }, "out is [5, 16], expected [5, 24]"},
       {[&](Delta& a) { a.batch = &twice; }, "slot 1 in two segments"},
       {[&](Delta& a) { a.batch = &eager; }, "commit 1 of 0 pending rows"},
       {[](Delta& a) { a.layer = 7; }, "layer 7 of 2"}});

  // Neither a reset nor an import leaves rows pending, for either operation.
  const Batch late = changed([](Batch& b) { b.segments[0].commit = 1; });
  const RecurrentImage image = backend_.export_slot(*state, 1);
  for (const bool import : {false, true}) {
    backend_.reset_slot(*state, 1);
    backend_.gdn_conv(good_conv);
    backend_.gdn_delta(good);
    if (import) {
      backend_.import_slot(*state, 1, image);
    } else {
      backend_.reset_slot(*state, 1);
    }
    Conv late_conv = good_conv;
    Delta late_delta = good;
    late_conv.batch = late_delta.batch = &late;
    expect_refused([&] { backend_.gdn_conv(late_conv); }, "commit 1 of 0 pending rows");
    expect_refused([&] { backend_.gdn_delta(late_delta); }, "commit 1 of 0 pending rows");
  }

  using Norm = GdnNormArgs;
  const Norm good_norm{view(5, 24), view(5, 24), view(1, 6), 1e-6f, view(5, 24)};
  expect_door<Norm>(&Backend::gdn_norm, good_norm,
                    {{[&](Norm& a) { a.z = view(5, 23); }, "z is [5, 23], expected [5, 24]"},
                     {[&](Norm& a) { a.weight = view(1, 5); }, "core columns 24, value dim 5"},
                     {[&](Norm& a) { a.out = view(4, 24); }, "out is [4, 24], expected [5, 24]"}});
}

TEST_F(Door, GatherAndArgmax) {
  const std::vector<int32_t> rows = {2, 0}, high = {3, 0}, low = {0, -1};
  const GatherRowsArgs good{view(3, 4), rows, view(2, 4)};
  expect_door<GatherRowsArgs>(
      &Backend::gather_rows, good,
      {{[&](GatherRowsArgs& a) { a.rows = high; }, "row 3 of 3"},
       {[&](GatherRowsArgs& a) { a.rows = low; }, "row -1 of 3"},
       {[&](GatherRowsArgs& a) { a.out = view(3, 4); }, "out is [3, 4], expected [2, 4]"}});
  std::vector<int32_t> tokens(3);
  const ArgmaxArgs good_argmax{view(3, 4), tokens};
  const std::vector<Range> beyond = {{1, 5}}, back = {{2, 3}, {0, 1}}, empty = {{2, 2}};
  expect_door<ArgmaxArgs>(
      &Backend::argmax, good_argmax,
      {{[&](ArgmaxArgs& a) { a.logits = view(2, 4); }, "3 tokens, 2 rows"},
       {[&](ArgmaxArgs& a) { a.among = beyond; }, "columns 1 to 5 behind 0 of 4"},
       {[&](ArgmaxArgs& a) { a.among = back; }, "columns 0 to 1 behind 3 of 4"},
       {[&](ArgmaxArgs& a) { a.among = empty; }, "columns 2 to 2 behind 0 of 4"}});
}

TEST_F(Door, State) {
  const RecurrentSpec spec = gdn_spec(2, 4, 8, 6, HeadOrder::kGrouped, 2, 3);
  const auto state = std::move(backend_.create_recurrent_state(spec)).value();
  expect_refused([&] { backend_.reset_slot(*state, 2); }, "slot 2 of 2");
  expect_refused([&] { backend_.flush_slot(*state, 0, 1); }, "commit 1 of 0 pending rows");
  expect_refused([&] { backend_.export_slot(*state, -1); }, "slot -1 of 2");
  expect_refused([&] { backend_.import_slot(*state, 0, RecurrentImage(7)); }, "image of 7 values");
  std::vector<float> layer(spec.layer_values());
  expect_refused([&] { backend_.export_layer(*state, 0, 2, layer); }, "layer 2 of 2");
  expect_refused([&] { backend_.import_layer(*state, 2, 0, layer); }, "slot 2 of 2");
  layer.pop_back();
  expect_refused([&] { backend_.export_layer(*state, 0, 0, layer); }, "values for a layer of");
  expect_refused([&] { backend_.import_layer(*state, 0, 0, layer); }, "values for a layer of");
  RecurrentSpec odd = spec;
  odd.value_heads = 3;
  expect_refused([&] { (void)backend_.create_recurrent_state(odd); }, "value_heads 3");
  const auto cache =
      std::move(backend_.create_kv_cache(AttentionShape{4, 2, 8, 3}.kv_spec(2, 3, KvFormat::kF32)))
          .value();
  const std::vector<int32_t> pages = {0};
  expect_refused([&] { backend_.export_keys(*cache, 0, pages, 65); }, "65 tokens of 1 pages");
  expect_refused([&] { backend_.export_values(*cache, 2, pages, 1); }, "layer 2 of 2");
  expect_refused([&] { backend_.copy_page(*cache, 0, 3); }, "page 3 of 3");
  std::vector<std::byte> bytes(cache->spec().bytes_per_page());
  expect_refused([&] { backend_.export_page(*cache, 3, bytes); }, "page 3 of 3");
  expect_refused([&] { backend_.import_page(*cache, -1, bytes); }, "page -1 of 3");
  bytes.pop_back();
  expect_refused([&] { backend_.export_page(*cache, 0, bytes); }, "bytes for a page of");
  expect_refused([&] { backend_.import_page(*cache, 0, bytes); }, "bytes for a page of");
}

}  // namespace
}  // namespace sluice::ops::testing
