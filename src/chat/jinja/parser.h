// Tokens to tree: the grammar of Jinja2, with its precedences.
#pragma once

#include <string_view>

#include "chat/jinja/ast.h"

namespace sluice::chat::jinja {

// Throws JinjaError: TemplateSyntaxError for what Jinja2 refuses as well, TemplateAssertionError
// for an unknown filter or test, Unsupported for what it has and this engine has not (extends,
// include, import, block ...).
Template parse_template(std::string_view source);

}  // namespace sluice::chat::jinja
