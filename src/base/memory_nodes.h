// Memory nodes (sockets): which cores stand next to which memory, and on which of them the members
// of a team should stay. A page lies on the node of the thread that wrote it first; a member that
// the system moves to the other socket reads its share of the weights through the link between
// them, at a fraction of the rate.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace sluice {

using Cores = std::vector<int>;  // ascending

// "0-3,8,10-11" as /sys/devices/system/node/node*/cpulist has it; nothing if it is not such a list.
std::optional<Cores> parse_core_list(std::string_view text);

// The cores of each node; empty where the system does not tell.
std::vector<Cores> memory_nodes();

// Cores that the calling thread may run on.
Cores allowed_cores();

// The cores for member `member` of `size`: all allowed ones of one node, so that the system can
// still choose among them. Neighbouring members share a node, nodes get members by their allowed
// cores. Empty, which means anywhere, where fewer than two nodes have allowed cores.
Cores cores_of_member(const std::vector<Cores>& nodes, const Cores& allowed, int member, int size);

// Keeps the calling thread to these cores; none, or a refusal by the system, changes nothing.
void keep_to(const Cores& cores);

}  // namespace sluice
