#include "chat/calls/argument_writer.h"

namespace sluice::chat {

void ArgumentWriter::begin(std::string& out) {
  out += '{';
  open_ = true;
  in_string_ = false;
  first_ = true;
}

void ArgumentWriter::key(std::string_view key, std::string& out) {
  if (!first_) out += ", ";
  first_ = false;
  append_json_string(key, out);
  out += ": ";
}

void ArgumentWriter::member(std::string_view name, std::string_view json, std::string& out) {
  key(name, out);
  out += json;
}

void ArgumentWriter::begin_string(std::string_view name, std::string& out) {
  key(name, out);
  out += '"';
  in_string_ = true;
}

void ArgumentWriter::append_string(std::string_view text, std::string& out) {
  std::string quoted;
  append_json_string(text, quoted);
  out.append(quoted, 1, quoted.size() - 2);
}

void ArgumentWriter::end_string(std::string& out) {
  out += '"';
  in_string_ = false;
}

void ArgumentWriter::end(std::string& out) {
  out += '}';
  open_ = false;
}

std::string ArgumentWriter::completion() const {
  if (!open_) return {};
  return in_string_ ? "\"}" : "}";
}

}  // namespace sluice::chat
