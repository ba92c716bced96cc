// A string that knows which of its bytes came from the request.
//
// A Text is a view into a shared, append-only buffer, so slices cost nothing, and `a ~ b` in a loop
// is amortised linear: the text whose end is the buffer's end grows in place, while shorter texts
// keep seeing their own part.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::chat::jinja {

// Bytes with their origin as runs: run i covers [end of run i-1, end). Neighbours differ in `data`.
struct TextBuffer {
  struct Run {
    size_t end;
    bool data;
  };
  std::string bytes;
  std::vector<Run> runs;
  bool frozen = false;  // a constant of the template, read by many threads: never grown

  void append(std::string_view text, bool data);
};

class Text {
 public:
  Text() = default;
  Text(std::string_view text, bool data);
  explicit Text(std::shared_ptr<TextBuffer> whole);

  std::string_view view() const {
    return buffer_ ? std::string_view(buffer_->bytes).substr(begin_, size()) : std::string_view();
  }
  size_t size() const { return end_ - begin_; }
  bool empty() const { return end_ == begin_; }
  bool has_data() const;  // any byte of it

  // Bytes [begin, end) of this text, both within size(); shares the buffer.
  Text slice(size_t begin, size_t end) const;
  // `part` must be a view into view().
  Text slice(std::string_view part) const;

  // This text followed by `tail`; in place where that disturbs nobody.
  Text plus(const Text& tail) const;
  // What plus() copies: nothing, the tail, or both.
  size_t copied_by_plus(const Text& tail) const;

  // Calls visit(std::string_view piece, bool data) for each stretch of one origin.
  template <typename Visit>
  void for_each_run(Visit&& visit) const {
    if (empty()) return;
    const auto& runs = buffer_->runs;
    auto run = std::upper_bound(runs.begin(), runs.end(), begin_,
                                [](size_t at, const TextBuffer::Run& r) { return at < r.end; });
    for (size_t at = begin_; at < end_; ++run) {
      const size_t stop = std::min(run->end, end_);
      visit(std::string_view(buffer_->bytes).substr(at, stop - at), run->data);
      at = stop;
    }
  }

 private:
  bool grows_in_place(const Text& tail) const;

  std::shared_ptr<TextBuffer> buffer_;
  size_t begin_ = 0, end_ = 0;
};

// Collects pieces into one Text.
class TextBuilder {
 public:
  void append(std::string_view text, bool data) { buffer().append(text, data); }
  void append(const Text& text) {
    text.for_each_run([&](std::string_view piece, bool data) { append(piece, data); });
  }
  size_t size() const { return buffer_ ? buffer_->bytes.size() : 0; }
  Text finish() { return buffer_ ? Text(std::move(buffer_)) : Text(); }

 private:
  TextBuffer& buffer() {
    if (!buffer_) buffer_ = std::make_shared<TextBuffer>();
    return *buffer_;
  }
  std::shared_ptr<TextBuffer> buffer_;
};

}  // namespace sluice::chat::jinja
