// What a template is made of, after parsing. Immutable: one tree serves all threads.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "chat/jinja/value.h"

namespace sluice::chat::jinja {

struct Filter;    // filters.h
struct TestRule;  // tests.h

enum class ExprKind : uint8_t {
  kConstant,  // constant
  kName,      // symbol
  kList,      // children
  kTuple,     // children
  kDict,      // children: key, value, key, value ...
  kNot,       // children[0]
  kNegative,  // children[0]
  kPositive,  // children[0]
  kBinary,    // children[0] op children[1]
  kConcat,    // children joined by ~
  kCompare,   // children[0] ops[0] children[1] ops[1] children[2] ...
  kAnd,       // children[0], children[1]
  kOr,
  kConditional,  // children: condition, value, otherwise (may be null)
  kAttribute,    // children[0].text
  kSubscript,    // children[0][children[1]]
  kSlice,        // children[0][children[1]:children[2]:children[3]], each bound may be null
  kCall,         // children[0](call)
  kFilter,  // children[0] | filter(call); children[0] is null in a filter block: the block's text
  kTest,    // children[0] is test(call)
};

enum class Operator : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> keyword;
  ExprPtr spread, keyword_spread;  // *args, **kwargs
};

struct Expr {
  ExprKind kind = ExprKind::kConstant;
  Operator op = Operator::kAdd;
  int line = 0, column = 0;
  int depth = 1;  // of the tree below and with this node; bounded by the parser
  int symbol = -1;
  Value constant;
  std::string text;
  std::vector<ExprPtr> children;
  std::vector<Operator> ops;
  CallArguments call;
  const Filter* filter = nullptr;
  const TestRule* test = nullptr;
};

// The left side of an assignment: a name, an attribute of a namespace, or a tuple of targets.
struct Target {
  enum class Kind : uint8_t { kName, kAttribute, kTuple } kind = Kind::kName;
  int symbol = -1;
  int line = 0, column = 0;
  std::string attribute;
  std::vector<Target> parts;
};

enum class StatementKind : uint8_t {
  kText,      // text
  kPrint,     // expressions
  kIf,        // branches; a null condition is the else
  kFor,       // target in expressions[0] if expressions[1] (may be null): body, else_body
  kSet,       // target = expressions[0]
  kSetBlock,  // target = the body's text through expressions[0] (a chain of filters, may be null)
  kMacro,     // symbol, parameters: body
  kCall,      // expressions[0] is the call; parameters of caller: body
  kFilterBlock,  // expressions[0]: body
  kWith,         // targets = expressions: body
  kGeneration,   // body: transformers marks what the assistant wrote; here only its scope counts
  kBreak,
  kContinue,
};

struct Statement;
using Block = std::vector<std::unique_ptr<Statement>>;

struct Parameter {
  int symbol = -1;
  std::string name;
  ExprPtr default_value;  // may be null
};

struct Statement {
  struct Branch {
    ExprPtr condition;
    Block body;
  };
  StatementKind kind = StatementKind::kText;
  int line = 0, column = 0;
  Text text;
  int symbol = -1;
  std::string name;
  std::vector<ExprPtr> expressions;
  Target target;
  std::vector<Target> targets;
  std::vector<Parameter> parameters;
  std::vector<Branch> branches;
  Block body, else_body;
  // kMacro, kCall: which of the special names the body reads, so that a call may bring them.
  bool reads_caller = false, reads_varargs = false, reads_kwargs = false;
};

struct Template {
  std::vector<std::string> symbols;  // names of variables, by number
  Block body;
};

}  // namespace sluice::chat::jinja
