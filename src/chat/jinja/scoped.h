// Interpreter: the templates that both of its halves use. Private to evaluate.cc and execute.cc.
#pragma once

#include <utility>

#include "chat/jinja/error.h"
#include "chat/jinja/interpreter.h"

namespace sluice::chat::jinja {

class Interpreter::Step {
 public:
  Step(Interpreter& interpreter, int line, int column)
      : interpreter_(interpreter), line_(line), column_(column) {
    here();
    interpreter.charge(1);
    if (interpreter.depth_ >= interpreter.limits_.depth) {
      raise("RecursionError", "expressions and macros are nested deeper than {} levels",
            interpreter.limits_.depth);
    }
    ++interpreter.depth_;
  }
  ~Step() { --interpreter_.depth_; }
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;

  // Back from the children: errors from now on are this node's own.
  void here() const {
    interpreter_.line_ = line_;
    interpreter_.column_ = column_;
  }

 private:
  Interpreter& interpreter_;
  const int line_, column_;
};

// Puts a variable back when the block is left, by whatever way.
template <typename T>
class Restored {
 public:
  Restored(T& place, T value) : place_(place), previous_(std::exchange(place, std::move(value))) {}
  ~Restored() { place_ = std::move(previous_); }
  Restored(const Restored&) = delete;
  Restored& operator=(const Restored&) = delete;

 private:
  T& place_;
  T previous_;
};

template <typename Body>
Text Interpreter::captured(Body&& body) {
  auto buffer = std::make_shared<TextBuffer>();
  const Restored<TextBuffer*> restored(out_, buffer.get());
  body();
  return Text(std::move(buffer));
}

template <typename Body>
auto Interpreter::in_scope(std::shared_ptr<Scope> parent, Body&& body) {
  auto scope = std::make_shared<Scope>();
  scope->parent = std::move(parent);
  const Restored<std::shared_ptr<Scope>> restored(scope_, std::move(scope));
  return body();
}

}  // namespace sluice::chat::jinja
