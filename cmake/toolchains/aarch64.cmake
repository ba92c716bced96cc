# 64-bit Arm on a Debian machine of another architecture: Debian's cross compiler, the libraries of scripts/check_arm.sh,
# programs run by qemu-user. Used by the preset `aarch64`.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

# A folder of unpacked arm64 packages and not the machine's own: nothing of this build's needs root or can meet an x86 library.
get_filename_component(sluice_sysroot "${CMAKE_CURRENT_LIST_DIR}/../../build/aarch64-sysroot" ABSOLUTE)
set(CMAKE_SYSROOT "${sluice_sysroot}")
set(CMAKE_FIND_ROOT_PATH "${sluice_sysroot}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} "${sluice_sysroot}")
set(ENV{PKG_CONFIG_LIBDIR} "${sluice_sysroot}/usr/lib/aarch64-linux-gnu/pkgconfig:${sluice_sysroot}/usr/share/pkgconfig")

# Tests and the build's own programs go through it.
set(CMAKE_CROSSCOMPILING_EMULATOR "qemu-aarch64-static;-L;${sluice_sysroot}")
