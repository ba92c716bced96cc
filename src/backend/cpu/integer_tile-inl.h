// Products of integer codes for more rows than the one or two that integer_product-inl.h keeps in
// registers with both granules of a pair: tiles of a few rows by one or two groups of outputs, a
// granule at a time. Inclusion and fencing as there, and the same arithmetic.
//
// What a set's registers hold decides the tile (`Lanes`): a broadcast activation is multiplied with
// the lines of all groups of the tile, a line with all its rows.
#pragma once

#include "backend/cpu/integer_codes-inl.h"
#include "backend/cpu/product.h"
#include "backend/cpu/product_rows-inl.h"

namespace sluice::cpu {
namespace {

// One unit's codes, ready for the product: bytes in the order of CodeKind::kByte, or words, those
// of columns 0 and 2 of every four before those of 1 and 3.
template <bool kWords>
struct alignas(64) CodePanel {
  uint8_t lines[kWords ? 128 : 64][kLine];
};

// A granule of digits, its exact sums times their scales, times the activations' scale.
template <typename Form>
SLUICE_INLINE void add_granule(Floats value, int granule, const uint8_t* activations, Floats& sum) {
  sum = Lanes::fma(value, Lanes::broadcast_load(activations + Form::kScale + 4 * granule), sum);
}

// Adds to a unit's sum the exact sum of segment `at`, which lies in `granule`, with its scale; wide
// also its minimum's part. `first` keeps a granule's first segment until its second comes, where
// they go together.
template <typename Form, bool kHalf, bool kMin, bool kDigit>
SLUICE_INLINE void add_scaled(Ints whole, const Floats scale, const float* min, int granule, int at,
                              const uint8_t* activations, Floats& first, Floats& sum) {
  const Floats value = Lanes::to_float(whole);
  if constexpr (kDigit && !kHalf) {
    add_granule<Form>(Lanes::multiply(value, scale), granule, activations, sum);
  } else if constexpr (kDigit) {
    if (at % 2 == 0) {
      first = Lanes::multiply(value, scale);
    } else {
      add_granule<Form>(Lanes::fma(value, scale, first), granule, activations, sum);
    }
  } else {
    sum = Lanes::fma(value, scale, sum);
    if constexpr (kMin) {
      const uint8_t* codes = activations + Form::template minimum<kHalf>(at);
      sum = Lanes::fnma(Lanes::broadcast_load(codes), Lanes::load(min), sum);
    }
  }
}

// The sums of a unit become part of the rows': of kRows rows and kGroups groups, whose scales are
// `lines`. A minimum's part goes to several rows before the next minimum's: a row after the other
// is one chain of additions after the other, which cost VNNI a tenth.
template <typename Form, bool kHalf, bool kMin, bool kDigit, int kRows, int kGroups>
SLUICE_INLINE void add_unit(const Floats (&sums)[kRows][kGroups], const ScaleLines* lines,
                            int scale_shift, const uint8_t* activations,
                            Floats (&totals)[kRows][kGroups]) {
  if constexpr (kDigit && kMin) {
    constexpr int kAtOnce = kGroups > 1 || kRows < 5 ? kRows : 3;  // what registers hold
    SLUICE_UNROLL
    for (int first = 0; first < kRows; first += kAtOnce) {
      SLUICE_UNROLL
      for (int at = 0; at < (kHalf ? 16 : 8); ++at) {
        const int index = kHalf ? at : at >> scale_shift;
        SLUICE_UNROLL
        for (int i = 0; i < kAtOnce; ++i) {
          const int row = first + i;
          if (row >= kRows) continue;
          const Floats sum = Lanes::broadcast_load(activations + row * Form::kBytes +
                                                   Form::template minimum<kHalf>(at));
          SLUICE_UNROLL
          for (int g = 0; g < kGroups; ++g) {
            totals[row][g] = Lanes::fnma(sum, Lanes::load(lines[g].min[index]), totals[row][g]);
          }
        }
      }
    }
  }
  SLUICE_UNROLL
  for (int row = 0; row < kRows; ++row) {
    SLUICE_UNROLL
    for (int g = 0; g < kGroups; ++g) {
      const Floats shared =
          kDigit ? Lanes::load(lines[g].super)
                 : Lanes::broadcast_load(activations + row * Form::kBytes + Form::kScale);
      totals[row][g] = Lanes::fma(sums[row][g], shared, totals[row][g]);
    }
  }
}

// Line j of a granule as what is multiplied: a line of bytes, or two of words.
template <Source kSource, bool kWords, typename Set = Lanes>
SLUICE_INLINE void decode_parts(const uint8_t* codes, const Codes table, int pair, int side, int j,
                                Codes (&parts)[kWords ? 2 : 1]) {
  if constexpr (kSource == Source::kWordPanel) {
    const uint8_t* lines = codes + kLine * (32 * pair + 16 * side) + kLine * 2 * j;
    parts[0] = Lanes::load_line(lines);
    parts[1] = Lanes::load_line(lines + kLine);
  } else {
    constexpr int kOffset = offset_shift(kSource);
    parts[0] = decode_line<kSource>(codes, table, pair, side, j);
    if constexpr (kWords) {
      Set::template split_words < is_signed(kSource) &&
          kOffset<0, (kOffset >= 0 ? 1 << (kOffset & 7) : 0)>(parts);
    }
  }
}

template <Source kSource, bool kWords, typename Set = Lanes>
void decode_panel(const uint8_t* codes, const Codes table, CodePanel<kWords>& panel) {
  constexpr int kParts = kWords ? 2 : 1;
  for (int pair = 0; pair < 4; ++pair) {
    SLUICE_UNROLL
    for (int j = 0; j < 8; ++j) {
      SLUICE_UNROLL
      for (int side = 0; side < 2; ++side) {
        Codes parts[kParts];
        decode_parts<kSource, kWords>(codes, table, pair, side, j, parts);
        if constexpr (!kWords && kSource == Source::kSix &&
                      panel_of(kSource) == Source::kSignedPanel) {
          parts[0] = Set::add_bytes(parts[0], 128 - 32);  // as much too high as all of that panel
        }
        SLUICE_UNROLL
        for (int p = 0; p < kParts; ++p) {
          const int line = kWords ? 32 * pair + 16 * side + 2 * j + p : 16 * pair + 2 * j + side;
          Lanes::store_line(panel.lines[line], parts[p]);
        }
      }
    }
  }
}

template <int kGroups>
struct TileUnits {
  const uint8_t* codes[kGroups];
  const ScaleLines* lines;  // [kGroups]
  int scale_shift;
  const FetchDistance* fetch;  // of tiles that read memory; null for none
  StreamEnd ends[kGroups];
  int64_t quarter;  // of a unit, in lines
};

// kRows rows times a granule of kGroups units.
template <Source kSource, bool kHalf, bool kMin, bool kDigit, bool kWords, int kRows, int kGroups,
          typename Set = Lanes>
SLUICE_INLINE void multiply_granule(const TileUnits<kGroups>& units, const Codes table, int pair,
                                    int side, const uint8_t* activations,
                                    Floats (&unit_sums)[kRows][kGroups]) {
  using Form = Activations<kDigit, kWords>;
  constexpr int kSegments = kHalf ? 2 : 1, kSegmentLines = 8 / kSegments;
  constexpr bool kStarts = starts_at_offset(kSource, kDigit, kWords);
  constexpr bool kByScale = widens_by_scale(kSource, kDigit, kWords);
  constexpr int kChain = kWords || kStarts || chain_lines(kSource) > kSegmentLines
                             ? kSegmentLines
                             : chain_lines(kSource);
  constexpr int kParts = kWords ? 2 : 1;  // lines of a dword a row
  constexpr int kOffset = kWords || kStarts ? -1 : offset_shift(kSource);
  constexpr Product kProduct = kWords               ? Product::kWords
                               : is_signed(kSource) ? Product::kSigned
                                                    : Product::kUnsigned;
  const int granule = 2 * pair + side;
  Floats firsts[kRows][kGroups] = {};  // GCC 12 for Arm does not see that they are set first
  Ints scaled[kRows][kGroups];
  SLUICE_UNROLL
  for (int segment = 0; segment < kSegments; ++segment) {
    const int at = kSegments * granule + segment;
    const int index = kHalf ? at : granule >> units.scale_shift;
    Ints sums[kRows][Form::kDigits][kGroups];
    SLUICE_UNROLL
    for (int chain = 0; chain < kSegmentLines / kChain; ++chain) {
      Ints part[kRows][Form::kDigits][kGroups];
      SLUICE_UNROLL
      for (int row = 0; row < kRows; ++row) {
        SLUICE_UNROLL
        for (int digit = 0; digit < Form::kDigits; ++digit) {
          SLUICE_UNROLL
          for (int g = 0; g < kGroups; ++g) {
            if constexpr (kStarts) {
              part[row][digit][g] = Lanes::template broadcast_shifted<0>(
                  activations + row * Form::kBytes + Form::template start<kHalf>(at));
            } else {
              part[row][digit][g] = Lanes::zero();
            }
          }
          if constexpr (kOffset >= 0 && Lanes::kOffsetFirst) {
            if (digit == Form::kDigits - 1) {
              const Ints start = Lanes::template broadcast_shifted<7 - kOffset>(
                  activations + row * Form::kBytes + Form::template offset<kHalf>(at));
              SLUICE_UNROLL
              for (int g = 0; g < kGroups; ++g) part[row][digit][g] = start;
            }
          }
        }
      }
      SLUICE_UNROLL
      for (int line = 0; line < kChain; ++line) {
        const int j = segment * kSegmentLines + chain * kChain + line;
        Codes codes[kGroups][kParts];
        SLUICE_UNROLL
        for (int g = 0; g < kGroups; ++g) {
          decode_parts<kSource, kWords>(units.codes[g], table, pair, side, j, codes[g]);
        }
        SLUICE_UNROLL
        for (int p = 0; p < kParts; ++p) {
          SLUICE_UNROLL
          for (int row = 0; row < kRows; ++row) {
            SLUICE_UNROLL
            for (int digit = 0; digit < Form::kDigits; ++digit) {
              const uint8_t* a = activations + row * Form::kBytes + digit * kIntegerColumns +
                                 4 * (kParts * (8 * granule + j) + p);
              if constexpr (kGroups == 2) {
                Lanes::template add_tile_products<kProduct>(part[row][digit][0], codes[0][p],
                                                            part[row][digit][1], codes[1][p], a);
              } else {
                if constexpr (Lanes::kStartsWithProducts && !kStarts) {
                  if (line == 0 && p == 0) {
                    part[row][digit][0] = Set::template tile_products<kProduct>(codes[0][p], a);
                    continue;
                  }
                }
                Lanes::template add_tile_products<kProduct>(part[row][digit][0], codes[0][p], a);
              }
            }
          }
        }
      }
      SLUICE_UNROLL
      for (int row = 0; row < kRows; ++row) {
        SLUICE_UNROLL
        for (int digit = 0; digit < Form::kDigits; ++digit) {
          SLUICE_UNROLL
          for (int g = 0; g < kGroups; ++g) {
            if constexpr (kByScale) {
              const Ints product =
                  Set::multiply_pairs(part[row][digit][g], units.lines[g].pairs[index]);
              scaled[row][g] =
                  segment + chain == 0 ? product : Lanes::add_ints(scaled[row][g], product);
              continue;
            }
            const Ints wide =
                Lanes::template widen<kProduct != Product::kUnsigned>(part[row][digit][g]);
            Ints& sum = sums[row][digit][g];
            sum = chain == 0 ? wide : Lanes::add_ints(sum, wide);
          }
        }
      }
    }
    SLUICE_UNROLL
    for (int g = 0; g < kGroups; ++g) {
      Floats scale = {};
      if constexpr (!kByScale) scale = Lanes::load(units.lines[g].scale[index]);
      SLUICE_UNROLL
      for (int row = 0; row < kRows; ++row) {
        const uint8_t* a = activations + row * Form::kBytes;
        if constexpr (kByScale) {
          if (segment + 1 == kSegments) {
            add_granule<Form>(Lanes::to_float(scaled[row][g]), granule, a, unit_sums[row][g]);
          }
          continue;
        }
        Ints whole = sums[row][0][g];
        if constexpr (Form::kDigits == 2) whole = Lanes::join_digits(whole, sums[row][1][g]);
        if constexpr (kOffset >= 0 && !Lanes::kOffsetFirst) {
          whole = Lanes::add_ints(whole, Lanes::template broadcast_shifted<7 - kOffset>(
                                             a + Form::template offset<kHalf>(at)));
        }
        add_scaled<Form, kHalf, kMin, kDigit>(whole, scale, units.lines[g].min[index], granule, at,
                                              a, firsts[row][g], unit_sums[row][g]);
      }
    }
  }
}

// kRows rows times kGroups units; adds to results [kRows][kGroups][16].
template <Source kSource, bool kHalf, bool kMin, bool kDigit, bool kWords, int kRows, int kGroups>
void multiply_tile(const TileUnits<kGroups>& units, const Codes& table, const uint8_t* activations,
                   float (*results)[kGroups][kGroupRows]) {
  using Form = Activations<kDigit, kWords>;
  Floats sums[kRows][kGroups];
  SLUICE_UNROLL
  for (int row = 0; row < kRows; ++row) {
    SLUICE_UNROLL
    for (int g = 0; g < kGroups; ++g) sums[row][g] = Lanes::broadcast(0.0f);
  }
  if constexpr (is_panel(kSource)) {
    for (int granule = 0; granule < 8; ++granule) {
      multiply_granule<kSource, kHalf, kMin, kDigit, kWords, kRows, kGroups>(
          units, table, granule / 2, granule % 2, activations, sums);
    }
  } else {
    for (int pair = 0; pair < 4; ++pair) {
      for (int g = 0; units.fetch != nullptr && g < kGroups; ++g) {
        fetch_ahead(*units.fetch, units.codes[g] + kLine * pair * units.quarter, units.quarter,
                    units.ends[g]);
      }
      multiply_granule<kSource, kHalf, kMin, kDigit, kWords, kRows, kGroups>(units, table, pair, 0,
                                                                             activations, sums);
      // Loaded again where GCC 12 keeps what both granules read, and spills it. Where it does not
      // spill, keeping saves 3 %.
      constexpr bool kLoadsAgain = kMin || (kSource == Source::kSix && kGroups > 1);
      if constexpr (kLoadsAgain) asm volatile("" ::: "memory");
      multiply_granule<kSource, kHalf, kMin, kDigit, kWords, kRows, kGroups>(units, table, pair, 1,
                                                                             activations, sums);
    }
  }
  Floats totals[kRows][kGroups];
  SLUICE_UNROLL
  for (int row = 0; row < kRows; ++row) {
    SLUICE_UNROLL
    for (int g = 0; g < kGroups; ++g) totals[row][g] = Lanes::load(results[row][g]);
  }
  add_unit<Form, kHalf, kMin, kDigit>(sums, units.lines, units.scale_shift, activations, totals);
  SLUICE_UNROLL
  for (int row = 0; row < kRows; ++row) {
    SLUICE_UNROLL
    for (int g = 0; g < kGroups; ++g) Lanes::store(results[row][g], totals[row][g]);
  }
}

// Tiles that read panels are functions of their own: within the loop over tiles GCC 12 spills more,
// a tenth of the instructions of small tables on AVX2. Those that read units lose by it.
template <Source kSource, bool kHalf, bool kMin, bool kDigit, bool kWords, int kRows, int kGroups>
__attribute__((noinline)) void multiply_panel_tile(const TileUnits<kGroups>& units,
                                                   const Codes& table, const uint8_t* activations,
                                                   float (*results)[kGroups][kGroupRows]) {
  multiply_tile<kSource, kHalf, kMin, kDigit, kWords, kRows, kGroups>(units, table, activations,
                                                                      results);
}

// The tile of `rows` rows, kLeast to kRows.
template <Source kSource, bool kHalf, bool kMin, bool kDigit, bool kWords, int kLeast, int kRows,
          int kGroups>
void multiply_tile_of(int64_t rows, const TileUnits<kGroups>& units, const Codes& table,
                      const uint8_t* activations, float (*results)[kGroups][kGroupRows]) {
  if constexpr (kRows > kLeast) {
    if (rows != kRows) {
      return multiply_tile_of<kSource, kHalf, kMin, kDigit, kWords, kLeast, kRows - 1, kGroups>(
          rows, units, table, activations, results);
    }
  }
  if constexpr (is_panel(kSource)) {
    multiply_panel_tile<kSource, kHalf, kMin, kDigit, kWords, kRows, kGroups>(units, table,
                                                                              activations, results);
  } else {
    multiply_tile<kSource, kHalf, kMin, kDigit, kWords, kRows, kGroups>(units, table, activations,
                                                                        results);
  }
}

// The fewest rows that come here, and the most that are multiplied without a panel: decoding again
// for every tile costs less up to there.
template <Source kSource>
constexpr int64_t least_tiled(bool words) {
  if (!words) return Lanes::kPairRows + 1;
  return Lanes::kSignedBytes || !is_signed(kSource) ? Lanes::kWordsFrom : 1;
}
template <Source kSource>
constexpr int64_t most_direct(bool digit, bool words) {
  if (words) return Lanes::kDirectWords;
  return Lanes::direct_bytes(digit);
}

// Adds a run of units to the results. kRead: what the tiles read, the units themselves or panels of
// them.
template <Source kSource, Source kRead, bool kHalf, bool kMin, bool kDigit, bool kWords>
void multiply_run(const ProductCall& call, const UnitRun& run,
                  float (*results)[Lanes::kTileGroups][kGroupRows]) {
  using Form = Activations<kDigit, kWords>;
  constexpr int kGroups = Lanes::kTileGroups;
  // The sizes of equal pieces of all numbers of rows that come here.
  constexpr int kTile = Lanes::template tile_rows<Form::kDigits>();
  constexpr int64_t kDirect = most_direct<kSource>(kDigit, kWords);
  constexpr int kMost = !is_panel(kRead) && kDirect < kTile ? static_cast<int>(kDirect) : kTile;
  constexpr int64_t kFewest = is_panel(kRead) && kDirect >= least_tiled<kSource>(kWords)
                                  ? kDirect + 1
                                  : least_tiled<kSource>(kWords);
  constexpr int kLeast = kFewest < (kTile + 1) / 2 ? static_cast<int>(kFewest) : (kTile + 1) / 2;
  const PackedView& weight = *call.weight;
  const UnitShape& shape = weight.unit;
  const Codes table = table_of<kSource>(weight);
  CodePanel<kWords> panels[is_panel(kRead) ? kGroups : 1];
  ScaleLines lines[kGroups];
  const int64_t tiles = (run.rows + kMost - 1) / kMost;
  TileUnits<kGroups> units{{}, lines, scale_shift_of(shape), nullptr, {}, part_lines(shape, 4)};
  const uint8_t* read[kGroups];
  for (int g = 0; g < kGroups; ++g) {
    // A lone last group is multiplied twice: a tile of one would double the code.
    const int64_t own = run.group + g < run.last ? run.group + g : run.group;
    read[g] = weight.units + (own * weight.units_per_group + run.from) * shape.bytes;
    units.ends[g] = stream_end(weight, run, own);
  }
  const FetchDistance next = panel_fetch(call);
  const auto* activations = static_cast<const uint8_t*>(call.activations) +
                            (run.from * call.rows + run.first) * Form::kBytes;
  constexpr Source kWithIntegers = with_integer_scales(kRead, kMin);
  static_assert(kWithIntegers == kRead || kGroups == 1, "each unit of a tile has its own answer");
  for (int64_t u = run.from; u < run.to; ++u) {
    bool integers = false;
    for (int g = 0; g < kGroups; ++g) {
      integers = decode_scales_for<kRead, kHalf, kMin, kDigit>(call, read[g], lines[g]);
      units.codes[g] = read[g] + shape.code_offset;
      if constexpr (is_panel(kRead)) {
        decode_panel<kSource, kWords>(units.codes[g], table, panels[g]);
        units.codes[g] = panels[g].lines[0];
      }
    }
    if constexpr (!is_panel(kRead)) units.fetch = fetch_of(call);
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t row = piece_begin(run.rows, tiles, tile);
      for (int g = 0; is_panel(kRead) && g < kGroups; ++g) {
        fetch_piece(next, shape, read[g], tiles, tile, units.ends[g]);
      }
      const int64_t rows = piece_begin(run.rows, tiles, tile + 1) - row;
      const uint8_t* inputs = activations + row * Form::kBytes;
      if (kWithIntegers != kRead && integers) {
        multiply_tile_of<kWithIntegers, kHalf, kMin, kDigit, kWords, kLeast, kMost, kGroups>(
            rows, units, table, inputs, results + row);
      } else {
        multiply_tile_of<kRead, kHalf, kMin, kDigit, kWords, kLeast, kMost, kGroups>(
            rows, units, table, inputs, results + row);
      }
      units.fetch = nullptr;  // the next tiles find the unit in the cache
    }
    for (int g = 0; g < kGroups; ++g) read[g] += shape.bytes;
    activations += call.rows * Form::kBytes;
  }
}

template <Source kSource, Source kRead, bool kHalf, bool kMin, bool kDigit, bool kWords>
void multiply_runs(const ProductCall& call) {
  multiply_block<Lanes::kTileGroups>(
      call, Activations<kDigit, kWords>::kBytes,
      [&](const UnitRun& run, float(*results)[Lanes::kTileGroups][kGroupRows]) {
        multiply_run<kSource, kRead, kHalf, kMin, kDigit, kWords>(call, run, results);
      });
}

template <Source kSource, bool kHalf, bool kMin, bool kDigit, bool kWords>
void multiply_tiled(const ProductCall& call) {
  constexpr int64_t kDirect = most_direct<kSource>(kDigit, kWords);
  if constexpr (kDirect >= least_tiled<kSource>(kWords)) {
    if (call.rows <= kDirect)
      return multiply_runs<kSource, kSource, kHalf, kMin, kDigit, kWords>(call);
  }
  // More rows of two digits come as words where the set reads words.
  if constexpr (kDigit || kWords || !Lanes::kWords) {
    constexpr Source kPanel = kWords ? Source::kWordPanel : panel_of(kSource);
    multiply_runs<kSource, kPanel, kHalf, kMin, kDigit, kWords>(call);
  }
}

}  // namespace
}  // namespace sluice::cpu
