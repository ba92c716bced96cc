// The proof of the deferred commit, and of the grid of the chunked rule.
#include <gtest/gtest.h>

#include <algorithm>

#include "ops/backend_suite.h"
#include "ops/gdn_layers.h"

namespace sluice::ops::testing {
namespace {

constexpr int kMostRows = 9;

std::vector<RecurrentSpec> shapes(int slots) {
  std::vector<RecurrentSpec> all = {
      gdn_spec(2, 6, 32, 32, HeadOrder::kGrouped, slots, kMostRows),
      gdn_spec(2, 4, 24, 40, HeadOrder::kTiled, slots, kMostRows),
      gdn_spec(1, 1, 16, 64, HeadOrder::kGrouped, slots, kMostRows),
      gdn_spec(1, 2, 128, 128, HeadOrder::kGrouped, slots, kMostRows),
  };
  all.back().layers = 1;
  return all;
}

std::string describe(const RecurrentSpec& spec) {
  return "key heads " + std::to_string(spec.key_heads) + " value heads " +
         std::to_string(spec.value_heads) + " dk " + std::to_string(spec.key_dim) + " dv " +
         std::to_string(spec.value_dim);
}

std::vector<int32_t> new_tokens(Random& random, int count) {
  std::vector<int32_t> tokens;
  for (int i = 0; i < count; ++i) tokens.push_back(random.below(1 << 30));
  return tokens;
}

void expect_same_rows(const std::vector<std::vector<float>>& got, size_t first,
                      const std::vector<std::vector<float>>& expected) {
  ASSERT_LE(first + expected.size(), got.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(bits_of(got[first + i]), bits_of(expected[i])) << "row " << i;
  }
}

struct Decoded {
  std::vector<std::vector<float>> outputs;  // per token
  std::vector<RecurrentImage> images;       // images[n]: the state after n tokens
};

// Tokens one by one: each an answer segment of one row that commits the row before it.
Decoded decode_one_by_one(GdnLayers& layers, int slot, const RecurrentImage& start,
                          int32_t first_index, const std::vector<int32_t>& tokens) {
  Decoded decoded;
  layers.import(slot, start);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const Piece piece{
        Role::kAnswer, first_index + static_cast<int32_t>(i), {tokens[i]}, slot, i == 0 ? 0 : 1};
    decoded.outputs.push_back(layers.step({&piece, 1})[0]);
    decoded.images.push_back(layers.image(slot));  // the token itself is pending
  }
  layers.flush(slot, tokens.empty() ? 0 : 1);
  decoded.images.push_back(layers.image(slot));
  return decoded;
}

// A prompt alone in its batch, with nothing pending. images holds the final state only.
Decoded read_prompt(GdnLayers& layers, int slot, const RecurrentImage& start, int32_t first_index,
                    const std::vector<int32_t>& tokens) {
  layers.import(slot, start);
  const Piece piece{Role::kPrompt, first_index, tokens, slot, 0};
  Decoded decoded;
  decoded.outputs = layers.step({&piece, 1});
  decoded.images.push_back(layers.image(slot));
  return decoded;
}

// Every accepted count of a verification step, continued by a flush, a further step, or a prompt.
void check_every_count(GdnLayers& layers, Random& random) {
  const int slot = 0, scratch = 1;
  layers.reset(slot);
  const RecurrentImage start =
      read_prompt(layers, scratch, layers.image(slot), 0, new_tokens(random, 70)).images.back();
  for (const int rows : {1, 2, 4, kMostRows}) {
    const auto tokens = new_tokens(random, rows);
    const Decoded alone = decode_one_by_one(layers, scratch, start, 70, tokens);
    ASSERT_EQ(bits_of(alone.images[0]), bits_of(start));
    for (int accepted = 0; accepted <= rows; ++accepted) {
      SCOPED_TRACE("accepted " + std::to_string(accepted) + " of " + std::to_string(rows));
      const RecurrentImage& expected = alone.images[static_cast<size_t>(accepted)];
      const int32_t next = 70 + accepted;
      const auto further = new_tokens(random, 3);
      const auto verify = [&] {
        layers.import(slot, start);
        const Piece piece{Role::kAnswer, 70, tokens, slot, 0};
        expect_same_rows(layers.step({&piece, 1}), 0, alone.outputs);
        ASSERT_EQ(bits_of(layers.image(slot)), bits_of(start)) << "a step wrote unaccepted rows";
      };

      verify();
      layers.flush(slot, accepted);
      EXPECT_EQ(bits_of(layers.image(slot)), bits_of(expected));

      verify();
      const Piece answer{Role::kAnswer, next, further, slot, accepted};
      const auto answered = layers.step({&answer, 1});
      EXPECT_EQ(bits_of(layers.image(slot)), bits_of(expected));
      expect_same_rows(answered, 0,
                       decode_one_by_one(layers, scratch, expected, next, further).outputs);

      verify();
      const Piece prompt{Role::kPrompt, next, further, slot, accepted};
      const auto read = layers.step({&prompt, 1});
      const Decoded prompt_alone = read_prompt(layers, scratch, expected, next, further);
      expect_same_rows(read, 0, prompt_alone.outputs);
      EXPECT_EQ(bits_of(layers.image(slot)), bits_of(prompt_alone.images.back()));
    }
  }
}

// A sequence of a random schedule: what is committed for sure, and what each accepted count of its
// pending rows would make of it.
struct Sequence {
  int slot = 0;
  int32_t length = 0;
  std::vector<RecurrentImage> after_accepting;  // size: pending rows + 1
};

void check_schedule(GdnLayers& layers, int sequences, int rounds, Random& random) {
  const int scratch = sequences;
  std::vector<Sequence> all;
  for (int s = 0; s < sequences; ++s) {
    layers.reset(s);
    all.push_back({s, 0, {layers.image(s)}});
  }
  for (int round = 0; round < rounds; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    std::vector<Piece> answers, prompts;
    for (Sequence& sequence : all) {
      if (random.below(4) == 0) continue;
      const int accepted = random.below(static_cast<int>(sequence.after_accepting.size()));
      const RecurrentImage start = sequence.after_accepting[static_cast<size_t>(accepted)];
      const bool flush = random.below(4) == 0;
      if (flush) {
        layers.flush(sequence.slot, accepted);
        ASSERT_EQ(bits_of(layers.image(sequence.slot)), bits_of(start)) << "flush";
      }
      sequence.length += accepted;
      sequence.after_accepting = {start};
      const bool answer = random.below(3) != 0;
      auto& pieces = answer ? answers : prompts;
      pieces.insert(pieces.begin() + random.below(static_cast<int>(pieces.size()) + 1),
                    {answer ? Role::kAnswer : Role::kPrompt, sequence.length,
                     new_tokens(random, 1 + random.below(answer ? kMostRows : 100)), sequence.slot,
                     flush ? 0 : accepted});
    }
    answers.insert(answers.end(), prompts.begin(), prompts.end());
    const auto outputs = layers.step(answers);

    size_t row = 0;
    for (const Piece& piece : answers) {
      Sequence& sequence = all[static_cast<size_t>(piece.slot)];
      const RecurrentImage start = sequence.after_accepting[0];
      const bool answer = piece.role == Role::kAnswer;
      const Decoded alone = (answer ? decode_one_by_one : read_prompt)(
          layers, scratch, start, piece.first_index, piece.tokens);
      expect_same_rows(outputs, row, alone.outputs);
      row += piece.tokens.size();
      ASSERT_EQ(bits_of(layers.image(piece.slot)), bits_of(answer ? start : alone.images[0]));
      sequence.after_accepting = alone.images;
      if (!answer) sequence.length += static_cast<int32_t>(piece.tokens.size());
    }
  }
}

// One segment against cuts of it: a bit of `cuts` for each grid border inside.
void check_cuts(GdnLayers& layers, const RecurrentImage& start, int32_t first_index,
                const std::vector<int32_t>& tokens, unsigned cuts) {
  const Decoded whole = read_prompt(layers, 1, start, first_index, tokens);
  layers.import(0, start);
  const int32_t end = first_index + static_cast<int32_t>(tokens.size());
  for (int32_t index = first_index; index < end;) {
    int32_t next = (index / kGrid + 1) * kGrid;
    while (next < end && ((cuts >> (next / kGrid % 32)) & 1u) == 0) next += kGrid;
    next = std::min(next, end);
    const Piece piece{
        Role::kPrompt,
        index,
        {tokens.begin() + (index - first_index), tokens.begin() + (next - first_index)},
        0,
        0};
    const auto outputs = layers.step({&piece, 1});
    const auto first = whole.outputs.begin() + (index - first_index);
    expect_same_rows(outputs, 0, {first, first + (next - index)});
    index = next;
  }
  EXPECT_EQ(bits_of(layers.image(0)), bits_of(whole.images.back()));
}

}  // namespace

