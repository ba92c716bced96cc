// Interpreter: expressions, and calls of macros.
#include <algorithm>

#include "chat/jinja/error.h"
#include "chat/jinja/filters.h"
#include "chat/jinja/interpreter.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/print.h"
#include "chat/jinja/scoped.h"
#include "chat/jinja/tests.h"

namespace sluice::chat::jinja {

Value Interpreter::evaluate(const Expr& expr) {
  const Step step(*this, expr.line, expr.column);
  switch (expr.kind) {
    case ExprKind::kConstant:
      return expr.constant;
    case ExprKind::kName:
      return evaluate_name(expr);
    case ExprKind::kList:
      return new_list(evaluate_all(expr.children));
    case ExprKind::kTuple:
      return new_list(evaluate_all(expr.children), Kind::kTuple);
    case ExprKind::kDict:
      return evaluate_dict(expr);
    case ExprKind::kNot:
      return Value::boolean(!truthy(evaluate(*expr.children[0])));
    case ExprKind::kNegative: {
      const Value value = evaluate(*expr.children[0]);
      step.here();
      return negative(value);
    }
    case ExprKind::kPositive: {
      const Value value = evaluate(*expr.children[0]);
      step.here();
      return positive(value);
    }
    case ExprKind::kBinary: {
      const Value left = evaluate(*expr.children[0]);
      const Value right = evaluate(*expr.children[1]);
      step.here();
      return binary_operation(*this, expr.op, left, right);
    }
    case ExprKind::kConcat:
      return evaluate_concat(expr);
    case ExprKind::kCompare:
      return evaluate_compare(expr);
    case ExprKind::kAnd: {
      Value left = evaluate(*expr.children[0]);
      return truthy(left) ? evaluate(*expr.children[1]) : left;
    }
    case ExprKind::kOr: {
      Value left = evaluate(*expr.children[0]);
      return truthy(left) ? left : evaluate(*expr.children[1]);
    }
    case ExprKind::kConditional:
      return evaluate_conditional(expr);
    case ExprKind::kAttribute: {
      const Value owner = evaluate(*expr.children[0]);
      step.here();
      return get_attribute(*this, owner, expr.constant);
    }
    case ExprKind::kSubscript: {
      const Value owner = evaluate(*expr.children[0]);
      const Value key = evaluate(*expr.children[1]);
      step.here();
      return get_item(*this, owner, key);
    }
    case ExprKind::kSlice:
      return evaluate_slice(expr);
    case ExprKind::kCall:
      return evaluate_call(expr, nullptr);
    case ExprKind::kFilter:
      return evaluate_filter(expr, evaluate(*expr.children[0]));
    case ExprKind::kTest: {
      const Value subject = evaluate(*expr.children[0]);
      Arguments arguments = evaluate_arguments(expr.call);
      step.here();
      return Value::boolean(expr.test->holds(*this, subject, arguments));
    }
  }
  return {};
}

Value Interpreter::evaluate_name(const Expr& expr) {
  for (Scope* scope = scope_.get(); scope; scope = scope->parent.get()) {
    if (const Value* value = scope->find(expr.symbol)) return *value;
  }
  const auto symbol = static_cast<size_t>(expr.symbol);
  const Value& value = outer_[symbol];
  return value.is_undefined() ? undefined_variable(program_.symbols[symbol]) : value;
}

std::vector<Value> Interpreter::evaluate_all(const std::vector<ExprPtr>& exprs) {
  std::vector<Value> values;
  values.reserve(exprs.size());
  for (const ExprPtr& expr : exprs) values.push_back(evaluate(*expr));
  return values;
}

Value Interpreter::evaluate_dict(const Expr& expr) {
  auto dict = std::make_shared<Dict>();
  for (size_t i = 0; i < expr.children.size(); i += 2) {
    Value key = evaluate(*expr.children[i]);
    dict->set(std::move(key), evaluate(*expr.children[i + 1]));
  }
  charge_memory(dict->members.size() * 2 * sizeof(Value));
  return Value::object(Kind::kDict, std::move(dict));
}

// `a ~ b ~ c`: str() of each; an undefined is empty.
Value Interpreter::evaluate_concat(const Expr& expr) {
  std::vector<Text> parts;
  for (const ExprPtr& child : expr.children) parts.push_back(text_of(evaluate(*child)));
  return joined_text(parts);
}

Value Interpreter::joined_text(const std::vector<Text>& parts) {
  Text joined;
  for (const Text& part : parts) {
    const size_t copied = joined.copied_by_plus(part);
    charge_memory(copied);
    charge_text(copied);
    joined = joined.plus(part);
  }
  return Value::string(std::move(joined));
}

Value Interpreter::evaluate_compare(const Expr& expr) {
  Value left = evaluate(*expr.children[0]);
  for (size_t i = 0; i < expr.ops.size(); ++i) {
    Value right = evaluate(*expr.children[i + 1]);
    line_ = expr.line;
    column_ = expr.column;
    if (!compare_operation(*this, expr.ops[i], left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Interpreter::evaluate_conditional(const Expr& expr) {
  if (truthy(evaluate(*expr.children[0]))) return evaluate(*expr.children[1]);
  if (expr.children[2]) return evaluate(*expr.children[2]);
  return undefined_hint(
      fmt::format("the inline if-expression on line {} evaluated to false and no else "
                  "section was defined.",
                  expr.line));
}

Value Interpreter::evaluate_slice(const Expr& expr) {
  const Value owner = evaluate(*expr.children[0]);
  Value bounds[3] = {Value::none(), Value::none(), Value::none()};
  for (size_t i = 0; i < 3; ++i) {
    if (expr.children[i + 1]) bounds[i] = evaluate(*expr.children[i + 1]);
  }
  line_ = expr.line;
  column_ = expr.column;
  return get_slice(*this, owner, bounds[0], bounds[1], bounds[2]);
}

Value Interpreter::evaluate_call(const Expr& expr, const Value* caller) {
  const Value callee = evaluate(*expr.children[0]);
  Arguments arguments = evaluate_arguments(expr.call);
  if (caller) arguments.keyword.emplace_back("caller", *caller);
  line_ = expr.line;
  column_ = expr.column;
  return call(callee, arguments);
}

Value Interpreter::evaluate_filter(const Expr& expr, const Value& subject) {
  Arguments arguments = evaluate_arguments(expr.call);
  line_ = expr.line;
  column_ = expr.column;
  return expr.filter->apply(*this, subject, arguments);
}

Arguments Interpreter::evaluate_arguments(const CallArguments& call) {
  Arguments arguments;
  arguments.positional = evaluate_all(call.positional);
  for (const auto& [name, value] : call.keyword)
    arguments.keyword.emplace_back(name, evaluate(*value));
  if (call.spread) {
    for (Value& item : items_of(evaluate(*call.spread)))
      arguments.positional.push_back(std::move(item));
  }
  if (call.keyword_spread) {
    const Value extra = evaluate(*call.keyword_spread);
    if (!extra.is(Kind::kDict))
      type_error("argument after ** must be a mapping, not {}", extra.type_name());
    for (const auto& [name, value] : extra.as<Dict>().members) {
      if (!name.is_string()) type_error("keywords must be strings");
      for (const auto& [known, given] : arguments.keyword) {
        if (known == name.view())
          type_error("got multiple values for keyword argument '{}'", known);
      }
      arguments.keyword.emplace_back(name.view(), value);
    }
    charge(arguments.keyword.size() * arguments.keyword.size() / 16);
  }
  return arguments;
}

Value Interpreter::call_macro(const std::shared_ptr<Object>& object, Arguments& arguments) {
  const auto& macro = static_cast<MacroObject&>(*object);
  const int line = line_, column = column_;
  const Step step(*this, line, column);
  Text text = in_scope(macro.closure, [&] {
    bind_parameters(macro, arguments);
    return captured([&] { execute(macro.definition->body); });
  });
  step.here();
  return Value::string(std::move(text));
}

void Interpreter::set_special(std::string_view name, Value value) {
  const auto found = std::find(program_.symbols.begin(), program_.symbols.end(), name);
  if (found == program_.symbols.end()) return;  // nobody reads it
  scope_->set(static_cast<int>(found - program_.symbols.begin()), std::move(value));
}

namespace {

std::string macro_name(const MacroObject& macro) {
  return macro.name.empty() ? "None" : python_quoted(macro.name);
}

}  // namespace

// Parameters from the left, the rest by name, then the defaults, in order: a default may use an
// earlier parameter.
void Interpreter::bind_parameters(const MacroObject& macro, Arguments& arguments) {
  const Statement& definition = *macro.definition;
  auto& keyword = arguments.keyword;
  const auto take_keyword = [&](std::string_view name, Value& value) {
    for (auto it = keyword.begin(); it != keyword.end(); ++it) {
      if (it->first != name) continue;
      value = std::move(it->second);
      keyword.erase(it);
      return true;
    }
    return false;
  };
  const size_t positional = arguments.positional.size();
  bool names_caller = false;
  std::vector<const Parameter*> missing;
  for (size_t i = 0; i < definition.parameters.size(); ++i) {
    const Parameter& parameter = definition.parameters[i];
    names_caller = names_caller || parameter.name == "caller";
    Value value;
    if (i < positional) {
      scope_->set(parameter.symbol, arguments.positional[i]);
    } else if (take_keyword(parameter.name, value)) {
      scope_->set(parameter.symbol, std::move(value));
    } else {
      missing.push_back(&parameter);
      scope_->set(parameter.symbol, undefined_hint(fmt::format("parameter {} was not provided",
                                                               python_quoted(parameter.name))));
    }
  }
  if (definition.reads_caller && !names_caller) {
    Value caller;
    if (!take_keyword("caller", caller) || caller.is_none())
      caller = undefined_hint("No caller defined");
    set_special("caller", std::move(caller));
  }
  if (definition.reads_kwargs) {
    auto dict = std::make_shared<Dict>();
    for (auto& [name, value] : keyword) dict->set(Value::string(name), std::move(value));
    set_special("kwargs", Value::object(Kind::kDict, std::move(dict)));
  } else if (!keyword.empty()) {
    for (const auto& [name, value] : keyword) {
      if (name != "caller") continue;
      type_error(
          "macro {} was invoked with two values for the special caller argument. This is most "
          "likely a bug.",
          macro_name(macro));
    }
    type_error("macro {} takes no keyword argument {}", macro_name(macro),
               python_quoted(keyword[0].first));
  }
  std::vector<Value> rest;
  for (size_t i = definition.parameters.size(); i < positional; ++i)
    rest.push_back(arguments.positional[i]);
  if (definition.reads_varargs) {
    set_special("varargs", Value::tuple(std::move(rest)));
  } else if (!rest.empty()) {
    type_error("macro {} takes not more than {} argument(s)", macro_name(macro),
               definition.parameters.size());
  }
  for (const Parameter* parameter : missing) {
    if (parameter->default_value)
      scope_->set(parameter->symbol, evaluate(*parameter->default_value));
  }
}

}  // namespace sluice::chat::jinja
