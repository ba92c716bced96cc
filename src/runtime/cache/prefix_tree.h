// What the prefix cache knows: which tokens have pages of keys and values, and where a recurrent
// state was saved (design.md section 3, "Prefix tree").
//
// A node is a page: 64 tokens behind its parent's. A checkpoint is a saved state that hangs on a
// node; it holds behind the node's last token, or up to 63 tokens further (its tail). Two kinds of
// material never mix:
//   read       every row of the path was read as prompt. One node for the same tokens; bit-equal to
//              what anybody would compute anew, so it is shared.
//   answered   some row of the path was made while answering. Its bits depend on where the answer
//              began, so it is never merged: each answer hangs its own chain.
// The tree holds no keys, values or states, only the numbers of their places: a node's number is
// its page's, a checkpoint's number is its state's. With a disk tier it knows of both which file
// they are in, by a number that is never used again.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ops/batch.h"
#include "runtime/cache/page_pool.h"
#include "tokenizer/tokenizer.h"

namespace sluice::runtime {

using tokenizer::TokenId;
using Tokens = std::span<const TokenId>;

// What a page and a saved state take, for the choice of what to lose.
struct CacheBytes {
  size_t page = 1, state = 1;
};

class PrefixTree {
 public:
  // `pages` is shared with the engine and must outlive the tree.
  PrefixTree(PagePool& pages, int64_t checkpoints, CacheBytes bytes);

  // Host memory of such a tree.
  static size_t memory(int64_t pages, int64_t checkpoints);

  struct Match {
    int32_t checkpoint = -1;     // -1: nothing to begin with
    int64_t position = 0;        // tokens [0, position) need not be read; less than all of them
    std::vector<int32_t> pages;  // whole pages of these tokens, in order
    int32_t partial = -1;        // the page with the rest of them, to be copied; -1: no rest
    int64_t answered = 0;        // the last so many of them hang on an answer
    int64_t known = 0;           // tokens seen before from the beginning on; at least position
    int64_t shared_pages = 0;    // whole pages of read material that agree
  };
  // The longest way into `tokens` that ends at a checkpoint; among equals the read one. Material of
  // another space is invisible.
  Match find(std::string_view space, Tokens tokens, bool with_answers) const;

  // One user more of each page of a path; pages in use are not lost. Marks the checkpoint as used.
  void hold(const Match& match);
  void hold_pages(std::span<const int32_t> path);
  // One user less. What is of no use to anybody then goes back to the pool. `path`: pages from the
  // root on, in order.
  void release(std::span<const int32_t> path);

  // Hangs a page behind a path that the caller holds; the caller holds the result too. A read page
  // whose tokens stand there already is given back to the pool, and the result is the tree's. A
  // page behind answered ones is answered whatever is said.
  int32_t add_page(std::string_view space, std::span<const int32_t> path, Tokens tokens,
                   int32_t page, bool answered);
  bool answered(std::span<const int32_t> path) const;
  // The read page with these tokens behind a path that the caller holds, with one user more; -1:
  // there is none.
  int32_t hold_read_page(std::string_view space, std::span<const int32_t> path, Tokens tokens);

  struct NewCheckpoint {
    std::string_view space;
    std::span<const int32_t> path;  // held by the caller
    Tokens tail;                    // up to 63 tokens behind it; if there are any, it is answered
    int32_t partial = -1;  // a page of the pool with the tail's rows; the tree's from now on
    Tokens following;      // what stood behind it, to tell later what was read twice
  };
  // The number under which to save the state; loses the least valuable checkpoint when none is
  // free. -1 when one stands there already (which is then as good as new).
  int32_t add_checkpoint(const NewCheckpoint& checkpoint);
  void forget(int32_t checkpoint);
  // What stands behind a path now, for the checkpoint at its end, if there is one.
  void note_following(std::span<const int32_t> path, Tokens following);

  // A free page, if need be by losing checkpoints with what only they need, but never `spared`.
  // Nothing when all pages are in use.
  std::optional<int32_t> take_page(int32_t spared = -1);

  // ---- for the disk tier

  // Called before a checkpoint is lost to make room.
  void on_eviction(std::function<void(int32_t checkpoint)> told) { told_ = std::move(told); }

