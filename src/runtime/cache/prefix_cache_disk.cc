// Between the prefix tree and the disk tier: what is taken in from files, and what is written.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

#include "base/check.h"
#include "runtime/cache/prefix_cache.h"

namespace sluice::runtime {
namespace {

// All that the bits of pages and states depend on beside the tokens: the weights and the program
// (`model`), the arithmetic, and the shapes.
SegmentHash fingerprint_of(const std::string& model, const ops::BackendInfo& backend,
                           const ops::KvSpec& kv, const ops::RecurrentSpec& recurrent,
                           StateForm form, bool with_draft_head) {
  std::string all = fmt::format(
      "{}|{}|{}|{}|kv {} {} {} {}|state {} {} {} {} {} {} {} as {}|draft head {}", model,
      backend.name, backend.instruction_set, static_cast<int>(backend.activations), kv.layers,
      kv.heads, kv.head_dim, static_cast<int>(kv.format), recurrent.layers, recurrent.key_heads,
      recurrent.value_heads, recurrent.key_dim, recurrent.value_dim, recurrent.conv_kernel,
      static_cast<int>(recurrent.head_order), state_form_name(form), with_draft_head);
  for (const auto* scales : {&kv.key_scales, &kv.value_scales}) {
    for (const float scale : *scales) all += fmt::format("|{:a}", scale);
  }
  return hash_behind({}, std::as_bytes(std::span(all)));
}

// Two answers of the same tokens are not the same bits, so each gets a name of its own.
SegmentHash new_name(const SegmentHash& key) {
  std::random_device random;
  const std::array<uint32_t, 4> bits = {random(), random(), random(), random()};
  return hash_behind(key, std::as_bytes(std::span(bits)));
}

Tokens page_tokens(const Request& request, int64_t page) {
  return Tokens(request.prompt).subspan(static_cast<size_t>(page * ops::kGrid), ops::kGrid);
}

}  // namespace

SegmentForm PrefixCache::file_form(const model::TextConfig& config, size_t page_bytes,
                                   bool with_draft_head, StateForm saved_as) {
  const ops::RecurrentSpec state = model::TextModel::recurrent_spec(config, 1, 0);
  SegmentForm form;
  form.most_pages = config.context / ops::kGrid + 1;
  form.page_bytes = page_bytes;
  form.state_layers = state.layers;
  form.layer_bytes = StatePacking(state, saved_as).bytes();
  form.hidden_bytes = with_draft_head ? static_cast<size_t>(config.hidden) * sizeof(float) : 0;
  return form;
}

Status PrefixCache::open_disk(const model::TextModel& model, const DiskCache& where,
                              bool with_draft_head) {
  if (!on()) {
    return usage_error("--disk-cache", "there is no prefix cache in memory for it to fill",
                       "Give --prefix-cache more bytes");
  }
  const StateForm saved_as = states_->packing().form();
  SegmentForm form =
      file_form(model.config(), cache_->spec().bytes_per_page(), with_draft_head, saved_as);
  form.fingerprint = fingerprint_of(where.model, backend_->info(), cache_->spec(), states_->spec(),
                                    saved_as, with_draft_head);
  form.most_pages = std::max(form.most_pages, pool_.capacity());
  piece_.resize((form.largest_piece() + sizeof(float) - 1) / sizeof(float));
  SLUICE_ASSIGN(disk_, DiskTier::open({where.folder, where.bytes, form}));
  tree_.on_eviction([this](int32_t checkpoint) { before_loss(checkpoint, true); });
  return {};
}

// ---- reading

// Takes in what the disk knows beyond memory, and looks again. A file that turns out damaged is
// gone by then, and the next best may serve.
PrefixTree::Match PrefixCache::find_on_disk(const Request& request, PrefixTree::Match in_memory) {
  PrefixTree::Match match = std::move(in_memory);
  for (uint64_t tried = 0;;) {
    const auto hit = disk_->find(request.cache_space, request.prompt, request.reuse_answers);
    if (!hit || hit->position <= match.position || hit->file == tried) return match;
    tried = hit->file;
    PrefixFetch fetch;
    open_fetch(*hit, fetch);
    while (fetch_piece(fetch, request)) {
    }
    tree_.release(fetch.path);  // what did not get its state goes back
    // Room may have been made at the cost of what was found before.
    match = tree_.find(request.cache_space, request.prompt, request.reuse_answers);
  }
}

void PrefixCache::open_fetch(const DiskTier::Hit& hit, PrefixFetch& fetch) {
  fetch.files = disk_->begin_reading(hit);
  std::reverse(fetch.files.begin(), fetch.files.end());
  for (size_t i = 0; i < fetch.files.size(); ++i) {
    const auto known = tree_.path_of_file(fetch.files[i]);
    if (!known) continue;
    fetch.path = *known;
    fetch.files.resize(std::max<size_t>(i, 1));  // the last one for its state at least
    break;
  }
  tree_.hold_pages(fetch.path);
}

// False: there is nothing left to be read, or no more can be.
bool PrefixCache::fetch_piece(PrefixFetch& fetch, const Request& request) {
  if (fetch.files.empty()) return false;
  const uint64_t number = fetch.files.back();
  const bool last = fetch.files.size() == 1;
  if (!fetch.reading)
    fetch.reading = disk_->read(number, request.cache_space, request.prompt, last);
  if (!fetch.reading) {
    fetch.files.clear();
    return false;
  }
  const SegmentHeader& header = fetch.reading->header();
  if (static_cast<int64_t>(fetch.path.size()) < header.first_page + header.pages) {
    if (load_page(fetch, request)) return true;
    fetch.files.clear();
  } else {
    if (!fetch.path.empty()) tree_.set_file(fetch.path, number);
    if (last) load_state(*fetch.reading, number, request, fetch.path);
    fetch.files.pop_back();
  }
  fetch.reading.reset();
  return !fetch.files.empty();
}

// False: the file is damaged, or all memory is in use.
bool PrefixCache::load_page(PrefixFetch& fetch, const Request& request) {
  DiskTier::Reader& file = *fetch.reading;
  const SegmentHeader& header = file.header();
  const auto index = static_cast<int64_t>(fetch.path.size());
  const int64_t piece = index - header.first_page;
  SLUICE_CHECK(piece >= 0, "{} pages before one that begins at {}", index, header.first_page);
  const auto bytes =
      std::as_writable_bytes(std::span(piece_)).first(cache_->spec().bytes_per_page());
  const bool read = piece < header.read_pages;
  const Tokens tokens = page_tokens(request, index);
  int32_t page = read ? tree_.hold_read_page(request.cache_space, fetch.path, tokens) : -1;
  if (page < 0) {
    const auto fresh = tree_.take_page();
    if (!fresh) return false;
    if (!file.read(static_cast<size_t>(piece), bytes)) {
      pool_.give_back(*fresh);
      return false;
    }
    backend_->import_page(*cache_, *fresh, bytes);
    page = tree_.add_page(request.cache_space, fetch.path, tokens, *fresh, !read);
  }
  fetch.path.push_back(page);
  return true;
}

bool PrefixCache::begin_fetch(const Sequence& sequence) {
  const Request& request = sequence.request;
  if (!disk_ || request.prompt_logprobs >= 0) return false;
  const int64_t in_memory =
      tree_.find(request.cache_space, request.prompt, request.reuse_answers).position;
  const auto hit = disk_->find(request.cache_space, request.prompt, request.reuse_answers);
  if (!hit || hit->position <= in_memory) return false;
  SLUICE_CHECK(!fetch_, "request {} while {} is fetched", sequence.id, fetch_->request);
  fetch_.emplace();
  fetch_->request = sequence.id;
  fetch_->in_memory = in_memory;
  open_fetch(*hit, *fetch_);
  return true;
}

bool PrefixCache::fetch_some(const Sequence& sequence, const std::function<bool()>& enough) {
  SLUICE_CHECK(fetch_ && fetch_->request == sequence.id, "request {} is not fetched", sequence.id);
  while (fetch_piece(*fetch_, sequence.request)) {
    if (enough()) return true;
  }
  return false;
}

void PrefixCache::forget_fetch() {
  if (!fetch_) return;
  tree_.release(fetch_->path);
  fetch_.reset();
}

void PrefixCache::load_state(DiskTier::Reader& file, uint64_t number, const Request& request,
                             std::span<const int32_t> path) {
  const auto bytes = std::as_writable_bytes(std::span(piece_));
  int32_t partial = -1, checkpoint = -1;
  for (size_t i = static_cast<size_t>(file.header().pages); i < file.pieces().size(); ++i) {
    const SegmentPiece& piece = file.pieces()[i];
    const bool rest = piece.kind == SegmentPiece::Kind::kRest;
    if (rest) {
      const auto fresh = tree_.take_page();
      if (!fresh) return;
      partial = *fresh;
    } else if (checkpoint < 0) {
      const auto tail = static_cast<size_t>(file.header().rest());
      checkpoint = tree_.add_checkpoint(
          {.space = request.cache_space,
           .path = path,
           .tail = Tokens(request.prompt).subspan(path.size() * ops::kGrid, tail),
           .partial = partial,
           .following = {}});
      if (checkpoint < 0) return;  // it stands there already
    }
    if (!file.read(i, bytes.first(piece.bytes))) {
      if (checkpoint >= 0) {
        tree_.forget(checkpoint);  // and its partial page
      } else if (partial >= 0) {
        pool_.give_back(partial);
      }
      return;
    }
    if (rest) {
      backend_->import_page(*cache_, partial, bytes.first(piece.bytes));
    } else if (piece.kind == SegmentPiece::Kind::kLayer) {
      states_->import_layer(checkpoint, piece.index, bytes.first(piece.bytes));
    } else {
      states_->import_hidden(checkpoint,
                             std::span<const float>(piece_).first(piece.bytes / sizeof(float)));
    }
  }
  if (checkpoint >= 0) tree_.set_file(checkpoint, number);
}

// ---- writing

void PrefixCache::before_loss(int32_t checkpoint, bool evicted) {
  if (!disk_) return;
  if (checkpoint == being_written_) {
    disk_->revoke();
    being_written_ = -1;
  } else if (evicted && tree_.file(checkpoint) == PrefixTree::kNoFile) {
    disk_->count_dropped();
  }
}

void PrefixCache::write_ahead() {
  // A memory with an eighth free takes in a prompt or two before anything has to go.
  constexpr int64_t kEighth = 8;
  if (!disk_) return;
  const int64_t free_states = size_.checkpoints - tree_.checkpoints();
  if (free_states * kEighth < size_.checkpoints || pool_.free() * kEighth < pool_.capacity())
    write_next();
}

bool PrefixCache::save_some() {
  if (!disk_) return false;
  write_next();
  return disk_->writing() || tree_.next_without_file() >= 0;
}

void PrefixCache::write_next() {
  if (disk_->writing()) return;
  const auto written = disk_->take_written();
  if (written && being_written_ >= 0)
    tree_.set_file(being_written_, *written != 0 ? *written : PrefixTree::kNeverAgain);
  being_written_ = -1;
  const int32_t checkpoint = tree_.next_without_file();
  if (checkpoint < 0) return;
  const PrefixTree::Material material =
      tree_.material(checkpoint, [this](uint64_t file) { return !disk_->id_of(file).empty(); });
  SegmentHeader header;
  header.space = material.space;
  header.key = prompt_keys(disk_->space_key(material.space), material.tokens).back();
  header.id = material.answered ? new_name(header.key) : header.key;
  header.answered = material.answered;
  // Read material has one name wherever it was made; a state with a space that long stays here.
  const auto known = disk_->find_id(header.id);
  if (known || header.space.size() > SegmentHeader::kMostSpaceBytes) {
    tree_.set_file(checkpoint, known.value_or(PrefixTree::kNeverAgain));
    return;
  }
  header.parent = disk_->id_of(material.parent);
  header.first_page = material.parent_pages;
  header.pages = static_cast<int64_t>(material.pages.size()) - header.first_page;
  header.read_pages = std::max<int64_t>(material.read_pages - header.first_page, 0);
  const auto tokens =
      Tokens(material.tokens).subspan(static_cast<size_t>(header.first_page * ops::kGrid));
  header.tokens.assign(tokens.begin(), tokens.end());
  // Runs on the writer's thread. All that it reads stays as it is as long as the checkpoint is in
  // the tree; before_loss() stops it before that ends.
  auto copy = [this, checkpoint, partial = material.partial, first = header.first_page,
               pages = material.pages, hidden = states_->export_hidden(checkpoint)](
                  const SegmentPiece& piece, std::span<std::byte> to) {
    using Kind = SegmentPiece::Kind;
    if (piece.kind == Kind::kPage) {
      backend_->export_page(*cache_, pages[static_cast<size_t>(first + piece.index)], to);
    } else if (piece.kind == Kind::kRest) {
      backend_->export_page(*cache_, partial, to);
    } else if (piece.kind == Kind::kLayer) {
      states_->export_layer(checkpoint, piece.index, to);
    } else {
      std::memcpy(to.data(), hidden.data(), to.size());
    }
  };
  being_written_ = checkpoint;
  disk_->begin_writing(std::move(header), std::move(copy));
}

}  // namespace sluice::runtime
