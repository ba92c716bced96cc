#include "chat/jinja/text.h"

#include "base/check.h"

namespace sluice::chat::jinja {

void TextBuffer::append(std::string_view text, bool data) {
  if (text.empty()) return;
  bytes.append(text);
  if (!runs.empty() && runs.back().data == data) {
    runs.back().end = bytes.size();
  } else {
    runs.push_back({bytes.size(), data});
  }
}

Text::Text(std::string_view text, bool data) {
  if (text.empty()) return;
  buffer_ = std::make_shared<TextBuffer>();
  buffer_->append(text, data);
  end_ = text.size();
}

Text::Text(std::shared_ptr<TextBuffer> whole)
    : buffer_(std::move(whole)), end_(buffer_->bytes.size()) {}

bool Text::has_data() const {
  bool any = false;
  for_each_run([&](std::string_view, bool data) { any = any || data; });
  return any;
}

Text Text::slice(size_t begin, size_t end) const {
  SLUICE_CHECK(begin <= end && end <= size(), "slice {}..{} of {}", begin, end, size());
  if (begin == end) return {};
  Text part = *this;
  part.begin_ = begin_ + begin;
  part.end_ = begin_ + end;
  return part;
}

Text Text::slice(std::string_view part) const {
  if (part.empty()) return {};
  const size_t begin = static_cast<size_t>(part.data() - view().data());
  return slice(begin, begin + part.size());
}

bool Text::grows_in_place(const Text& tail) const {
  // Growing a large buffer for the sake of a short slice at its end would copy what nobody asked
  // for.
  return !buffer_->frozen && end_ == buffer_->bytes.size() && size() * 2 >= end_ &&
         buffer_ != tail.buffer_;
}

size_t Text::copied_by_plus(const Text& tail) const {
  if (empty() || tail.empty()) return 0;
  return grows_in_place(tail) ? tail.size() : size() + tail.size();
}

Text Text::plus(const Text& tail) const {
  if (tail.empty()) return *this;
  if (empty()) return tail;
  if (!grows_in_place(tail)) {
    TextBuilder builder;
    builder.append(*this);
    builder.append(tail);
    return builder.finish();
  }
  tail.for_each_run([&](std::string_view piece, bool data) { buffer_->append(piece, data); });
  Text joined = *this;
  joined.end_ = buffer_->bytes.size();
  return joined;
}

}  // namespace sluice::chat::jinja
