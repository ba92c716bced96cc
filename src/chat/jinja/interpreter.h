// One rendering of a template: the walk over its tree.
#pragma once

#include <cstdint>
#include <ctime>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/jinja/ast.h"
#include "chat/jinja/value.h"

namespace sluice::chat::jinja {

// Bounds of one rendering. A template that exceeds one gets an error ("Unsupported"), never a hang.
// The largest templates in use, over 1,000 messages, stay below a hundredth of each.
struct Limits {
  uint64_t steps = 10'000'000;                  // evaluated nodes, and 256 bytes of text read each
  uint64_t memory_bytes = uint64_t{256} << 20;  // all that values take, freed or not
  uint64_t output_bytes = uint64_t{64} << 20;
  int depth = 600;  // expressions, statements and macros within each other
};

// Variables of one block; the chain of parents is what a name is looked up in.
struct Scope {
  std::shared_ptr<Scope> parent;
  std::vector<std::pair<int, Value>> variables;  // by symbol

  Value* find(int symbol);
  void set(int symbol, Value value);
};

enum class Flow : uint8_t { kNormal, kBreak, kContinue };

class Interpreter {
 public:
  using Variables = std::vector<std::pair<std::string, Value>>;

  // `program` and `variables` are borrowed. Variables shadow the globals.
  Interpreter(const Template& program, const Variables& variables, const std::tm& now,
              const Limits& limits);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  // Throws JinjaError with the place of the node at work. Once per object.
  Text render();

  // --- what filters, tests and functions use ---

  void charge(uint64_t steps);
  void charge_text(size_t bytes) { charge(bytes / 256); }
  void charge_memory(uint64_t bytes);

  Text text_of(const Value& value);  // str()
  Value new_text(Text text);         // a string value, counted
  Value new_list(std::vector<Value> items, Kind kind = Kind::kList);
  bool equal(const Value& left, const Value& right);

  // All items of an iterable, in order; reads an iterator to its end. TypeError for what is none.
  std::vector<Value> items_of(const Value& iterable);
  Value call(const Value& callee, Arguments& arguments);
  Value apply_filter(std::string_view name, const Value& subject, Arguments& arguments);
  bool apply_test(std::string_view name, const Value& subject, Arguments& arguments);
  Value new_namespace();
  const std::tm& now() const { return now_; }

 private:
  // Remembers where we are, counts a step, and bounds the depth.
  class Step;

  Value evaluate(const Expr& expr);
  Value evaluate_name(const Expr& expr);
  Value evaluate_dict(const Expr& expr);
  Value evaluate_concat(const Expr& expr);
  Value evaluate_compare(const Expr& expr);
  Value evaluate_conditional(const Expr& expr);
  Value evaluate_slice(const Expr& expr);
  Value evaluate_call(const Expr& expr, const Value* caller);
  Value evaluate_filter(const Expr& expr, const Value& subject);
  std::vector<Value> evaluate_all(const std::vector<ExprPtr>& exprs);
  Arguments evaluate_arguments(const CallArguments& call);
  Value call_macro(const std::shared_ptr<Object>& macro, Arguments& arguments);
  void bind_parameters(const MacroObject& macro, Arguments& arguments);
  void set_special(std::string_view name,
                   Value value);  // a name that the body may read without declaring it
  Value joined_text(const std::vector<Text>& parts);

  Flow execute(const Block& block);
  Flow execute(const Statement& statement);
  Flow execute_if(const Statement& statement);
  Flow execute_for(const Statement& statement);
  Flow execute_loop_body(const Statement& statement, const std::shared_ptr<LoopObject>& loop,
                         bool& any);
  std::function<bool(Value&)> puller(const Statement& statement, const Value& iterable,
                                     const std::shared_ptr<Scope>& outer);
  Flow execute_set_block(const Statement& statement);
  Flow execute_filter_block(const Statement& statement);
  Value filter_text(const Expr& filter, Value text);
  Flow execute_with(const Statement& statement);
  void execute_call(const Statement& statement);
  void execute_generation(const Statement& statement);
  void define_macro(const Statement& statement);
  Value make_macro(const Statement& statement);

  void assign(const Target& target, Value value);
  void unpack(const Target& target, const Value& value);
  void print(const Value& value);
  void write(const Text& text);

  // Runs `body` with its own output and returns what it wrote.
  template <typename Body>
  Text captured(Body&& body);
  // Runs `body` in a fresh scope below `parent`.
  template <typename Body>
  auto in_scope(std::shared_ptr<Scope> parent, Body&& body);

  const Template& program_;
  const Limits limits_;
  const std::tm now_;
  std::vector<Value> outer_;  // request variables and globals, by symbol
  std::shared_ptr<Scope> scope_;
  TextBuffer* out_ = nullptr;
  uint64_t steps_ = 0, memory_ = 0;
  int depth_ = 0;
  int line_ = 0, column_ = 0;
  // What may hold itself, emptied at the end: a namespace its own value, a macro the scope it lives
  // in.
  std::vector<std::shared_ptr<NamespaceObject>> namespaces_;
  std::vector<std::shared_ptr<Scope>> captured_scopes_;
};

// Positional and keyword arguments under the names of a function's parameters.
class BoundArguments {
 public:
  // TypeError for too many, unknown, double or missing (the first `required` ones) arguments.
  BoundArguments(const char* function, Arguments& arguments,
                 std::initializer_list<const char*> names, size_t required = 0);
  bool has(size_t i) const { return values_[i] != nullptr; }
  const Value& at(size_t i) const { return *values_[i]; }
  // The defaults of a function with Python's meaning.
  Value or_else(size_t i, Value otherwise) const { return has(i) ? at(i) : std::move(otherwise); }
  bool truth(size_t i, bool otherwise) const { return has(i) ? truthy(at(i)) : otherwise; }
  int64_t integer(size_t i, int64_t otherwise) const;  // TypeError unless an int
  bool given(size_t i) const { return has(i) && !at(i).is_none(); }

 private:
  std::vector<const Value*> values_;
  const char* function_;
};

inline void no_arguments(const char* function, Arguments& arguments) {
  BoundArguments(function, arguments, {});
}

}  // namespace sluice::chat::jinja
