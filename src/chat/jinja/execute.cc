// Interpreter: statements.
#include "chat/jinja/error.h"
#include "chat/jinja/interpreter.h"
#include "chat/jinja/scoped.h"
#include "chat/jinja/unicode.h"

namespace sluice::chat::jinja {

Flow Interpreter::execute(const Block& block) {
  for (const auto& statement : block) {
    const Flow flow = execute(*statement);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Flow Interpreter::execute(const Statement& statement) {
  const Step step(*this, statement.line, statement.column);
  switch (statement.kind) {
    case StatementKind::kText:
      write(statement.text);
      break;
    case StatementKind::kPrint:
      for (const ExprPtr& expr : statement.expressions) print(evaluate(*expr));
      break;
    case StatementKind::kIf:
      return execute_if(statement);
    case StatementKind::kFor:
      return execute_for(statement);
    case StatementKind::kSet: {
      Value value = evaluate(*statement.expressions[0]);
      step.here();
      assign(statement.target, std::move(value));
      break;
    }
    case StatementKind::kSetBlock:
      return execute_set_block(statement);
    case StatementKind::kMacro:
      define_macro(statement);
      break;
    case StatementKind::kCall:
      execute_call(statement);
      break;
    case StatementKind::kFilterBlock:
      return execute_filter_block(statement);
    case StatementKind::kWith:
      return execute_with(statement);
    case StatementKind::kGeneration:
      execute_generation(statement);
      break;
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNormal;
}

void Interpreter::write(const Text& text) {
  charge_text(text.size());
  if (out_->bytes.size() + text.size() > limits_.output_bytes) {
    raise("Unsupported", "the rendered text is longer than {} MiB", limits_.output_bytes >> 20);
  }
  charge_memory(text.size());
  text.for_each_run([&](std::string_view piece, bool data) { out_->append(piece, data); });
}

void Interpreter::print(const Value& value) { write(text_of(value)); }

Flow Interpreter::execute_if(const Statement& statement) {
  for (const Statement::Branch& branch : statement.branches) {
    if (!branch.condition || truthy(evaluate(*branch.condition))) return execute(branch.body);
  }
  return Flow::kNormal;
}

// A source of items, one at a time. The filter of the loop runs when its item is asked for, in a
// scope of its own.
std::function<bool(Value&)> Interpreter::puller(const Statement& statement, const Value& iterable,
                                                const std::shared_ptr<Scope>& outer) {
  Value source = iterable;
  if (!iterable.is(Kind::kIterator)) source = Value::iterator(items_of(iterable));
  return [this, &statement, source, outer](Value& item) {
    while (source.as<Sequence>().next(item)) {
      charge(1);
      const Expr* filter = statement.expressions[1].get();
      if (!filter) return true;
      const bool wanted = in_scope(outer, [&] {
        assign(statement.target, item);
        return truthy(evaluate(*filter));
      });
      if (wanted) return true;
    }
    return false;
  };
}

Flow Interpreter::execute_for(const Statement& statement) {
  const Value iterable = evaluate(*statement.expressions[0]);
  line_ = statement.line;
  column_ = statement.column;
  auto loop = std::make_shared<LoopObject>();
  loop->pull = puller(statement, iterable, scope_);
  if (!statement.expressions[1] && !iterable.is(Kind::kIterator))
    loop->known_length = length_of(iterable);
  bool any = false;
  const Flow flow = execute_loop_body(statement, loop, any);
  loop->pull = nullptr;  // it refers to this call
  if (flow != Flow::kNormal || any || statement.else_body.empty()) return flow;
  return in_scope(scope_, [&] { return execute(statement.else_body); });
}

Flow Interpreter::execute_loop_body(const Statement& statement,
                                    const std::shared_ptr<LoopObject>& loop, bool& any) {
  while (loop->advance()) {
    const Flow flow = in_scope(scope_, [&] {
      set_special("loop", Value::object(Kind::kLoop, loop));
      assign(statement.target, loop->current);
      return execute(statement.body);
    });
    if (flow == Flow::kBreak) break;
    // Jinja2 notes an iteration at the end of the body: after only `continue`s the else part runs.
    any = any || flow == Flow::kNormal;
  }
  return Flow::kNormal;
}

Flow Interpreter::execute_set_block(const Statement& statement) {
  Flow flow = Flow::kNormal;
  const Text text =
      captured([&] { flow = in_scope(scope_, [&] { return execute(statement.body); }); });
  if (flow != Flow::kNormal) return flow;
  Value value = Value::string(text);
  if (const Expr* filter = statement.expressions[0].get())
    value = filter_text(*filter, std::move(value));
  assign(statement.target, std::move(value));
  return flow;
}

Flow Interpreter::execute_filter_block(const Statement& statement) {
  Flow flow = Flow::kNormal;
  const Text text =
      captured([&] { flow = in_scope(scope_, [&] { return execute(statement.body); }); });
  if (flow != Flow::kNormal) return flow;
  print(filter_text(*statement.expressions[0], Value::string(text)));
  return flow;
}

// A chain of filters whose innermost subject is the text of a block.
Value Interpreter::filter_text(const Expr& filter, Value text) {
  const Step step(*this, filter.line, filter.column);
  if (filter.children[0]) text = filter_text(*filter.children[0], std::move(text));
  return evaluate_filter(filter, text);
}

Flow Interpreter::execute_with(const Statement& statement) {
  // The values are evaluated outside: `with a = 1, b = a` does not see the new a.
  std::vector<Value> values = evaluate_all(statement.expressions);
  return in_scope(scope_, [&] {
    for (size_t i = 0; i < values.size(); ++i) assign(statement.targets[i], std::move(values[i]));
    return execute(statement.body);
  });
}

Value Interpreter::make_macro(const Statement& statement) {
  auto macro = std::make_shared<MacroObject>();
  macro->definition = &statement;
  macro->name = statement.name;
  macro->closure = scope_;
  if (captured_scopes_.empty() || captured_scopes_.back() != scope_)
    captured_scopes_.push_back(scope_);
  charge_memory(sizeof(MacroObject));
  return Value::object(Kind::kMacro, std::move(macro));
}

void Interpreter::define_macro(const Statement& statement) {
  scope_->set(statement.symbol, make_macro(statement));
}

void Interpreter::execute_call(const Statement& statement) {
  const Value caller = make_macro(statement);
  print(evaluate_call(*statement.expressions[0], &caller));
}

void Interpreter::execute_generation(const Statement& statement) {
  in_scope(scope_, [&] { return execute(statement.body); });
}

void Interpreter::assign(const Target& target, Value value) {
  switch (target.kind) {
    case Target::Kind::kName:
      scope_->set(target.symbol, std::move(value));
      return;
    case Target::Kind::kTuple:
      unpack(target, value);
      return;
    case Target::Kind::kAttribute:
      break;
  }
  Value* owner = nullptr;
  for (Scope* scope = scope_.get(); scope && !owner; scope = scope->parent.get())
    owner = scope->find(target.symbol);
  if (!owner || !owner->is(Kind::kNamespace)) {
    raise("TemplateRuntimeError", "cannot assign attribute on non-namespace object");
  }
  owner->as<NamespaceObject>().set(target.attribute, std::move(value));
}

void Interpreter::unpack(const Target& target, const Value& value) {
  if (!value.is_undefined() && !value.is_string() && !value.is(Kind::kDict) &&
      (value.kind() < Kind::kList || value.kind() > Kind::kIterator)) {
    type_error("cannot unpack non-iterable {} object", value.type_name());
  }
  std::vector<Value> items = items_of(value);
  if (items.size() > target.parts.size()) {
    value_error("too many values to unpack (expected {})", target.parts.size());
  }
  if (items.size() < target.parts.size()) {
    value_error("not enough values to unpack (expected {}, got {})", target.parts.size(),
                items.size());
  }
  for (size_t i = 0; i < items.size(); ++i) assign(target.parts[i], std::move(items[i]));
}

}  // namespace sluice::chat::jinja
