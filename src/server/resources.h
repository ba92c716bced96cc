// Files that are part of the program: the web page and the OpenAPI document. The build makes their
// bytes into resources.cc (cmake/EmbedFiles.cmake); the server never reads them from a disk.
#pragma once

#include <span>
#include <string_view>

namespace sluice::server {

struct Resource {
  std::string_view name;  // "web/index.html", relative to src/server
  std::string_view bytes;
};

std::span<const Resource> all_resources();

// nullptr if there is none of that name.
inline const Resource* find_resource(std::string_view name) {
  for (const Resource& resource : all_resources()) {
    if (resource.name == name) return &resource;
  }
  return nullptr;
}

}  // namespace sluice::server
