#include "runtime/cache/prefix_cache.h"

#include <algorithm>

#include "base/check.h"
#include "runtime/cache/checkpoint_places.h"

namespace sluice::runtime {
namespace {

// One prompt may not push everybody else's states out.
constexpr int64_t kShareOfOnePrompt = 4;
constexpr int64_t kFewestPlaces = 2;
// How far behind a checkpoint its prompt is remembered: the checkpoint stands at most 63 tokens
// before the last border, and that a few before the end.
constexpr size_t kFollowing = 2 * ops::kGrid;

Tokens first_tokens(const Sequence& sequence, int64_t count) {
  return Tokens(sequence.tokens).first(static_cast<size_t>(count));
}

// What the prompt has behind a position.
Tokens prompt_behind(const Sequence& sequence, int64_t position) {
  const Tokens behind = first_tokens(sequence, std::max(position, sequence.prompt_length))
                            .subspan(static_cast<size_t>(position));
  return behind.first(std::min(behind.size(), kFollowing));
}

}  // namespace

PrefixCache::PrefixCache(const EngineShape& shape, const CacheShape& size, CacheBytes bytes)
    : size_(size),
      pool_(shape.pages_per_sequence() * shape.sequences + size.pages),
      tree_(pool_, size.checkpoints, bytes) {}

Result<std::unique_ptr<PrefixCache>> PrefixCache::create(
    const model::TextModel& model, const EngineShape& shape, const CacheShape& size,
    ops::KvCache& cache, ops::RecurrentState& recurrent, bool with_draft_head) {
  const CacheBytes bytes{cache.spec().bytes_per_page(),
                         StateStore::bytes(model.config(), with_draft_head, shape.saved_states)};
  std::unique_ptr<PrefixCache> made(new PrefixCache(shape, size, bytes));
  SLUICE_CHECK(cache.spec().pages == made->pool_.capacity(), "{} pages for a pool of {}",
               cache.spec().pages, made->pool_.capacity());
  made->backend_ = &model.backend();
  made->cache_ = &cache;
  made->recurrent_ = &recurrent;
  if (made->on()) {
    SLUICE_ASSIGN(made->states_,
                  StateStore::create(model.backend(), model.recurrent_spec(size.checkpoints, 0),
                                     shape.saved_states, shape.sequences,
                                     with_draft_head ? model.config().hidden : 0));
  }
  if (shape.disk.on()) SLUICE_TRY(made->open_disk(model, shape.disk, with_draft_head));
  return made;
}

ops::View PrefixCache::begin(Sequence& sequence) {
  const Request& request = sequence.request;
  PrefixTree::Match match;
  // With log probabilities of the prompt all its rows are wanted.
  if (on() && request.prompt_logprobs < 0)
    match = tree_.find(request.cache_space, request.prompt, request.reuse_answers);
  if (disk_ && request.prompt_logprobs < 0) {
    const int64_t in_memory = fetch_ ? fetch_->in_memory : match.position;
    match = find_on_disk(request, std::move(match));
    sequence.report.cached_disk_tokens = std::max<int64_t>(match.position - in_memory, 0);
  }
  tree_.hold(match);
  forget_fetch();
  sequence.pages = match.pages;
  sequence.held_pages = static_cast<int64_t>(match.pages.size());
  sequence.begin = sequence.processed = match.position;
  sequence.behind_answer = match.answered > 0;
  sequence.report.cached_tokens = match.position;
  sequence.report.cached_answer_tokens = match.answered;
  sequence.report.recomputed_tokens = match.known - match.position;
  if (on()) {
    sequence.places =
        checkpoint_places({.begin = match.position,
                           .length = sequence.prompt_length,
                           .borders = request.borders,
                           .branch = sequence.behind_answer ? 0 : match.shared_pages * ops::kGrid},
                          std::max(kFewestPlaces, size_.checkpoints / kShareOfOnePrompt));
  }
  // All pages that it can ever need, now: a running sequence is never preempted. The pool has them
  // for as many sequences as can run, and one more for the page that is copied below; what the tree
  // holds of them is given up.
  while (static_cast<int64_t>(sequence.pages.size()) * ops::kGrid < sequence.token_limit) {
    const auto page = tree_.take_page(match.checkpoint);
    SLUICE_CHECK(page.has_value(), "no page left for {} tokens", sequence.token_limit);
    sequence.pages.push_back(*page);
  }
  if (match.checkpoint < 0) {
    backend_->reset_slot(*recurrent_, sequence.slot);
    return {};
  }
  if (match.partial >= 0)
    backend_->copy_page(*cache_, match.partial, sequence.pages[match.pages.size()]);
  return states_->restore(match.checkpoint, *recurrent_, sequence.slot);
}

void PrefixCache::note_hidden(const Sequence& sequence, const ops::View& hidden, int64_t row) {
  if (on()) states_->note_hidden(sequence.slot, hidden, row);
}

void PrefixCache::after_step(Sequence& sequence) {
  if (!on()) return;
  const int64_t whole = std::min(sequence.processed, sequence.prompt_length) / ops::kGrid;
  while (sequence.held_pages < whole) hang_page(sequence, sequence.behind_answer);
  if (sequence.places.empty() || sequence.processed != sequence.places.front()) return;
  sequence.places.erase(sequence.places.begin());
  save(sequence, sequence.processed, -1);
}

void PrefixCache::hang_page(Sequence& sequence, bool answered) {
  const int64_t index = sequence.held_pages;
  int32_t& page = sequence.pages[static_cast<size_t>(index)];
  page = tree_.add_page(sequence.request.cache_space, held(sequence),
                        first_tokens(sequence, (index + 1) * ops::kGrid).last(ops::kGrid), page,
                        answered);
  ++sequence.held_pages;
}

// Behind the pages that hang in the tree; `partial`: the page with the rest, if there is one.
void PrefixCache::save(Sequence& sequence, int64_t position, int32_t partial) {
  const auto tail = static_cast<size_t>(position % ops::kGrid);
  const int32_t checkpoint =
      tree_.add_checkpoint({.space = sequence.request.cache_space,
                            .path = held(sequence),
                            .tail = first_tokens(sequence, position).last(tail),
                            .partial = partial,
                            .following = prompt_behind(sequence, position)});
  if (checkpoint >= 0) states_->save(*recurrent_, sequence.slot, checkpoint);
}

void PrefixCache::end(Sequence& sequence) {
  if (sequence.slot < 0) return;  // never begun
  if (on()) {
    if (!sequence.reading_prompt())
      tree_.note_following(held(sequence),
                           prompt_behind(sequence, sequence.held_pages * ops::kGrid));
    keep_end(sequence);
  }
  for (size_t i = static_cast<size_t>(sequence.held_pages); i < sequence.pages.size(); ++i)
    pool_.give_back(sequence.pages[i]);
  tree_.release(held(sequence));
  sequence.pages.clear();
  sequence.held_pages = 0;
}

void PrefixCache::keep_end(Sequence& sequence) {
  const int64_t end = sequence.processed;
  if (end <= sequence.begin) return;
  // Given up while it was read, on the grid: as good as any other place of the prompt.
  if (end < sequence.prompt_length) {
    if (end % ops::kGrid == 0) save(sequence, end, -1);
    return;
  }
  if (!sequence.request.reuse_answers) return;
  // The same answer again replaces the one that was kept: nobody could tell which to take.
  const auto same = tree_.find(sequence.request.cache_space, sequence.tokens, true);
  if (same.checkpoint >= 0 && same.position == end) {
    if (same.answered == 0) return;
    before_loss(same.checkpoint, false);
    tree_.forget(same.checkpoint);
  }
  while (sequence.held_pages < end / ops::kGrid) hang_page(sequence, true);
  int32_t partial = -1;
  if (end % ops::kGrid != 0) {
    const auto place = sequence.pages.begin() + end / ops::kGrid;
    partial = *place;
    sequence.pages.erase(place);
  }
  backend_->flush_slot(*recurrent_, sequence.slot, sequence.commit);
  sequence.commit = 0;
  save(sequence, end, partial);
}

std::optional<RequestId> PrefixCache::reader_of_same(
    const Sequence& waiting, std::span<const std::unique_ptr<Sequence>> running) const {
  const Request& request = waiting.request;
  if (!on() || request.prompt_logprobs >= 0) return std::nullopt;
  std::optional<int64_t> known;
  for (const auto& reader : running) {
    if (!reader->reading_prompt() || reader->finished || reader->behind_answer) continue;
    if (reader->places.empty() || reader->request.cache_space != request.cache_space) continue;
    const auto parts = std::mismatch(request.prompt.begin(), request.prompt.end(),
                                     reader->request.prompt.begin(), reader->request.prompt.end());
    const int64_t common = std::min<int64_t>(parts.first - request.prompt.begin(),
                                             static_cast<int64_t>(request.prompt.size()) - 1);
    const auto beyond = std::upper_bound(reader->places.begin(), reader->places.end(), common);
    if (beyond == reader->places.begin()) continue;
    if (!known) {
      known = tree_.find(request.cache_space, request.prompt, request.reuse_answers).position;
      const auto hit = disk_
                           ? disk_->find(request.cache_space, request.prompt, request.reuse_answers)
                           : std::nullopt;
      if (hit) known = std::max(*known, hit->position);
    }
    if (*(beyond - 1) > *known) return reader->id;
  }
  return std::nullopt;
}

CacheUse PrefixCache::use() const {
  CacheUse use;
  use.states = tree_.checkpoints();
  use.most_states = size_.checkpoints;
  use.pages = tree_.pages_held();
  use.most_pages = pool_.capacity();
  use.pages_in_use = pool_.capacity() - pool_.free() - (tree_.pages_held() - tree_.pages_in_use());
  if (disk_) use.disk = disk_->use();
  return use;
}

bool PrefixCache::intact(std::span<const std::unique_ptr<Sequence>> running) const {
  int64_t owned = 0;
  std::vector<int64_t> users(static_cast<size_t>(pool_.capacity()), 0);
  for (const auto& sequence : running) {
    owned += static_cast<int64_t>(sequence->pages.size()) - sequence->held_pages;
    for (const int32_t page : held(*sequence)) ++users[static_cast<size_t>(page)];
  }
  if (fetch_) {
    for (const int32_t page : fetch_->path) ++users[static_cast<size_t>(page)];
  }
  for (int64_t page = 0; page < pool_.capacity(); ++page) {
    if (tree_.users(static_cast<int32_t>(page)) != users[static_cast<size_t>(page)]) return false;
  }
  return pool_.intact() && tree_.intact() &&
         pool_.free() + tree_.pages_held() + owned == pool_.capacity();
}

}  // namespace sluice::runtime
