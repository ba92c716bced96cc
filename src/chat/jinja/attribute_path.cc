#include "chat/jinja/attribute_path.h"

#include "chat/jinja/operators.h"
#include "chat/jinja/unicode.h"

namespace sluice::chat::jinja {

std::vector<Value> attribute_parts(const Value& attribute) {
  if (attribute.is_none()) return {};
  if (!attribute.is_string()) return {attribute};
  std::vector<Value> parts;
  std::string_view rest = attribute.view();
  while (true) {
    const size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    const bool index =
        !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
    parts.push_back(index ? Value::integer_from_digits(part, false) : Value::string(part));
    if (dot == std::string_view::npos) return parts;
    rest.remove_prefix(dot + 1);
  }
}

Value follow(Interpreter& interpreter, Value item, const std::vector<Value>& parts,
             const Value* otherwise) {
  for (const Value& part : parts) {
    interpreter.charge(1);
    item = get_item(interpreter, item, part);
    if (otherwise && !otherwise->is_none() && item.is_undefined()) item = *otherwise;
  }
  return item;
}

Value without_case(Interpreter& interpreter, const Value& value) {
  if (!value.is_string()) return value;
  interpreter.charge(value.text().size() / 16);
  interpreter.charge_memory(value.text().size());
  return Value::string(change_case(value.text(), Case::kLower));
}

}  // namespace sluice::chat::jinja
