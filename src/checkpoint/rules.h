// Errors of the container readers: file, tensor, what is wrong, the rule's number, and what to do.
// Rules ST-n are those of spec/formats-safetensors.md 1.4, GG-n those of spec/formats-gguf.md 1.2.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::checkpoint {

inline constexpr std::string_view kFetchAgain =
    "The file is damaged or was not copied whole: download it again";
inline constexpr std::string_view kWriteAgain =
    "The file was not written by the rules of its format: convert the model again or report it to "
    "its publisher";

inline constexpr std::string_view kAnotherBuild =
    "Take another build of the model, for example Q4_K_M or Q8_0";

// `text` in double quotes, printable whatever its bytes are, cut after 96 bytes: names come from
// files.
std::string quote(std::string_view text);

// FILE: WHY (rule RULE). REMEDY
Error file_violation(std::string_view rule, std::string_view file, std::string why,
                     std::string_view remedy = kFetchAgain);
// FILE, tensor "NAME": WHY (rule RULE). REMEDY
Error tensor_violation(std::string_view rule, std::string_view file, std::string_view tensor,
                       std::string why, std::string_view remedy = kWriteAgain);

}  // namespace sluice::checkpoint
