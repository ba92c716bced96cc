// Pages and recurrent state of a sequence from its beginning to its end: what an earlier prompt or
// answer left is taken over, what this one leaves is kept (design.md section 3, "Prefix tree").
//
// The engine calls begin(), after_step() and end(), and knows nothing else of the cache. Without
// one (a budget of 0) the same calls hand out fresh pages and take them back. With a disk tier
// (disk_tier.h) begin() also looks there, and write_ahead() and save_some() keep it fed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "model/text/text_model.h"
#include "runtime/cache/disk_tier.h"
#include "runtime/cache/page_pool.h"
#include "runtime/cache/prefix_tree.h"
#include "runtime/cache/state_store.h"
#include "runtime/memory_plan.h"
#include "runtime/sequence.h"

namespace sluice::runtime {

// Files of the disk tier on their way into memory.
struct PrefixFetch {
  RequestId request = 0;
  int64_t in_memory = 0;                      // tokens that were known there
  std::vector<uint64_t> files;                // still to be read, the last one first
  std::unique_ptr<DiskTier::Reader> reading;  // the one at the end of `files`
  std::vector<int32_t> path;                  // pages so far, held
};

class PrefixCache {
 public:
  // Takes the memory of the checkpoints. `cache` has the shape's pages and the cache's; it and
  // `recurrent` must outlive this.
  static Result<std::unique_ptr<PrefixCache>> create(const model::TextModel& model,
                                                     const EngineShape& shape,
                                                     const CacheShape& size, ops::KvCache& cache,
                                                     ops::RecurrentState& recurrent,
                                                     bool with_draft_head);

  bool on() const { return size_.checkpoints > 0; }

  // What files of the disk tier hold; without their fingerprint.
  static SegmentForm file_form(const model::TextConfig& config, size_t page_bytes,
                               bool with_draft_head, StateForm form);

  // Before begin(), where reading files at once would hold up others. begin_fetch(): the sequence
  // finds more on disk than in memory. fetch_some() reads of it until `enough` says so after a
  // piece, and is true while there is more to read. (The state, behind the pages, is one piece:
  // half of it would be found by others.) One sequence at a time, whose place must be kept free:
  // what is read holds pages. forget_fetch(): it will not begin.
  bool begin_fetch(const Sequence& sequence);
  bool fetch_some(const Sequence& sequence, const std::function<bool()>& enough);
  bool fetching() const { return fetch_.has_value(); }
  void forget_fetch();

  // Gives the sequence, which has a slot, pages for all its tokens and the state of as many of them
  // as are known. Returns the hidden vector before the first token to be read ([1, H], for the
  // draft head's row there); empty without a state or a draft head.
  ops::View begin(Sequence& sequence);
  // The sequence's last kept row of the step, before anything else runs in the workspace.
  void note_hidden(const Sequence& sequence, const ops::View& hidden, int64_t row);
  // Pages that the step filled with the prompt are shared from now on; a state worth keeping is
  // kept. The draft head's rows of the step have been made.
  void after_step(Sequence& sequence);
  // Keeps the conversation's end (or how far its prompt was read), and takes all pages back.
  void end(Sequence& sequence);

  // A running sequence that is reading what `waiting` begins with too, and further than the tree
  // knows: waiting for it is cheaper than reading the same beside it.
  std::optional<RequestId> reader_of_same(const Sequence& waiting,
                                          std::span<const std::unique_ptr<Sequence>> running) const;

  // Under load: while memory is short, what would go next is written. Between requests: so is
  // everything else that has no file; false when there is nothing left to be written.
  void write_ahead();
  bool save_some();

  CacheUse use() const;

  // Pages, checkpoints and references add up with what the running sequences hold.
  bool intact(std::span<const std::unique_ptr<Sequence>> running) const;

 private:
  PrefixCache(const EngineShape& shape, const CacheShape& size, CacheBytes bytes);
  std::span<const int32_t> held(const Sequence& sequence) const {
    return std::span(sequence.pages).first(static_cast<size_t>(sequence.held_pages));
  }
  void hang_page(Sequence& sequence, bool answered);
  void save(Sequence& sequence, int64_t position, int32_t partial);
  void keep_end(Sequence& sequence);
  void before_loss(int32_t checkpoint, bool evicted);

  // prefix_cache_disk.cc
  Status open_disk(const model::TextModel& model, const DiskCache& where, bool with_draft_head);
  PrefixTree::Match find_on_disk(const Request& request, PrefixTree::Match in_memory);
  void open_fetch(const DiskTier::Hit& hit, PrefixFetch& fetch);
  bool fetch_piece(PrefixFetch& fetch, const Request& request);
  bool load_page(PrefixFetch& fetch, const Request& request);
  void load_state(DiskTier::Reader& file, uint64_t number, const Request& request,
                  std::span<const int32_t> path);
  void write_next();

  const CacheShape size_;
  PagePool pool_;
  PrefixTree tree_;
  std::unique_ptr<StateStore> states_;
  ops::Backend* backend_ = nullptr;
  ops::KvCache* cache_ = nullptr;
  ops::RecurrentState* recurrent_ = nullptr;

  std::vector<float> piece_;          // of a file that is being read
  int32_t being_written_ = -1;        // a checkpoint
  std::unique_ptr<DiskTier> disk_;    // goes before the others: its thread reads pages and states
  std::optional<PrefixFetch> fetch_;  // for a request that waits; goes before disk_
};

}  // namespace sluice::runtime
