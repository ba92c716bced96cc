// What it costs to keep saved recurrent states in fewer bits: state_cost MODEL CONVERSATIONS
// [WINDOWS]
//
// CONVERSATIONS is a file of `sluice corpus`, rendered by the model's template and read as one text
// in windows of 1088 tokens. At several places of each the state is put through a form and the next
// 64 tokens are read from what comes back; their distributions are compared with those of the
// uninterrupted reading. "every 64" goes on so for a whole window, always from what came back last:
// no conversation can do worse. One line of a table per form and place.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "backend/registry.h"
#include "base/file.h"
#include "candidate_forms.h"
#include "chat/normalise.h"
#include "chat/template.h"
#include "checkpoint/checkpoint.h"
#include "model/binding.h"
#include "model/text/text_model.h"
#include "ops/batch.h"
#include "take.h"
#include "tokenizer/tokenizer.h"

namespace sluice::bench {
namespace {

constexpr int64_t kPieces = 17, kWindow = kPieces * ops::kGrid;
constexpr int64_t kPlaces[] = {64, 256, 512, 1024};
enum Slot : int32_t { kExact, kTrial, kSlots };

// All conversations one after the other.
std::vector<int32_t> read_tokens(const std::string& folder, const std::string& file, size_t most) {
  const auto tokenizer = take(tokenizer::Tokenizer::from_json(
      take(read_file(folder + "/tokenizer.json", 1 << 26)), nullptr));
  const auto chat_template =
      take(chat::ChatTemplate::parse(take(read_file(folder + "/chat_template.jinja", 1 << 22))));
  const std::string lines = take(read_file(file, uint64_t{1} << 30));
  std::vector<int32_t> tokens;
  for (size_t begin = 0; begin < lines.size() && tokens.size() < most;) {
    const size_t end = std::min(lines.find('\n', begin), lines.size());
    const Json line = take(parse_json(std::string_view(lines).substr(begin, end - begin)));
    begin = end + 1;
    std::string text;
    if (const Json* plain = line.find("text")) {
      text = plain->string();
    } else {
      chat::NormalisedRequest request = take(chat::normalise(line));
      chat::TemplateInput input;
      input.messages = std::move(request.messages);
      input.tools = std::move(request.tools);
      input.chat_template_kwargs = std::move(request.chat_template_kwargs);
      text = take(chat_template.render(input)).text;
    }
    const auto more = take(tokenizer.encode(text));
    tokens.insert(tokens.end(), more.begin(), more.end());
  }
  return tokens;
}

// Natural logarithms of the probabilities, row by row.
using Distributions = std::vector<double>;

struct Difference {
  double divergence = 0;
  bool same_top = false;
};

struct Differences {
  std::vector<Difference> rows;

  void print(const std::string& form, const std::string& place, double share) {
    std::sort(rows.begin(), rows.end(),
              [](const auto& a, const auto& b) { return a.divergence < b.divergence; });
    const auto at = [&](double part) {
      return rows[static_cast<size_t>(part * static_cast<double>(rows.size() - 1))].divergence;
    };
    double sum = 0, same = 0;
    for (const Difference& row : rows) {
      sum += row.divergence;
      same += row.same_top;
    }
    const auto count = static_cast<double>(rows.size());
    fmt::print(
        "| {:<15} | {:5.1f} % | {:>8} | {:6} | {:.2e} | {:.2e} | {:.2e} | {:.2e} | {:7.3f} % |\n",
        form, share * 100, place, rows.size(), at(0.5), sum / count, at(0.999), at(1),
        same / count * 100);
    std::fflush(stdout);
  }
};

class Study {
 public:
  Study(const model::TextModel& model, std::vector<int32_t> tokens)
      : model_(model), backend_(model.backend()), tokens_(std::move(tokens)) {
    cache_ = take(backend_.create_kv_cache(model.kv_spec(2 * kPieces, ops::KvFormat::kBF16)));
    states_ = take(backend_.create_recurrent_state(model.recurrent_spec(kSlots, 0)));
    workspace_ = take(model::Workspace::create(model.config(), backend_, ops::kGrid, ops::kGrid));
  }

  void run() {
    const auto forms = candidate_forms(states_->spec());
    const size_t places = std::size(kPlaces);
    std::vector<std::vector<Differences>> single(forms.size(), std::vector<Differences>(places));
    std::vector<Differences> chained(forms.size());
    const auto windows = static_cast<int64_t>(tokens_.size()) / kWindow;
    for (int64_t window = 0; window < windows; ++window) {
      const auto text = std::span(tokens_).subspan(static_cast<size_t>(window * kWindow), kWindow);
      const std::vector<Distributions> exact = read_exactly(text, forms, single);
      for (size_t form = 0; form < forms.size(); ++form)
        read_degraded(text, forms[form], exact, chained[form]);
    }
    fmt::print("{} windows of {} tokens\n", windows, kWindow);
    fmt::print("form, bytes, place, distributions: median, mean, 99.9 %, most; same best token\n");
    for (size_t form = 0; form < forms.size(); ++form) {
      const double share =
          forms[form].bytes / static_cast<double>(states_->spec().layer_values() * sizeof(float));
      Differences all;
      for (size_t place = 0; place < places; ++place) {
        Differences& here = single[form][place];
        here.print(forms[form].name, fmt::format("{}", kPlaces[place]), share);
        all.rows.insert(all.rows.end(), here.rows.begin(), here.rows.end());
      }
      all.print(forms[form].name, "all", share);
      chained[form].print(forms[form].name, "every 64", share);
    }
  }

