// Runs the native tile kernels on machines without tiles: the signal of an illegal instruction
// brings each of theirs to the twin. A program that links this file has the native kernels where
// others have those compiled over the twin, so that what is tested is the machine code: encodings,
// operands, addresses, and what the compiler keeps in memory around the assembly. On a processor
// with tiles the process must not have asked for them (SLUICE_CPU of another set), so that they are
// illegal there too.
#include <gtest/gtest.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <optional>

#include "backend/cpu/amx/self_check.h"
#include "backend/cpu/amx/tile_twin.h"
#include "backend/cpu/detect.h"
#include "backend/cpu/product.h"
#include "backend/cpu/tile_products.h"
#include "backend/tile_inputs.h"

// Taken before those of the library.
namespace sluice::cpu::twin {

void integer_product_avx512vnni(const ProductCall& call) { amx::integer_product(call); }
void float_product_avx512vnni(const ProductCall& call) { amx::float_product(call); }

}  // namespace sluice::cpu::twin

namespace sluice::test {
namespace {

namespace amx = cpu::amx;

enum class Prefix : uint8_t { kNone, k66, kF3, kF2 };  // as the VEX prefix numbers them

// An instruction as Intel's manual encodes tiles (volume 2: "VEX prefix", the pages of the
// instructions): three bytes of VEX with map 0F38, W and L zero, then opcode, ModRM, SIB,
// displacement.
struct TileInstruction {
  uint8_t opcode = 0;
  Prefix prefix = Prefix::kNone;
  int reg = 0, rm = 0, vvvv = 0;  // tiles, where they are
  bool in_memory = false, has_sib = false;
  intptr_t address = 0;  // base and displacement
  int64_t stride = 0;    // the scaled index
  const uint8_t* end = nullptr;
};

// A general register by the number that encodings give it.
int64_t general_register(const ucontext_t& context, int number) {
  static constexpr int kPlaces[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                      REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                      REG_R12, REG_R13, REG_R14, REG_R15};
  return context.uc_mcontext.gregs[kPlaces[number]];
}

std::optional<TileInstruction> decode(const uint8_t* bytes, const ucontext_t& context) {
  if (bytes[0] != 0xc4 || (bytes[1] & 0x1f) != 2 || (bytes[2] & 0x84) != 0) return std::nullopt;
  const int reg_high = bytes[1] & 0x80 ? 0 : 8, index_high = bytes[1] & 0x40 ? 0 : 8,
            base_high = bytes[1] & 0x20 ? 0 : 8;
  TileInstruction result;
  result.prefix = static_cast<Prefix>(bytes[2] & 3);
  result.vvvv = (~bytes[2] >> 3) & 15;
  result.opcode = bytes[3];
  const int mode = bytes[4] >> 6, low = bytes[4] & 7;
  result.reg = ((bytes[4] >> 3) & 7) | reg_high;
  result.rm = low | base_high;
  result.end = bytes + 5;
  if (mode == 3) return result;
  result.in_memory = true;
  int base = result.rm;
  if (low == 4) {
    result.has_sib = true;
    const uint8_t sib = *result.end++;
    const int index = ((sib >> 3) & 7) | index_high;
    base = (sib & 7) | base_high;
    if (index != 4) result.stride = general_register(context, index) << (sib >> 6);
    if ((sib & 7) == 5 && mode == 0) return std::nullopt;  // no base: not what compilers write here
  }
  const bool after_itself = low == 5 && mode == 0;
  if (mode == 1) {
    result.address = static_cast<int8_t>(*result.end++);
  } else if (mode == 2 || after_itself) {
    int32_t displacement;
    std::memcpy(&displacement, result.end, sizeof displacement);
    result.address = displacement;
    result.end += sizeof displacement;
  }
  result.address += after_itself ? reinterpret_cast<intptr_t>(result.end)
                                 : static_cast<intptr_t>(general_register(context, base));
  return result;
}

// False if it is none that the tile interface has. Throws TileFault where hardware would fault.
bool execute(const TileInstruction& code) {
  const bool tiles = code.reg < amx::kTiles && code.rm < amx::kTiles && code.vvvv < amx::kTiles;
  void* const address = reinterpret_cast<void*>(code.address);
  switch (code.opcode) {
    case 0x49:
      if (code.prefix == Prefix::kNone && code.reg == 0 && code.vvvv == 0) {
        if (code.in_memory) {
          amx::TileConfig config;
          std::memcpy(&config, address, sizeof config);
          amx::twin_config(config);
        } else if (code.rm == 0) {
          amx::twin_release();
        } else {
          return false;
        }
        return true;
      }
      if (code.prefix != Prefix::kF2 || code.in_memory || code.rm != 0 || code.vvvv != 0 || !tiles)
        return false;
      amx::twin_zero(code.reg);
      return true;
    case 0x4b:
      if (!code.has_sib || code.vvvv != 0 || code.reg >= amx::kTiles) return false;
      if (code.prefix == Prefix::kF2) amx::twin_load(code.reg, address, code.stride);
      if (code.prefix == Prefix::kF3) amx::twin_store(code.reg, address, code.stride);
      return code.prefix == Prefix::kF2 || code.prefix == Prefix::kF3;
    case 0x5c:
      if (code.prefix != Prefix::kF3 || code.in_memory || !tiles) return false;
      amx::twin_dot_bf16(code.reg, code.rm, code.vvvv);
      return true;
    case 0x5e:
      if (code.in_memory || !tiles) return false;
      amx::twin_dot_bytes(code.reg, code.rm, code.vvvv,
                          code.prefix == Prefix::kF2 || code.prefix == Prefix::kF3,
                          code.prefix == Prefix::kF2 || code.prefix == Prefix::k66);
      return true;
    default:
      return false;
  }
}

[[noreturn]] void give_up(const uint8_t* bytes, const char* why) {
  std::fprintf(stderr, "illegal instruction, %s:", why);
  for (int i = 0; i < 12; ++i) std::fprintf(stderr, " %02x", bytes[i]);
  std::fprintf(stderr, "\n");
  _exit(1);
}

void on_illegal_instruction(int, siginfo_t*, void* untyped) {
  auto& context = *static_cast<ucontext_t*>(untyped);
  auto& at = context.uc_mcontext.gregs[REG_RIP];
  const auto* bytes = reinterpret_cast<const uint8_t*>(at);
  try {
    const std::optional<TileInstruction> code = decode(bytes, context);
    if (!code.has_value() || !execute(*code)) give_up(bytes, "none of the tile unit's");
    at = reinterpret_cast<greg_t>(code->end);
  } catch (const std::exception& fault) {
    give_up(bytes, fault.what());
  }
}

class Trap : public testing::Environment {
  void SetUp() override {
    struct sigaction action {};
    action.sa_sigaction = on_illegal_instruction;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    ASSERT_EQ(sigaction(SIGILL, &action, nullptr), 0);
  }
};

const testing::Environment* const trap = testing::AddGlobalTestEnvironment(new Trap);

TEST(NativeTiles, PassTheirSelfCheck) {
  if (supported_lanes().size() < 2) {
    GTEST_SKIP() << "the native kernels' lanes need AVX-512 with VNNI; the twin's over portable "
                    "lanes were tested";
  }
  const int64_t before = amx::twin_products();
  EXPECT_TRUE(amx::passes_self_check(amx::integer_product, amx::float_product));
  EXPECT_GT(amx::twin_products(), before);
}

}  // namespace
}  // namespace sluice::test
