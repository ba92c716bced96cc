#include "server/core/step_engine.h"

namespace sluice::server {
namespace {

class ModelEngine final : public StepEngine {
 public:
  explicit ModelEngine(std::unique_ptr<runtime::Engine> engine) : engine_(std::move(engine)) {}

  Result<runtime::RequestId> submit(runtime::Request request, const ConversationFacts&,
                                    JobListener& listener) override {
    return engine_->submit(std::move(request), listener);
  }
  void cancel(runtime::RequestId id) override { engine_->cancel(id); }
  bool step() override { return engine_->step(); }
  bool save_some() override { return engine_->save_some(); }
  std::optional<runtime::CacheUse> cache_use() const override { return engine_->cache_use(); }

 private:
  std::unique_ptr<runtime::Engine> engine_;
};

}  // namespace

std::unique_ptr<StepEngine> make_model_engine(std::unique_ptr<runtime::Engine> engine) {
  return std::make_unique<ModelEngine>(std::move(engine));
}

}  // namespace sluice::server
