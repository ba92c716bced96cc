// A tokenizer, a template and what else the server needs of a model, from files of the tree.
#pragma once

#include "server/core/model_text.h"

namespace sluice::test {

// Lives as long as the program. Byte-level tokens and all markers; a template with tools and
// thoughts (tests/server/data/chat_template.jinja); 4096 tokens of context; named "tiny".
const server::ModelText& model_text();

}  // namespace sluice::test
