// Values that carry either a result or an error a user can act on.
//
// Three kinds of failure are kept apart in sluice. Bad input (a file, a request, a flag) is a
// Result: this file. A promise broken among ourselves is a ContractViolation: base/check.h. Inner
// loops have debug-only asserts. The library neither prints nor aborts; only src/cli turns an Error
// into a line.
#pragma once

#include <cassert>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace sluice {

// The classes of failure that callers tell apart; spec/cli.md gives each its exit code.
enum class ErrorCode {
  kFailed,       // exit 1: failed while running (disk full, connection lost)
  kUsage,        // exit 2: the command line or a request is wrong
  kBadInput,     // exit 3: a model or an input file cannot be used
  kDoesNotFit,   // exit 4: memory or disk, known before starting
  kRefused,      // exit 5: a quality gate said no
  kInterrupted,  // exit 130
};

// One line for a person: "WHAT: WHY. REMEDY".
struct Error {
  ErrorCode code = ErrorCode::kFailed;
  std::string what;    // the thing: a file, a tensor, a flag
  std::string why;     // what is wrong with it, with the values seen
  std::string remedy;  // what the user can do; may be empty

  std::string message() const;  // "what: why. remedy"
};

inline std::string Error::message() const {
  std::string text = what;
  if (!why.empty()) text += (text.empty() ? "" : ": ") + why;
  if (!remedy.empty()) text += ". " + remedy;
  return text;
}

inline Error bad_input(std::string what, std::string why, std::string remedy = {}) {
  return {ErrorCode::kBadInput, std::move(what), std::move(why), std::move(remedy)};
}
inline Error usage_error(std::string what, std::string why, std::string remedy = {}) {
  return {ErrorCode::kUsage, std::move(what), std::move(why), std::move(remedy)};
}
inline Error failed(std::string what, std::string why, std::string remedy = {}) {
  return {ErrorCode::kFailed, std::move(what), std::move(why), std::move(remedy)};
}

// A T or an Error. [[nodiscard]]: an ignored error is a bug.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    assert(ok());
    return std::get<0>(state_);
  }
  const T& value() const& {
    assert(ok());
    return std::get<0>(state_);
  }
  T&& value() && {
    assert(ok());
    return std::get<0>(std::move(state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& {
    assert(!ok());
    return std::get<1>(state_);
  }
  Error&& error() && {
    assert(!ok());
    return std::get<1>(std::move(state_));
  }

 private:
  std::variant<T, Error> state_;
};

// Success without a value, or an Error.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : error_(std::move(error)) {}  // NOLINT: implicit

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const& {
    assert(!ok());
    return *error_;
  }
  Error&& error() && {
    assert(!ok());
    return *std::move(error_);
  }

 private:
  std::optional<Error> error_;
};

// Passes an error up: SLUICE_TRY(status_expression);
#define SLUICE_TRY(expression)                                    \
  do {                                                            \
    if (auto sluice_status_ = (expression); !sluice_status_.ok()) \
      return std::move(sluice_status_).error();                   \
  } while (false)

// Binds a value or passes the error up: SLUICE_ASSIGN(auto header, read_header(file));
#define SLUICE_ASSIGN(declaration, expression) \
  SLUICE_ASSIGN_IMPL_(SLUICE_CONCAT_(sluice_result_, __LINE__), declaration, expression)
#define SLUICE_ASSIGN_IMPL_(name, declaration, expression) \
  auto name = (expression);                                \
  if (!name.ok()) return std::move(name).error();          \
  declaration = std::move(name).value()
#define SLUICE_CONCAT_(a, b) SLUICE_CONCAT2_(a, b)
#define SLUICE_CONCAT2_(a, b) a##b

}  // namespace sluice
