#!/bin/sh
# Builds sluice for 64-bit Arm on a machine of another architecture and runs there, under qemu-user, the tests of the
# arithmetic and one answer of the demo model. Usage: scripts/check_arm.sh [JOBS]
set -eu
cd "$(dirname "$0")/.."
jobs=${1:-$(nproc)}
scripts/install_packages.sh test arm

# The arm64 libraries, unpacked into a folder: apt with a state of its own, so that neither root nor a second architecture
# on the machine is needed.
sysroot=build/aarch64-sysroot
if [ ! -e "$sysroot/complete" ]; then
  state=$(pwd)/build/aarch64-packages
  mkdir -p "$sysroot" "$state/lists/partial" "$state/archives/partial"
  : >"$state/status"
  arm_apt() {
    apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Install-Recommends=false \
      -o APT::Sandbox::User=root -o Debug::NoLocking=true -o Dir::State="$state" -o Dir::State::status="$state/status" \
      -o Dir::State::lists="$state/lists" -o Dir::Cache="$state" -o Dir::Cache::archives="$state/archives" "$@"
  }
  # Libraries only: what is of the build machine's own architecture is not linked.
  packages="libc6-dev libstdc++-12-dev libgtest-dev libgmock-dev libzstd-dev $(
    sed -nE 's/^((lib|prometheus)[^ ]*-dev)$/\1/p' scripts/packages.txt)"
  arm_apt update
  # shellcheck disable=SC2086 # the list is meant to be split
  arm_apt --download-only --yes install $packages
  for package in "$state"/archives/*.deb; do dpkg-deb --extract "$package" "$sysroot"; done
  # Links like /lib/aarch64-linux-gnu/libm.so.6 would point into the build machine.
  find "$sysroot" -type l -lname '/*' | while read -r link; do
    ln -snf "$(realpath --no-symlinks "$sysroot")$(readlink "$link")" "$link"
  done
  rm -r "$state"
  touch "$sysroot/complete"
fi

cmake --preset aarch64 >/dev/null
cmake --build --preset aarch64 --parallel "$jobs" --target codec_test matmul_test cpu_backend_test cpu_suite_test
scripts/run_tests.sh aarch64 -R '^(codec|matmul|cpu_backend|cpu_suite)_test$'

cmake --build --preset aarch64 --parallel "$jobs" --target sluice
qemu-aarch64-static -L "$sysroot" build/aarch64/bin/sluice run models/sprout Hello --max-tokens 16 --seed 1
