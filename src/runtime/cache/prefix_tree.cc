#include "runtime/cache/prefix_tree.h"

#include <algorithm>

#include "base/check.h"
#include "runtime/cache/eviction.h"

namespace sluice::runtime {
namespace {

int64_t common_length(Tokens a, Tokens b) {
  const size_t most = std::min(a.size(), b.size());
  size_t count = 0;
  while (count < most && a[count] == b[count]) ++count;
  return static_cast<int64_t>(count);
}

}  // namespace

PrefixTree::PrefixTree(PagePool& pages, int64_t checkpoints, CacheBytes bytes)
    : pages_(pages),
      bytes_(bytes),
      nodes_(static_cast<size_t>(pages.capacity()) + 1),
      checkpoints_(static_cast<size_t>(checkpoints)) {
  node(root()).in_tree = true;
  free_checkpoints_.reserve(checkpoints_.size());
  for (int64_t i = checkpoints - 1; i >= 0; --i)
    free_checkpoints_.push_back(static_cast<int32_t>(i));
}

size_t PrefixTree::memory(int64_t pages, int64_t checkpoints) {
  // Tails and what follows them are up to three pages of tokens.
  constexpr size_t kTokens = 3 * ops::kGrid * sizeof(TokenId);
  return static_cast<size_t>(pages + 1) * sizeof(Node) +
         static_cast<size_t>(checkpoints) * (sizeof(Checkpoint) + kTokens + sizeof(int32_t));
}

bool PrefixTree::visible(int32_t index, std::string_view space, bool with_answers) const {
  const Node& n = node(index);
  if (n.answered && !with_answers) return false;
  return n.parent != root() || n.space == space;
}

void PrefixTree::look_at_checkpoints(int32_t index, std::string_view space, Tokens tokens,
                                     bool with_answers, Match& best) const {
  for (int32_t i = node(index).first_checkpoint; i >= 0; i = at(i).next) {
    const Checkpoint& c = at(i);
    if (index == root() && c.space != space) continue;
    if (is_answered(c) && !with_answers) continue;
    const int64_t place = position(c);
    // At least one token is left to read: its row gives the answer's first token.
    if (place >= static_cast<int64_t>(tokens.size())) continue;
    const Tokens rest = tokens.subspan(static_cast<size_t>(place) - c.tail.size());
    const auto tail = static_cast<int64_t>(c.tail.size());
    const int64_t agree = common_length(c.tail, rest);
    if (agree < tail) continue;
    best.known =
        std::max(best.known, place + common_length(c.following, rest.subspan(c.tail.size())));
    const bool better =
        best.checkpoint < 0 || place > best.position ||
        (place == best.position && (is_answered(at(best.checkpoint)) && !is_answered(c)));
    if (!better) continue;
    best.checkpoint = i;
    best.position = place;
  }
}

PrefixTree::Match PrefixTree::find(std::string_view space, Tokens tokens, bool with_answers) const {
  Match best;
  std::vector<int32_t> open = {root()};  // nodes whose whole path agrees
  while (!open.empty()) {
    const int32_t index = open.back();
    open.pop_back();
    look_at_checkpoints(index, space, tokens, with_answers, best);
    const int64_t depth = node(index).depth;
    if (!node(index).answered) best.shared_pages = std::max(best.shared_pages, depth);
    const Tokens rest = tokens.subspan(static_cast<size_t>(depth * ops::kGrid));
    for (int32_t child = node(index).first_child; child >= 0; child = node(child).next_sibling) {
      if (!visible(child, space, with_answers)) continue;
      const int64_t agree = common_length(node(child).tokens, rest);
      best.known = std::max(best.known, depth * ops::kGrid + agree);
      if (agree == ops::kGrid) open.push_back(child);
    }
  }
  if (best.checkpoint >= 0) fill_in(best);
  return best;
}

void PrefixTree::fill_in(Match& match) const {
  const Checkpoint& c = at(match.checkpoint);
  match.partial = c.partial;
  match.pages = path_to(c.node);
  int64_t read = 0;
  for (const int32_t index : match.pages) read += node(index).answered ? 0 : ops::kGrid;
  match.answered = match.position - read;
}

std::vector<int32_t> PrefixTree::path_to(int32_t index) const {
  std::vector<int32_t> path;
  for (; index != root(); index = node(index).parent) path.push_back(index);
  std::reverse(path.begin(), path.end());
  return path;
}

void PrefixTree::use(int32_t index) {
  if (node(index).users++ == 0) ++used_pages_;
}

void PrefixTree::hold(const Match& match) {
  ++clock_;
  if (match.checkpoint >= 0) checkpoints_[static_cast<size_t>(match.checkpoint)].last_use = clock_;
  hold_pages(match.pages);
}

void PrefixTree::hold_pages(std::span<const int32_t> path) {
  for (const int32_t page : path) use(page);
}

void PrefixTree::release(std::span<const int32_t> path) {
  for (size_t i = path.size(); i-- > 0;) {
    SLUICE_CHECK(node(path[i]).users > 0, "page {} has no user", path[i]);
    if (--node(path[i]).users == 0) --used_pages_;
    prune(path[i]);
  }
}

// Takes the node out if nobody uses it and it leads nowhere, then the same with its parents.
void PrefixTree::prune(int32_t index) {
  while (index != root()) {
    Node& n = node(index);
    if (n.users > 0 || n.first_child >= 0 || n.first_checkpoint >= 0) return;
    int32_t* link = &node(n.parent).first_child;
    while (*link != index) link = &node(*link).next_sibling;
    *link = n.next_sibling;
    const int32_t parent = n.parent;
    n = Node{};
    --held_pages_;
    pages_.give_back(index);
    index = parent;
  }
}

bool PrefixTree::answered(std::span<const int32_t> path) const {
  return node(end_of(path)).answered;
}

int32_t PrefixTree::read_child(int32_t parent, std::string_view space, Tokens tokens) const {
  for (int32_t child = node(parent).first_child; child >= 0; child = node(child).next_sibling) {
    if (!visible(child, space, false)) continue;
    if (std::equal(tokens.begin(), tokens.end(), node(child).tokens.begin())) return child;
  }
  return -1;
}

int32_t PrefixTree::hold_read_page(std::string_view space, std::span<const int32_t> path,
                                   Tokens tokens) {
  const int32_t parent = end_of(path);
  const int32_t child = node(parent).answered ? -1 : read_child(parent, space, tokens);
  if (child >= 0) use(child);
  return child;
}

int32_t PrefixTree::add_page(std::string_view space, std::span<const int32_t> path, Tokens tokens,
                             int32_t page, bool answered) {
  SLUICE_CHECK(tokens.size() == ops::kGrid, "a page of {} tokens", tokens.size());
  const int32_t parent = end_of(path);
  answered = answered || node(parent).answered;
  if (const int32_t child = answered ? -1 : read_child(parent, space, tokens); child >= 0) {
    use(child);
    pages_.give_back(page);
    return child;
  }
  Node& n = node(page);
  SLUICE_CHECK(!n.in_tree, "page {} is in the tree already", page);
  n.parent = parent;
  n.next_sibling = node(parent).first_child;
  n.in_tree = true;
  n.answered = answered;
  n.depth = node(parent).depth + 1;
  std::copy(tokens.begin(), tokens.end(), n.tokens.begin());
  if (parent == root()) n.space = space;
  node(parent).first_child = page;
  use(page);
  ++held_pages_;
  return page;
}

int32_t PrefixTree::add_checkpoint(const NewCheckpoint& wanted) {
  const int32_t owner = end_of(wanted.path);
  SLUICE_CHECK(wanted.tail.size() < ops::kGrid && wanted.tail.empty() == (wanted.partial < 0),
               "a tail of {} tokens in page {}", wanted.tail.size(), wanted.partial);
  if (const int32_t same = wanted.tail.empty() ? grid_checkpoint(owner) : -1; same >= 0) {
    checkpoints_[static_cast<size_t>(same)].last_use = clock_;
    note_following(wanted.path, wanted.following);
    return -1;
  }
  if (free_checkpoints_.empty()) {
    const int32_t victim = Eviction(*this).least_valuable();
    SLUICE_CHECK(victim >= 0, "a tree without room for checkpoints");
    evict(victim);
  }
  const int32_t index = free_checkpoints_.back();
  free_checkpoints_.pop_back();
  ++used_checkpoints_;
  Checkpoint& c = checkpoints_[static_cast<size_t>(index)];
  c.node = owner;
  c.next = node(owner).first_checkpoint;
  c.partial = wanted.partial;
  c.last_use = clock_;
  c.tail.assign(wanted.tail.begin(), wanted.tail.end());
  c.following.assign(wanted.following.begin(), wanted.following.end());
  if (owner == root()) c.space = wanted.space;
  if (c.partial >= 0) ++held_pages_;
  node(owner).first_checkpoint = index;
  return index;
}

int32_t PrefixTree::grid_checkpoint(int32_t index) const {
  int32_t i = node(index).first_checkpoint;
  while (i >= 0 && !at(i).tail.empty()) i = at(i).next;
  return i;
}

void PrefixTree::note_following(std::span<const int32_t> path, Tokens following) {
  const int32_t checkpoint = grid_checkpoint(end_of(path));
  if (checkpoint < 0) return;
  checkpoints_[static_cast<size_t>(checkpoint)].following.assign(following.begin(),
                                                                 following.end());
}

void PrefixTree::forget(int32_t checkpoint) {
  Checkpoint& c = checkpoints_[static_cast<size_t>(checkpoint)];
  SLUICE_CHECK(c.node >= 0, "checkpoint {} is free", checkpoint);
  int32_t* link = &node(c.node).first_checkpoint;
  while (*link != checkpoint) link = &checkpoints_[static_cast<size_t>(*link)].next;
  *link = c.next;
  if (c.partial >= 0) {
    --held_pages_;
    pages_.give_back(c.partial);
  }
  const int32_t owner = c.node;
  c = Checkpoint{};
  --used_checkpoints_;
  free_checkpoints_.push_back(checkpoint);
  prune(owner);
}

void PrefixTree::evict(int32_t checkpoint) {
  if (told_) told_(checkpoint);
  forget(checkpoint);
}

void PrefixTree::set_file(int32_t checkpoint, uint64_t file) {
  Checkpoint& c = checkpoints_[static_cast<size_t>(checkpoint)];
  SLUICE_CHECK(c.node >= 0, "checkpoint {} is free", checkpoint);
  c.file = file;
  if (file != kNeverAgain) node(c.node).file = file;
}

std::optional<std::vector<int32_t>> PrefixTree::path_of_file(uint64_t file) const {
  for (int32_t index = 0; index < root(); ++index) {
    if (node(index).in_tree && node(index).file == file) return path_to(index);
  }
  return std::nullopt;
}

int32_t PrefixTree::next_without_file() const {
  int32_t next = Eviction(*this).least_valuable_without_file();
  if (next < 0) return next;
  // What is nearer to the root first: then each page is in one file.
  for (int32_t index = at(next).node; index != root(); index = node(index).parent) {
    for (int32_t i = node(index).first_checkpoint; i >= 0; i = at(i).next) {
      if (at(i).file == kNoFile && position(at(i)) < position(at(next))) next = i;
    }
  }
  return next;
}

PrefixTree::Material PrefixTree::material(int32_t checkpoint,
                                          const std::function<bool(uint64_t file)>& there) const {
  const Checkpoint& c = at(checkpoint);
  Material made;
  made.pages = path_to(c.node);
  made.space = made.pages.empty() ? c.space : node(made.pages.front()).space;
  made.partial = c.partial;
  made.answered = is_answered(c);
  for (const int32_t index : made.pages) {
    const Node& n = node(index);
    made.tokens.insert(made.tokens.end(), n.tokens.begin(), n.tokens.end());
    made.read_pages += n.answered ? 0 : 1;
    if (n.file == kNoFile || !there(n.file)) continue;
    made.parent = n.file;
    made.parent_pages = n.depth;
  }
  made.tokens.insert(made.tokens.end(), c.tail.begin(), c.tail.end());
  return made;
}

std::optional<int32_t> PrefixTree::take_page(int32_t spared) {
  while (pages_.free() == 0) {
    const int32_t victim = Eviction(*this, spared).least_valuable_with_pages();
    if (victim < 0) return std::nullopt;
    evict(victim);
  }
  return pages_.take();
}

bool PrefixTree::intact() const {
  int64_t pages = 0, used = 0, checkpoints = 0;
  std::vector<bool> seen(checkpoints_.size(), false);
  for (int32_t index = 0; index <= root(); ++index) {
    const Node& n = node(index);
    if (!n.in_tree) {
      if (n.users != 0 || n.first_child >= 0 || n.first_checkpoint >= 0) return false;
      continue;
    }
    if (index != root()) {
      ++pages;
      used += n.users > 0 ? 1 : 0;
      const Node& parent = node(n.parent);
      if (!parent.in_tree || n.depth != parent.depth + 1) return false;
      if (parent.answered && !n.answered) return false;
      if (n.users == 0 && n.first_child < 0 && n.first_checkpoint < 0) return false;
    }
    // Who holds a page holds all before it, and one path.
    int64_t users_below = 0;
    for (int32_t child = n.first_child; child >= 0; child = node(child).next_sibling) {
      if (node(child).parent != index) return false;
      users_below += node(child).users;
    }
    if (index != root() && users_below > n.users) return false;
    for (int32_t i = n.first_checkpoint; i >= 0; i = at(i).next) {
      if (at(i).node != index || seen[static_cast<size_t>(i)]) return false;
      seen[static_cast<size_t>(i)] = true;
      ++checkpoints;
      if (at(i).partial >= 0) ++pages;
    }
  }
  return pages == held_pages_ && used == used_pages_ && checkpoints == used_checkpoints_ &&
         checkpoints + static_cast<int64_t>(free_checkpoints_.size()) ==
             static_cast<int64_t>(checkpoints_.size());
}

}  // namespace sluice::runtime
