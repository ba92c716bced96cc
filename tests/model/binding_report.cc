#include "model/binding_report.h"

#include <stdexcept>

#include "support/paths.h"

namespace sluice::test {

std::string Report::messages(model::Problem::Severity severity) const {
  std::string text;
  for (const model::Problem& problem : binding.value().problems) {
    if (problem.severity == severity) text += problem.tensor + ": " + problem.message + "\n";
  }
  return text;
}

Report bind_folder(const std::filesystem::path& folder) {
  auto opened = checkpoint::Checkpoint::open(folder);
  if (!opened.ok()) throw std::runtime_error(opened.error().message());
  Report report;
  report.file = std::make_unique<checkpoint::Checkpoint>(*std::move(opened));
  auto bound = model::bind(*report.file);
  if (bound.ok()) {
    report.binding = *std::move(bound);
  } else {
    report.error = bound.error().message();
  }
  return report;
}

Report bind_edited(const EditableModel& edited) {
  const TemporaryFolder folder;  // the mapping outlives the file's name
  edited.write(folder.path());
  return bind_folder(folder.path());
}

}  // namespace sluice::test
