// Lists of cores, and members of a team on nodes.
#include "base/memory_nodes.h"

#include <gtest/gtest.h>

#include <thread>

namespace sluice {
namespace {

TEST(MemoryNodes, ListsAsTheSystemWritesThem) {
  EXPECT_EQ(parse_core_list("0-3,8,10-11\n"), (Cores{0, 1, 2, 3, 8, 10, 11}));
  EXPECT_EQ(parse_core_list("5"), (Cores{5}));
  EXPECT_EQ(parse_core_list("\n"), Cores{});
  EXPECT_EQ(parse_core_list("2,1-2"), (Cores{1, 2}));
  for (const char* forged :
       {"a", "1-", "-1", "3-1", "1,", ",1", "1;2", "0-99999999999", "0-1023-5", "1024"})
    EXPECT_EQ(parse_core_list(forged), std::nullopt) << forged;
}

TEST(MemoryNodes, NeighboursShareANode) {
  const std::vector<Cores> nodes = {{0, 1, 2, 3}, {4, 5, 6, 7}};
  const Cores all = {0, 1, 2, 3, 4, 5, 6, 7};
  for (int member = 0; member < 8; ++member)
    EXPECT_EQ(cores_of_member(nodes, all, member, 8), nodes[member < 4 ? 0 : 1]) << member;
  // As many members as one node has cores spread over both: each node has its own channels.
  for (int member = 0; member < 4; ++member)
    EXPECT_EQ(cores_of_member(nodes, all, member, 4), nodes[member < 2 ? 0 : 1]) << member;
}

TEST(MemoryNodes, NodesGetMembersByTheirAllowedCores) {
  const std::vector<Cores> nodes = {{0, 2, 4, 6}, {}, {1, 3, 5, 7}};
  const Cores allowed = {0, 2, 4, 5};
  for (int member = 0; member < 4; ++member) {
    EXPECT_EQ(cores_of_member(nodes, allowed, member, 4), (member < 3 ? Cores{0, 2, 4} : Cores{5}))
        << member;
  }
}

TEST(MemoryNodes, AnywhereOnOneNode) {
  EXPECT_EQ(cores_of_member({{0, 1}}, {0, 1}, 1, 2), Cores{});
  EXPECT_EQ(cores_of_member({}, {0, 1}, 1, 2), Cores{});
  EXPECT_EQ(cores_of_member({{0, 1}, {2, 3}}, {2, 3}, 0, 2), Cores{});
}

TEST(MemoryNodes, AThreadKeepsToItsCores) {
  const Cores before = allowed_cores();
  ASSERT_FALSE(before.empty());
  Cores inside, after;
  std::thread([&] {
    keep_to({before.back()});
    inside = allowed_cores();
    keep_to({});
    after = allowed_cores();
  }).join();
  EXPECT_EQ(inside, Cores{before.back()});
  EXPECT_EQ(after, inside);
  EXPECT_EQ(allowed_cores(), before);
}

}  // namespace
}  // namespace sluice