 private:
  Distributions read(std::span<const int32_t> text, int64_t begin, Slot slot,
                     std::span<const int32_t> pages) {
    ops::Batch batch = ops::one_sequence(text.subspan(static_cast<size_t>(begin), ops::kGrid),
                                         begin, begin, pages, ops::Role::kPrompt);
    batch.segments[0].slot = slot;
    const ops::View hidden = model_.forward(batch, *cache_, *states_, *workspace_);
    std::vector<int32_t> rows(ops::kGrid);
    std::iota(rows.begin(), rows.end(), 0);
    const std::vector<float> logits = backend_.download(model_.logits(hidden, rows, *workspace_));
    Distributions result(logits.begin(), logits.end());
    const auto width = static_cast<size_t>(model_.config().vocabulary);
    for (size_t row = 0; row < result.size(); row += width) {
      const auto values = std::span(result).subspan(row, width);
      const double greatest = *std::max_element(values.begin(), values.end());
      double sum = 0;
      for (const double value : values) sum += std::exp(value - greatest);
      for (double& value : values) value -= greatest + std::log(sum);
    }
    return result;
  }

  void compare(const Distributions& exact, const Distributions& other, Differences& out) const {
    const auto width = static_cast<std::ptrdiff_t>(model_.config().vocabulary);
    for (auto p = exact.begin(), q = other.begin(); p != exact.end(); p += width, q += width) {
      Difference row;
      for (std::ptrdiff_t i = 0; i < width; ++i) row.divergence += std::exp(p[i]) * (p[i] - q[i]);
      row.divergence = std::max(row.divergence, 0.0);  // sums of rounded logarithms may fall below
      row.same_top = std::max_element(p, p + width) - p == std::max_element(q, q + width) - q;
      out.rows.push_back(row);
    }
  }

  void degrade(Slot slot, const CandidateForm& form) {
    ops::RecurrentImage image = backend_.export_slot(*states_, slot);
    const size_t layer = states_->spec().layer_values();
    for (size_t at = 0; at < image.size(); at += layer)
      form.degrade(std::span(image).subspan(at, layer));
    backend_.import_slot(*states_, slot, image);
  }

  // The distributions of all pieces; at the places also what each form makes of the next piece.
  std::vector<Distributions> read_exactly(std::span<const int32_t> text,
                                          const std::vector<CandidateForm>& forms,
                                          std::vector<std::vector<Differences>>& single) {
    std::vector<int32_t> pages(kPieces);
    std::iota(pages.begin(), pages.end(), 0);
    std::vector<Distributions> exact;
    backend_.reset_slot(*states_, kExact);
    for (int64_t begin = 0; begin < kWindow; begin += ops::kGrid) {
      const auto* const place = std::find(std::begin(kPlaces), std::end(kPlaces), begin);
      std::vector<Distributions> trials;
      for (size_t form = 0; form < forms.size() && place != std::end(kPlaces); ++form) {
        backend_.copy_slot(*states_, kExact, *states_, kTrial);
        degrade(kTrial, forms[form]);
        std::vector<int32_t> own = pages;
        own[static_cast<size_t>(begin / ops::kGrid)] = kPieces;
        trials.push_back(read(text, begin, kTrial, own));
      }
      exact.push_back(read(text, begin, kExact, pages));
      for (size_t form = 0; form < trials.size(); ++form)
        compare(exact.back(), trials[form],
                single[form][static_cast<size_t>(place - std::begin(kPlaces))]);
    }
    return exact;
  }

  void read_degraded(std::span<const int32_t> text, const CandidateForm& form,
                     const std::vector<Distributions>& exact, Differences& out) {
    std::vector<int32_t> pages(kPieces);
    std::iota(pages.begin(), pages.end(), static_cast<int32_t>(kPieces));
    backend_.reset_slot(*states_, kTrial);
    for (int64_t begin = 0; begin < kWindow; begin += ops::kGrid) {
      if (begin > 0) degrade(kTrial, form);
      const Distributions mine = read(text, begin, kTrial, pages);
      if (begin > 0) compare(exact[static_cast<size_t>(begin / ops::kGrid)], mine, out);
    }
  }

  const model::TextModel& model_;
  ops::Backend& backend_;
  const std::vector<int32_t> tokens_;
  std::unique_ptr<ops::KvCache> cache_;
  std::unique_ptr<ops::RecurrentState> states_;
  std::unique_ptr<model::Workspace> workspace_;
};

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  using namespace sluice;
  using namespace sluice::bench;
  const int windows = argc == 4 ? std::atoi(argv[3]) : 8;
  if (argc < 3 || argc > 4 || windows < 1) {
    std::fputs("usage: state_cost MODEL CONVERSATIONS [WINDOWS]\n", stderr);
    return 2;
  }
  const auto backend = take(backend::create({}));
  const auto checkpoint = take(checkpoint::Checkpoint::open(argv[1]));
  const model::Binding binding = take(model::bind(checkpoint));
  model::LoadOptions load;
  load.with_mtp = false;
  const auto model = take(model::TextModel::load(checkpoint, binding, *backend, load));
  Study(*model, read_tokens(argv[1], argv[2], static_cast<size_t>(windows * kWindow))).run();
}
