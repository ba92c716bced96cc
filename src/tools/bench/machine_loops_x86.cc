// Loops of the x86 classes. All of it is inline assembly, so that the file needs no wider compiler
// flags; who asks for a class has made sure that the machine has it.
#include "tools/bench/machine_loops.h"

namespace sluice::tools {
namespace {

#define SLUICE_CLOBBERS                                                                          \
  "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
      "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

// One line of assembly for each of twelve registers: enough chains for a latency of 4 at two
// products a cycle, and 8 are short of it.
#define SLUICE_TWELVE(line)                                                                 \
  line("0") line("1") line("2") line("3") line("4") line("5") line("6") line("7") line("8") \
      line("9") line("10") line("11")

// Sums in registers 0 to 11, factors (zeros) in 12 and 13, a temporary in 14.
#define SLUICE_PRODUCTS(name, line)                                                \
  void name(int64_t turns) {                                                       \
    asm volatile(                                                                \
        "vzeroall\n\t"                                                           \
        ".p2align 5\n"                                                           \
        "1:\n\t" SLUICE_TWELVE(line) "decq %0\n\t"                               \
                                     "jnz 1b\n\t"                                \
                                     "vzeroupper"                                \
        : "+r"(turns)                                                            \
        :                                                                        \
        : SLUICE_CLOBBERS); \
  }

#define SLUICE_FMA_Y(r) "vfmadd231ps %%ymm12, %%ymm13, %%ymm" r "\n\t"
#define SLUICE_FMA_Z(r) "vfmadd231ps %%zmm12, %%zmm13, %%zmm" r "\n\t"
#define SLUICE_INT16_Y(r) \
  "vpmaddwd %%ymm12, %%ymm13, %%ymm14\n\tvpaddd %%ymm14, %%ymm" r ", %%ymm" r "\n\t"
#define SLUICE_INT16_Z(r) \
  "vpmaddwd %%zmm12, %%zmm13, %%zmm14\n\tvpaddd %%zmm14, %%zmm" r ", %%zmm" r "\n\t"
#define SLUICE_INT8_Y(r) \
  "vpmaddubsw %%ymm12, %%ymm13, %%ymm14\n\tvpaddw %%ymm14, %%ymm" r ", %%ymm" r "\n\t"
#define SLUICE_INT8_Z(r) \
  "vpmaddubsw %%zmm12, %%zmm13, %%zmm14\n\tvpaddw %%zmm14, %%zmm" r ", %%zmm" r "\n\t"
#define SLUICE_DOT16_Y(r) "%{vex%} vpdpwssd %%ymm12, %%ymm13, %%ymm" r "\n\t"
#define SLUICE_DOT16_Z(r) "vpdpwssd %%zmm12, %%zmm13, %%zmm" r "\n\t"
#define SLUICE_DOT8_Y(r) "%{vex%} vpdpbusd %%ymm12, %%ymm13, %%ymm" r "\n\t"
#define SLUICE_DOT8_Z(r) "vpdpbusd %%zmm12, %%zmm13, %%zmm" r "\n\t"

SLUICE_PRODUCTS(fma_256, SLUICE_FMA_Y)
SLUICE_PRODUCTS(fma_512, SLUICE_FMA_Z)
SLUICE_PRODUCTS(int16_256, SLUICE_INT16_Y)
SLUICE_PRODUCTS(int16_512, SLUICE_INT16_Z)
SLUICE_PRODUCTS(int8_256, SLUICE_INT8_Y)
SLUICE_PRODUCTS(int8_512, SLUICE_INT8_Z)
SLUICE_PRODUCTS(dot16_256, SLUICE_DOT16_Y)
SLUICE_PRODUCTS(dot16_512, SLUICE_DOT16_Z)
SLUICE_PRODUCTS(dot8_256, SLUICE_DOT8_Y)
SLUICE_PRODUCTS(dot8_512, SLUICE_DOT8_Z)

// A plain reader: no software prefetch (spec/cpu-kernels-avx2.md 1.1), one ascending stream.
#define SLUICE_READ(name, type, line)          \
  void name(type* data, int64_t bytes) {       \
    const std::byte* const end = data + bytes; \
    asm volatile(                              \
        ".p2align 5\n"                         \
        "1:\n\t" line                          \
        "cmpq %1, %0\n\t"                      \
        "jb 1b\n\t"                            \
        "vzeroupper"                           \
        : "+r"(data)                           \
        : "r"(end)                             \
        : "memory", SLUICE_CLOBBERS);          \
  }

SLUICE_READ(read_256, const std::byte,
            "vmovdqa (%0), %%ymm0\n\t"
            "vmovdqa 32(%0), %%ymm1\n\t"
            "vmovdqa 64(%0), %%ymm2\n\t"
            "vmovdqa 96(%0), %%ymm3\n\t"
            "vmovdqa 128(%0), %%ymm4\n\t"
            "vmovdqa 160(%0), %%ymm5\n\t"
            "vmovdqa 192(%0), %%ymm6\n\t"
            "vmovdqa 224(%0), %%ymm7\n\t"
            "addq $256, %0\n\t")
SLUICE_READ(read_512, const std::byte,
            "vmovdqa64 (%0), %%zmm0\n\t"
            "vmovdqa64 64(%0), %%zmm1\n\t"
            "vmovdqa64 128(%0), %%zmm2\n\t"
            "vmovdqa64 192(%0), %%zmm3\n\t"
            "addq $256, %0\n\t")
SLUICE_READ(update_256, std::byte,
            "vmovdqa (%0), %%ymm0\n\t"
            "vmovdqa 32(%0), %%ymm1\n\t"
            "vmovdqa 64(%0), %%ymm2\n\t"
            "vmovdqa 96(%0), %%ymm3\n\t"
            "vmovdqa %%ymm0, (%0)\n\t"
            "vmovdqa %%ymm1, 32(%0)\n\t"
            "vmovdqa %%ymm2, 64(%0)\n\t"
            "vmovdqa %%ymm3, 96(%0)\n\t"
            "addq $128, %0\n\t")
SLUICE_READ(update_512, std::byte,
            "vmovdqa64 (%0), %%zmm0\n\t"
            "vmovdqa64 64(%0), %%zmm1\n\t"
            "vmovdqa64 %%zmm0, (%0)\n\t"
            "vmovdqa64 %%zmm1, 64(%0)\n\t"
            "addq $128, %0\n\t")

// Products of a turn: twelve registers times lanes.
constexpr int64_t per_turn(int64_t lanes) { return 12 * lanes; }

constexpr MachineLoops kAvx2 = {read_256,
                                update_256,
                                {fma_256, per_turn(8)},
                                {int16_256, per_turn(16)},
                                {int8_256, per_turn(32)}};
constexpr MachineLoops kAvxVnni = {read_256,
                                   update_256,
                                   {fma_256, per_turn(8)},
                                   {dot16_256, per_turn(16)},
                                   {dot8_256, per_turn(32)}};
constexpr MachineLoops kAvx512 = {read_512,
                                  update_512,
                                  {fma_512, per_turn(16)},
                                  {int16_512, per_turn(32)},
                                  {int8_512, per_turn(64)}};
constexpr MachineLoops kAvx512Vnni = {read_512,
                                      update_512,
                                      {fma_512, per_turn(16)},
                                      {dot16_512, per_turn(32)},
                                      {dot8_512, per_turn(64)}};

}  // namespace

const MachineLoops& machine_loops(std::string_view instruction_set) {
  if (instruction_set == "avx2") return kAvx2;
  if (instruction_set == "avxvnni") return kAvxVnni;
  if (instruction_set == "avx512") return kAvx512;
  // AMX has no loops of its own yet: its shares of the limit of products may pass 100 %.
  if (instruction_set == "avx512vnni" || instruction_set == "amx") return kAvx512Vnni;
  return portable_loops();
}

}  // namespace sluice::tools