void check_deferred_commit(const BackendFactory& make_backend) {
  const int sequences = 4;
  for (const RecurrentSpec& spec : shapes(sequences + 1)) {
    SCOPED_TRACE(describe(spec));
    const auto backend = make_backend();
    GdnLayers layers(*backend, spec, 7);
    Random random(mix(static_cast<uint64_t>(spec.key_dim), 1));
    check_every_count(layers, random);
    check_schedule(layers, sequences, 12, random);
    if (::testing::Test::HasFailure()) return;
  }
}

void check_chunk_grid(const BackendFactory& make_backend) {
  for (const RecurrentSpec& spec : shapes(2)) {
    SCOPED_TRACE(describe(spec));
    const auto backend = make_backend();
    GdnLayers layers(*backend, spec, 8);
    Random random(mix(static_cast<uint64_t>(spec.key_dim), 2));
    layers.reset(1);
    const RecurrentImage start =
        read_prompt(layers, 1, layers.image(1), 0, new_tokens(random, 10)).images.back();
    for (const int32_t first_index : {0, 64, 37}) {
      for (const int count : {1, 27, 63, 64, 65, 128, 130}) {
        SCOPED_TRACE(std::to_string(count) + " rows from " + std::to_string(first_index));
        const auto tokens = new_tokens(random, count);
        for (const unsigned cuts : {~0u, 0xAAAAAAAAu}) {
          check_cuts(layers, start, first_index, tokens, cuts);
        }
        // A partial last chunk has the bits of the full one.
        const Decoded whole = read_prompt(layers, 1, start, first_index, tokens);
        const std::vector<int32_t> part(tokens.begin(), tokens.begin() + 1 + random.below(count));
        expect_same_rows(whole.outputs, 0,
                         read_prompt(layers, 0, start, first_index, part).outputs);
        if (::testing::Test::HasFailure()) return;
      }
    }
  }
}

}  // namespace sluice::ops::testing
