// Text and tokens without an answer (serving-openai.md 4.8).
#include "server/api.h"

namespace sluice::server {

void Api::add_text_routes() {}

}  // namespace sluice::server
