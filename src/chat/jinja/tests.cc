#include "chat/jinja/tests.h"

#include <algorithm>

#include "chat/jinja/error.h"
#include "chat/jinja/filters.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/unicode.h"

namespace sluice::chat::jinja {
namespace {

const Value& one_argument(const char* test, Arguments& arguments, const char* name) {
  return BoundArguments(test, arguments, {name}, 1).at(0);
}

template <bool (*Holds)(const Value&)>
bool simple(Interpreter&, const Value& subject, Arguments& arguments) {
  no_arguments("test", arguments);
  return Holds(subject);
}

template <Operator op>
bool comparison(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  return compare_operation(interpreter, op, subject, one_argument("test", arguments, "other"));
}

bool is_integer(const Value& value) {
  return value.is(Kind::kInteger) || value.is(Kind::kBigInteger);
}
bool is_iterable(const Value& value) {
  // A Loop iterates as well, over what is left of it; nobody tests for that.
  return value.is_undefined() || value.is_string() || value.is(Kind::kLoop) ||
         (value.kind() >= Kind::kList && value.kind() <= Kind::kIterator);
}
// Has a length and elements: undefined has both in Jinja2, the views of a dict lack the elements.
bool is_sequence(const Value& value) {
  return value.is_undefined() || value.is_string() || value.is_sequence() ||
         value.is(Kind::kDict) || value.is(Kind::kRange);
}

int64_t remainder(Interpreter& interpreter, const Value& subject, const Value& divisor) {
  const Value rest = binary_operation(interpreter, Operator::kModulo, subject, divisor);
  if (rest.is_string()) return -1;  // "%"-formatting: neither odd nor even
  return rest.as_real() == 0 ? 0 : rest.as_real() == 1 ? 1 : -1;
}

bool is_odd(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("test", arguments);
  return remainder(interpreter, subject, Value::integer(2)) == 1;
}
bool is_even(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("test", arguments);
  return remainder(interpreter, subject, Value::integer(2)) == 0;
}
bool is_divisible(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  return remainder(interpreter, subject, one_argument("divisibleby", arguments, "num")) == 0;
}
bool is_in(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  return contains(interpreter, one_argument("in", arguments, "seq"), subject);
}
// Identity as far as Python promises it: small numbers and texts aside, the same object.
bool is_same(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const Value& other = one_argument("sameas", arguments, "other");
  if (subject.kind() != other.kind()) return false;
  if (subject.shared() || other.shared()) {
    return subject.is_undefined() ? false : subject.shared() == other.shared();
  }
  return interpreter.equal(subject, other);
}
bool is_filter(Interpreter&, const Value& subject, Arguments& arguments) {
  no_arguments("test", arguments);
  return subject.is_string() && find_filter(subject.view()) != nullptr;
}
bool is_test(Interpreter&, const Value& subject, Arguments& arguments) {
  no_arguments("test", arguments);
  return subject.is_string() && find_test(subject.view()) != nullptr;
}
bool is_lower(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("test", arguments);
  return is_lower_text(interpreter.text_of(subject).view());
}
bool is_upper(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("test", arguments);
  return is_upper_text(interpreter.text_of(subject).view());
}

bool is_true(const Value& value) { return value.is(Kind::kBoolean) && value.as_boolean(); }
bool is_false(const Value& value) { return value.is(Kind::kBoolean) && !value.as_boolean(); }
bool is_boolean(const Value& value) { return value.is(Kind::kBoolean); }
bool is_float(const Value& value) { return value.is(Kind::kFloat); }
bool is_number(const Value& value) { return value.is_number(); }
bool is_string(const Value& value) { return value.is_string(); }
bool is_mapping(const Value& value) { return value.is(Kind::kDict); }
bool is_none(const Value& value) { return value.is_none(); }
bool is_defined(const Value& value) { return !value.is_undefined(); }
bool is_undefined(const Value& value) { return value.is_undefined(); }
bool is_callable(const Value& value) { return value.is_callable() || value.is_undefined(); }
bool is_escaped(const Value& value) { return value.is_markup(); }

constexpr TestRule kTests[] = {
    {"!=", comparison<Operator::kNotEqual>},
    {"<", comparison<Operator::kLess>},
    {"<=", comparison<Operator::kLessEqual>},
    {"==", comparison<Operator::kEqual>},
    {">", comparison<Operator::kGreater>},
    {">=", comparison<Operator::kGreaterEqual>},
    {"boolean", simple<is_boolean>},
    {"callable", simple<is_callable>},
    {"defined", simple<is_defined>},
    {"divisibleby", is_divisible},
    {"eq", comparison<Operator::kEqual>},
    {"equalto", comparison<Operator::kEqual>},
    {"escaped", simple<is_escaped>},
    {"even", is_even},
    {"false", simple<is_false>},
    {"filter", is_filter},
    {"float", simple<is_float>},
    {"ge", comparison<Operator::kGreaterEqual>},
    {"greaterthan", comparison<Operator::kGreater>},
    {"gt", comparison<Operator::kGreater>},
    {"in", is_in},
    {"integer", simple<is_integer>},
    {"iterable", simple<is_iterable>},
    {"le", comparison<Operator::kLessEqual>},
    {"lessthan", comparison<Operator::kLess>},
    {"lower", is_lower},
    {"lt", comparison<Operator::kLess>},
    {"mapping", simple<is_mapping>},
    {"ne", comparison<Operator::kNotEqual>},
    {"none", simple<is_none>},
    {"number", simple<is_number>},
    {"odd", is_odd},
    {"sameas", is_same},
    {"sequence", simple<is_sequence>},
    {"string", simple<is_string>},
    {"test", is_test},
    {"true", simple<is_true>},
    {"undefined", simple<is_undefined>},
    {"upper", is_upper},
};

}  // namespace

const TestRule* find_test(std::string_view name) {
  const auto* found = std::find_if(std::begin(kTests), std::end(kTests),
                                   [&](const TestRule& t) { return t.name == name; });
  return found == std::end(kTests) ? nullptr : found;
}

}  // namespace sluice::chat::jinja
