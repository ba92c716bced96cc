// A JSON Schema taken apart into alternatives without references and combinations.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace sluice::chat::grammar {

// kUsage, with the place: "schema /properties/a: ...".
Error schema_error(const std::string& path, std::string why, std::string remedy = {});
Error dangling_reference(const std::string& reference, const std::string& path);
// The reference, if nothing else in `schema` restricts; else nullptr.
const std::string* pure_reference(const Json& schema);

class SchemaAlternatives {
 public:
  // Borrows the document in which references are looked up.
  explicit SchemaAlternatives(const Json& root) : root_(root) {}

  // Each alternative is a boolean, an object with nothing but "$ref" (and annotations), or one
  // without anyOf, oneOf, allOf and $ref, of which all keywords hold together. References stay as
  // long as nothing is joined to them: that is how recursion ends. None: nothing is valid.
  Result<std::vector<Json>> of(const Json& schema, const std::string& path) {
    return expand(schema, path, 0);
  }
  // One more schema was looked at; an error once they are too many.
  Status spend(const std::string& path);

 private:
  Result<std::vector<Json>> expand(const Json& schema, const std::string& path, int depth);
  Result<std::vector<Json>> join(const std::vector<Json>& a, const std::vector<Json>& b,
                                 const std::string& path, int depth);
  Result<std::vector<Json>> whole(const Json& way, const std::string& path, int depth);

  const Json& root_;
  int64_t work_ = 0;
};

}  // namespace sluice::chat::grammar
