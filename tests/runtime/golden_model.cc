#include "runtime/golden_model.h"

#include <gtest/gtest.h>

#include <cstring>
#include <stdexcept>

#include "base/file.h"

namespace sluice::test {
namespace {

template <typename T>
T take(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.error().message());
  return std::move(*result);
}

}  // namespace

GoldenModel::GoldenModel(const std::filesystem::path& folder,
                         const backend::BackendOptions& options, bool with_mtp) {
  backend = take(backend::create(options));
  // The weights alone: a folder of goldens holds other safetensors files too.
  checkpoint = std::make_unique<checkpoint::Checkpoint>(
      take(checkpoint::Checkpoint::open(folder / "model.safetensors")));
  binding = take(model::bind(*checkpoint));
  if (!binding.runnable) throw std::runtime_error(folder.string() + " cannot run");
  model::LoadOptions load;
  load.with_mtp = with_mtp;
  model = take(model::TextModel::load(*checkpoint, binding, *backend, load));
  const std::string text = take(read_file(folder / "tokenizer.json", 1 << 26));
  tokenizer =
      std::make_unique<tokenizer::Tokenizer>(take(tokenizer::Tokenizer::from_json(text, nullptr)));
}

std::unique_ptr<runtime::Engine> GoldenModel::engine(const runtime::EngineShape& shape) const {
  return take(runtime::Engine::create(*model, tokenizer.get(), shape));
}

void Answer::on_token(const runtime::TokenEvent& event) {
  ids.push_back(event.token.id);
  tokens.push_back(event.token);
  text += event.text;
}

void Answer::on_drafts(int64_t count, std::span<const int32_t> proposed) {
  drafts.push_back({static_cast<int32_t>(count)});
  drafts.back().insert(drafts.back().end(), proposed.begin(), proposed.end());
}

void Answer::on_finish(const runtime::RequestReport& finished_report) {
  report = finished_report;
  text += report.last_text;
  finished = true;
}

Answer run_one(runtime::Engine& engine, const runtime::Request& what) {
  Answer answer;
  const auto submitted = engine.submit(what, answer);
  EXPECT_TRUE(submitted.ok()) << (submitted.ok() ? "" : submitted.error().message());
  engine.run_until_idle();
  EXPECT_TRUE(answer.finished);
  EXPECT_TRUE(engine.intact());
  return answer;
}

std::vector<int32_t> golden_integers(const checkpoint::Checkpoint& goldens,
                                     const std::string& name) {
  const checkpoint::StoredTensor* tensor = goldens.find(name);
  if (tensor == nullptr || tensor->dtype != DType::kI32)
    throw std::runtime_error("no I32 tensor " + name);
  std::vector<int32_t> values(static_cast<size_t>(tensor->elements()));
  std::memcpy(values.data(), tensor->bytes.data(), tensor->bytes.size());
  return values;
}

}  // namespace sluice::test
