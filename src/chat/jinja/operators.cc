// Comparisons and membership, and the escaping that Markup brings into `+`.
#include "chat/jinja/operators.h"

#include <algorithm>
#include <cstring>

#include "chat/jinja/error.h"

namespace sluice::chat::jinja {
namespace {

const char* comparison_symbol(Operator op) {
  switch (op) {
    case Operator::kLess:
      return "<";
    case Operator::kLessEqual:
      return "<=";
    case Operator::kGreater:
      return ">";
    default:
      return ">=";
  }
}

void require_iterable_right(const Value& container) {
  if (container.kind() < Kind::kList || container.kind() > Kind::kIterator) {
    type_error("argument of type '{}' is not iterable", container.type_name());
  }
}

}  // namespace

bool compare_operation(Interpreter& interpreter, Operator op, const Value& left,
                       const Value& right) {
  if (op == Operator::kIn) return contains(interpreter, right, left);
  if (op == Operator::kNotIn) return !contains(interpreter, right, left);
  if (op == Operator::kEqual) return interpreter.equal(left, right);
  if (op == Operator::kNotEqual) return !interpreter.equal(left, right);
  interpreter.charge(std::min(left.weight(), right.weight()));
  const int order = compare(left, right, comparison_symbol(op));
  switch (op) {
    case Operator::kLess:
      return order < 0;
    case Operator::kLessEqual:
      return order <= 0;
    case Operator::kGreater:
      return order > 0;
    default:
      return order >= 0;
  }
}

bool contains(Interpreter& interpreter, const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::kUndefined:
      return false;
    case Kind::kString: {
      if (!item.is_string()) {
        type_error("'in <string>' requires string as left operand, not {}", item.type_name());
      }
      const std::string_view all = container.view(), part = item.view();
      interpreter.charge_text(all.size());
      // memmem is linear whatever the texts; std::string_view::find is not.
      return part.empty() ||
             (!all.empty() && memmem(all.data(), all.size(), part.data(), part.size()) != nullptr);
    }
    case Kind::kDict:
      if (!item.is_string()) interpreter.charge(container.as<Dict>().members.size());
      return container.as<Dict>().find(item) != nullptr;
    default:
      break;
  }
  require_iterable_right(container);
  auto& sequence = container.as<Sequence>();
  if (container.is(Kind::kIterator)) {
    Value candidate;
    while (sequence.next(candidate)) {
      if (interpreter.equal(candidate, item)) return true;
    }
    return false;
  }
  for (const Value& candidate : sequence.items) {
    if (interpreter.equal(candidate, item)) return true;
  }
  return false;
}

Text escape_html(const Text& text) {
  TextBuilder builder;
  text.for_each_run([&](std::string_view piece, bool data) {
    size_t plain = 0;
    for (size_t i = 0; i < piece.size(); ++i) {
      const char* replacement = nullptr;
      switch (piece[i]) {
        case '&':
          replacement = "&amp;";
          break;
        case '<':
          replacement = "&lt;";
          break;
        case '>':
          replacement = "&gt;";
          break;
        case '\'':
          replacement = "&#39;";
          break;
        case '"':
          replacement = "&#34;";
          break;
        default:
          continue;
      }
      builder.append(piece.substr(plain, i - plain), data);
      builder.append(replacement, data);
      plain = i + 1;
    }
    builder.append(piece.substr(plain), data);
  });
  return builder.finish();
}

}  // namespace sluice::chat::jinja
