# The two commands of the README, and the steps they are made of. The build itself is CMake (CMakePresets.json).
JOBS ?= $(shell nproc)

.PHONY: all demo test build package asan fuzz clean

all: build

build:
	@scripts/install_packages.sh test
	@cmake --preset release >build-release.log 2>&1 || { cat build-release.log; exit 1; }
	@rm -f build-release.log
	cmake --build --preset release --parallel $(JOBS)

# Builds, then answers with the model that ships with sluice.
demo: build
	scripts/demo.sh

# All tests, with their counts.
test: build
	scripts/run_tests.sh release

# Unit tests of everything that reads bytes from outside, and of the runtime's parts, under AddressSanitizer and
# UndefinedBehaviorSanitizer. ASAN_TESTS names others.
ASAN_TESTS ?= base_test runtime_parts_test normalise_test output_machine_test checkpoint_test codec_test tokenizer_test \
              model_config_test chat_template_test model_binding_test tool_call_test grammar_test
asan:
	@scripts/install_packages.sh test
	cmake --preset asan >/dev/null
	cmake --build --preset asan --parallel $(JOBS) --target $(ASAN_TESTS)
	scripts/run_tests.sh asan -R "^($$(echo $(ASAN_TESTS) | tr ' ' '|'))$$"

# FUZZ_SECONDS in all, shared by the targets, two at a time.
FUZZ_SECONDS ?= 360
fuzz:
	@scripts/install_packages.sh fuzz
	scripts/fuzz.sh $(FUZZ_SECONDS)

package: build
	cd build/release && cpack -G DEB

clean:
	rm -rf build
