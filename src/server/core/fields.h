// Reads the fields of a request body: types before values, every complaint names its field.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace sluice::server {

// The body of a request: a JSON object, at most 64 deep (serving-openai.md 4.1).
Result<Json> parse_body(std::string_view body);

struct RealRange {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false;
};
struct IntegerRange {
  int64_t low = std::numeric_limits<int64_t>::min();
  int64_t high = std::numeric_limits<int64_t>::max();
};

// One object. The first complaint is kept and reading goes on, so that an adapter reads as a list
// of fields; status() tells it at the end. A null is an absent field.
class Fields {
 public:
  // `object` must outlive this. `where` is put before names: "stream_options".
  explicit Fields(const Json& object, std::string where = {});

  const Json* any(std::string_view name);
  std::optional<double> real(std::string_view name, RealRange range = {});
  // Integral floats are integers: 16.0.
  std::optional<int64_t> integer(std::string_view name, IntegerRange range = {});
  std::optional<bool> boolean(std::string_view name);
  std::optional<std::string> string(std::string_view name);
  const Json* object(std::string_view name);
  const Json* array(std::string_view name);
  // A string alone, or an array of them.
  std::vector<std::string> strings(std::string_view name, size_t most);
  std::vector<int32_t> ids(std::string_view name, int64_t vocabulary);

  void ignore(std::initializer_list<std::string_view> names);
  // A field we know and cannot honour: present and neither null, false nor 0, it is an error.
  void refuse(std::string_view name, std::string_view why);

  void complain(std::string_view name, std::string why, std::string remedy = {});
  void complain(Error error);
  Status status() const;
  std::vector<std::string> unknown() const;  // members nobody asked for

 private:
  std::string path(std::string_view name) const;

  const Json& object_;
  const std::string where_;
  std::set<std::string, std::less<>> known_;
  std::optional<Error> error_;
};

// An integer by value: 16, 16.0, 1.6e1. Nothing for other kinds and fractions.
std::optional<int64_t> integral(const Json& value);

}  // namespace sluice::server
