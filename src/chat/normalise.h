// What a request's messages, tools and template variables become before the template sees them
// (serving-template.md 1.4, rules N1 to N12): templates of this family raise on much that clients
// send.
#pragma once

#include "base/json.h"
#include "base/result.h"

namespace sluice::chat {

// A system message after the first turn.
enum class LateSystem {
  kFold,  // into the turn at its place: earlier turns, and so their cached prefix, stay as they are
  kHoist,  // into the head: simple, and each such message costs the whole prefix
  kError,
};

struct NormaliseOptions {
  LateSystem late_system = LateSystem::kFold;
  bool strict_tool_arguments =
      false;  // arguments that are no JSON object are refused, not wrapped (N6)
  bool accept_images = true, accept_videos = true;  // off for a build without a vision tower
  // The Anthropic route: a final assistant message is always continued, without
  // continue_final_message (N12).
  bool always_continue = false;
  Json default_kwargs;  // the server's, below those of the request (N11); object or null
};

struct NormalisedRequest {
  Json messages;              // array
  Json tools;                 // array or null
  Json chat_template_kwargs;  // object
  bool add_generation_prompt = true;
  bool continue_final_message = false;  // render with render_continuation()
};

// `request` has messages, and may have tools, chat_template_kwargs, add_generation_prompt,
// continue_final_message; other members are not looked at. An error is kUsage and names the place:
// "messages[3].role".
Result<NormalisedRequest> normalise(const Json& request, const NormaliseOptions& options = {});

}  // namespace sluice::chat
