// The values of "format" that strings are held to.
#pragma once

#include <optional>
#include <string_view>

#include "chat/grammar/expression.h"

namespace sluice::chat::grammar {

// A string literal, quotes included, of the named format: date, time, date-time, uuid, ipv4, email.
// Nothing for another name. Days go to 31 in every month.
std::optional<Expr> string_format(Expressions& grammar, std::string_view name);

}  // namespace sluice::chat::grammar
