// How the file of a vision tower is named after its text model, so that a folder may hold several
// models with their towers.
#pragma once

#include <string>
#include <string_view>

namespace sluice::checkpoint {

// Of the model STEM.gguf: "mmproj-STEM-BF16.gguf".
std::string tower_name(std::string_view stem, std::string_view type);

// The same, with a type or without. A tower of such a name belongs to that model and to no other of
// the folder; towers of other names belong to all that have none of their own.
bool is_tower_name(std::string_view file_name, std::string_view stem);

}  // namespace sluice::checkpoint