  static constexpr uint64_t kNoFile = 0, kNeverAgain = ~uint64_t{0};
  // The checkpoint's state and the pages before it are in `file`, or in those that it hangs on;
  // kNeverAgain: do not offer it again.
  void set_file(int32_t checkpoint, uint64_t file);
  // The same for the pages of a path alone.
  void set_file(std::span<const int32_t> path, uint64_t file) { node(end_of(path)).file = file; }
  uint64_t file(int32_t checkpoint) const { return at(checkpoint).file; }
  // Pages up to the end of a file; nothing: no page knows it.
  std::optional<std::vector<int32_t>> path_of_file(uint64_t file) const;

  // What to write next: of the checkpoints without a file the one that would go first, or what has
  // to be on disk before it. -1: all have one.
  int32_t next_without_file() const;

  struct Material {
    std::string_view space;
    std::vector<int32_t> pages;  // from the beginning
    std::vector<TokenId> tokens;
    int64_t read_pages = 0;
    int32_t partial = -1;
    bool answered = false;
    uint64_t parent = kNoFile;  // the nearest file on the path that `there` says is there
    int64_t parent_pages = 0;
  };
  Material material(int32_t checkpoint, const std::function<bool(uint64_t file)>& there) const;

  int64_t pages_held() const { return held_pages_; }  // of the pool's, those in the tree
  int64_t checkpoints() const { return used_checkpoints_; }
  int64_t pages_in_use() const { return used_pages_; }  // of these, by running sequences
  int64_t users(int32_t page) const { return nodes_[static_cast<size_t>(page)].users; }

  // Every link has its counterpart, pages and checkpoints add up, and whatever nobody uses leads to
  // a checkpoint.
  bool intact() const;

 private:
  friend class Eviction;
  struct Node {
    int32_t parent = -1, first_child = -1, next_sibling = -1;
    int32_t first_checkpoint = -1;
    int32_t users = 0;
    bool in_tree = false, answered = false;
    int64_t depth = 0;  // pages up to and with this one
    uint64_t file = kNoFile;
    std::array<TokenId, ops::kGrid> tokens = {};
    std::string space;  // of the first page of a path
  };
  struct Checkpoint {
    int32_t node = -1;  // -1: free
    int32_t next = -1;  // on the same node
    int32_t partial = -1;
    int64_t last_use = 0;
    uint64_t file = kNoFile;
    std::vector<TokenId> tail, following;
    std::string space;  // if it hangs on the root
  };

  Node& node(int32_t index) { return nodes_[static_cast<size_t>(index)]; }
  const Node& node(int32_t index) const { return nodes_[static_cast<size_t>(index)]; }
  const Checkpoint& at(int32_t index) const { return checkpoints_[static_cast<size_t>(index)]; }
  int32_t root() const { return static_cast<int32_t>(nodes_.size()) - 1; }
  int32_t end_of(std::span<const int32_t> path) const {
    return path.empty() ? root() : path.back();
  }
  bool is_answered(const Checkpoint& c) const { return node(c.node).answered || !c.tail.empty(); }
  int64_t position(const Checkpoint& c) const {
    return node(c.node).depth * ops::kGrid + static_cast<int64_t>(c.tail.size());
  }
  bool visible(int32_t index, std::string_view space, bool with_answers) const;
  void look_at_checkpoints(int32_t index, std::string_view space, Tokens tokens, bool with_answers,
                           Match& best) const;
  void fill_in(Match& match) const;
  std::vector<int32_t> path_to(int32_t index) const;
  int32_t read_child(int32_t parent, std::string_view space, Tokens tokens) const;
  void use(int32_t index);
  void evict(int32_t checkpoint);
  int32_t grid_checkpoint(int32_t index) const;  // the one without a tail; -1: none
  void prune(int32_t index);

  PagePool& pages_;
  const CacheBytes bytes_;
  std::vector<Node> nodes_;  // by page; the last is the root
  std::vector<Checkpoint> checkpoints_;
  std::vector<int32_t> free_checkpoints_;
  std::function<void(int32_t)> told_;
  int64_t held_pages_ = 0, used_pages_ = 0, used_checkpoints_ = 0;
  int64_t clock_ = 0;  // counts requests
};

}  // namespace sluice::runtime
