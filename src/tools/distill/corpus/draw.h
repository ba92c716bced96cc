// Chance for the corpus: seeded draws that know on which side of the split they are.
//
// The split is by content, not by row: a pair of operands, or a wording, belongs to the held-out
// side by the hash of its name, whatever seed or count a corpus is written with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::tools::corpus {

enum class Split : uint8_t { kTrain, kHeldOut };

// One name in six, by FNV-1a of its bytes.
bool is_held_out(std::string_view name);

// The name under which two operands are split: "+:285:347". Operands of + and * in ascending order,
// so that a sum cannot be known from its mirror image.
std::string pair_name(int64_t left, char operation, int64_t right);

class Draw {
 public:
  // Each sample has draws of its own, so that adding a kind changes no other kind's samples.
  Draw(uint64_t seed, Split split, std::string_view kind, int64_t index);

  Split split() const { return split_; }
  // True if `name` may be used on this side.
  bool fits(std::string_view name) const {
    return is_held_out(name) == (split_ == Split::kHeldOut);
  }

  uint64_t below(uint64_t bound);                    // 0 .. bound - 1; bound > 0
  int64_t between(int64_t lowest, int64_t highest);  // both included
  bool chance(int percent) { return below(100) < static_cast<uint64_t>(percent); }
  template <typename List>
  const auto& pick(const List& list) {
    return list[below(std::size(list))];
  }

  // Two operands whose pair fits. Each has 1 to `digits` digits, most often `digits`; for '-' the
  // left one is not the smaller; for '*' the right one has one digit.
  struct Operands {
    int64_t left = 0, right = 0;
  };
  Operands operands(char operation, int digits);
  // The same within bounds (included).
  Operands operands_between(char operation, int64_t left_lowest, int64_t left_highest,
                            int64_t right_lowest, int64_t right_highest);

  // One index below each of `counts`: the parts of a wording named `family`, which fits as a whole.
  // The parts of a held-out wording occur in training, never together. Adds the name to `wordings`.
  std::vector<size_t> wording(std::string_view family, std::initializer_list<size_t> counts);

  // What this sample used, for the proof that the sides are disjoint.
  const std::vector<std::string>& wordings() const { return wordings_; }

  // Whether the pair may be part of the working on this side: in training none that is held out.
  bool allows(int64_t left, char operation, int64_t right) const {
    return split_ == Split::kHeldOut || !is_held_out(pair_name(left, operation, right));
  }

 private:
  uint64_t next();
  int64_t number(int digits);

  Split split_;
  uint64_t state_;
  std::vector<std::string> wordings_;
};

}  // namespace sluice::tools::corpus
