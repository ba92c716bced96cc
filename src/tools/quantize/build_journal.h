// The journal of a build that is being written: what was asked, and which tensors are whole, with a
// hash of their bytes and the errors that were measured. The next run goes on from it after a kill
// (docs/decisions/builds-are-written-beside.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "checkpoint/kept_tensors.h"
#include "tools/quantize/journal_lines.h"

namespace sluice::quantize {

class BuildJournal {
 public:
  using Notice = std::function<void(const std::string&)>;

  // Opens the journal in the folder `staging`, or begins one. What lies there of another source,
  // request or program is removed with a notice; so is all but the weights, since it is made again
  // in no time. Errors: another process is writing there at this moment (kUsage).
  static Result<BuildJournal> open(const std::filesystem::path& staging,
                                   const BuildIdentity& identity, const Notice& notice);
  BuildJournal(BuildJournal&& other) noexcept;
  BuildJournal& operator=(BuildJournal&& other) noexcept;
  ~BuildJournal();

  // The earlier run's tensors, in the writer's order.
  const std::vector<JournalEntry>& entries() const { return parsed_.entries; }
  // Whether the entry of a number is of that name and of these bytes; borrows the journal.
  checkpoint::IsIntact is_intact() const;
  // Keeps the first `tensors` entries of `total` tensors and says what becomes of the others.
  Status begin(size_t tensors, size_t total, const Notice& notice);

  // The bytes of the tensor at hand, in order, as they go to the writer.
  void take(std::span<const std::byte> bytes);
  // They are all with the writer: a kill from here on does not lose the tensor.
  Status add(const std::string& tensor, const convert::ErrorSum& error,
             const std::optional<TensorReport::OutputError>& output_error = {});

  // Tensors that are whole, those of earlier runs included.
  size_t finished() const { return finished_; }

  // The build is whole: the journal goes.
  Status remove();

 private:
  BuildJournal();
  Status start_over(const BuildIdentity& identity);
  Status write_line(const std::string& line);

  struct Hasher;
  std::filesystem::path file_;
  int descriptor_ = -1;  // locked while this object lives
  ParsedJournal parsed_;
  uint64_t chain_ = 0;  // of the last line that is written
  size_t finished_ = 0;
  std::unique_ptr<Hasher> hasher_;
};

}  // namespace sluice::quantize
