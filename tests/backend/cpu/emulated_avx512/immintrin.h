// Stands before the compiler's <immintrin.h> for the two files of this folder: 512-bit intrinsics
// become SIMDe's, which compute them on AVX2, so that the kernels' own sources run on machines
// without AVX-512.
#pragma once

#include_next <immintrin.h>

// The kernels have some ten thousand uses: inlined, they keep the compiler busy for minutes.
#define SIMDE_NO_INLINE
#define SIMDE_ENABLE_NATIVE_ALIASES
// Not <simde/x86/avx512.h>, which is twice as much to read. A kernel that uses an intrinsic from a
// header that is not in this list fails to compile ("target specific option mismatch" names it):
// add the header, or the intrinsic to missing_intrinsics.h where SIMDe lacks it.
#include <simde/x86/avx512/add.h>
#include <simde/x86/avx512/and.h>
#include <simde/x86/avx512/broadcast.h>
#include <simde/x86/avx512/cast.h>
#include <simde/x86/avx512/cvt.h>
#include <simde/x86/avx512/fmadd.h>
#include <simde/x86/avx512/fnmadd.h>
#include <simde/x86/avx512/load.h>
#include <simde/x86/avx512/loadu.h>
#include <simde/x86/avx512/mov.h>
#include <simde/x86/avx512/mul.h>
#include <simde/x86/avx512/or.h>
#include <simde/x86/avx512/set1.h>
#include <simde/x86/avx512/setzero.h>  // before those that use it without saying so
#include <simde/x86/avx512/shuffle.h>
#include <simde/x86/avx512/slli.h>
#include <simde/x86/avx512/srai.h>
#include <simde/x86/avx512/srl.h>
#include <simde/x86/avx512/srli.h>
#include <simde/x86/avx512/store.h>
#include <simde/x86/avx512/storeu.h>
#include <simde/x86/avx512/xor.h>

#include "backend/cpu/emulated_avx512/missing_intrinsics.h"

// The kernels ask for these; only now, because SIMDe would take them for the compiler's own.
#define __AVX512VNNI__ 1
// Registers of 512 bits do not exist here: what a kernel writes in assembly needs a second body in
// intrinsics under this name.
#define SLUICE_EMULATED_REGISTERS 1
