// Binding an edited checkpoint and looking at what is said about it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "checkpoint/checkpoint.h"
#include "model/binding.h"
#include "model/editable_model.h"

namespace sluice::test {

struct Report {
  std::unique_ptr<checkpoint::Checkpoint> file;  // the binding borrows from it
  std::optional<model::Binding> binding;         // nothing: bind() failed
  std::string error;

  const model::Binding* operator->() const { return &binding.value(); }
  // All messages of a severity with their tensors, one a line.
  std::string messages(model::Problem::Severity severity) const;
};

// Throws if the container cannot be opened.
Report bind_folder(const std::filesystem::path& folder);
Report bind_edited(const EditableModel& edited);  // written to a temporary folder

}  // namespace sluice::test
