#include "base/switches.h"

#include <cstdlib>

#include "base/check.h"

namespace sluice {
namespace {

constexpr Switch kSwitches[] = {
    {"SLUICE_CPU", "portable|avx2|avxvnni|avx512|avx512vnni|amx",
     "forces the instruction set of the fast CPU backend; unknown or unsupported is an error"},
    {"SLUICE_PREFETCH", "none|NEAR|FAR+NEAR",
     "forces how many bytes ahead its products and attention ask for memory, instead of measuring"},
    {"SLUICE_MODELS", "directory",
     "where models installed with sluice (sprout) are looked up first"},
    {"HF_HUB_CACHE", "directory", "the Hugging Face cache in which org/name is looked up"},
    {"HF_HOME", "directory", "its parent: the cache is HF_HOME/hub when HF_HUB_CACHE is unset"},
    {"HOME", "directory", "the cache is HOME/.cache/huggingface/hub when neither is set"},
    {"NOTIFY_SOCKET", "path", "set by systemd: where sluice serve says that it is ready"},
    {"NO_COLOR", "any value", "no colour on the terminal"},
    {"TERM", "terminal type", "\"dumb\" means no colour and no cursor movement"},
};

}  // namespace

std::span<const Switch> all_switches() { return kSwitches; }

std::optional<std::string> environment(std::string_view name) {
  for (const Switch& entry : kSwitches) {
    if (name != entry.name) continue;
    const char* value = std::getenv(entry.name);
    if (value == nullptr || *value == '\0') return std::nullopt;
    return std::string(value);
  }
  SLUICE_CHECK(false, "environment variable {} is not listed in base/switches.cc", name);
}

}  // namespace sluice
