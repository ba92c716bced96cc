#include "server/model_fixture.h"

#include <stdexcept>

#include "base/file.h"
#include "support/paths.h"

namespace sluice::test {
namespace {

template <typename T>
T required(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.error().message());
  return std::move(*result);
}

}  // namespace

const server::ModelText& model_text() {
  static const auto tokenizer = required(tokenizer::Tokenizer::from_json(
      required(read_file(tests_folder() / "model/data/tiny/tokenizer.json", 1 << 24)), nullptr));
  static const auto chat_template = required(chat::ChatTemplate::parse(
      required(read_file(tests_folder() / "server/data/chat_template.jinja", 1 << 20))));
  static const server::ModelText text = [] {
    server::ModelText model;
    model.tokenizer = &tokenizer;
    model.chat_template = &chat_template;
    model.stop_ids = {*tokenizer.find_added("<|im_end|>"), *tokenizer.find_added("<|endoftext|>")};
    model.vocabulary = tokenizer.size();
    model.context = model.trained_context = 4096;
    model.names = {"tiny"};
    return model;
  }();
  return text;
}

}  // namespace sluice::test
