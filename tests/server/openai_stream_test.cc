// The reader of streams refuses what their order does not allow: otherwise no stream that it takes
// would mean anything.
#include "server/openai_stream.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace sluice::test {
namespace {

std::string chunk(const std::string& delta, const std::string& finish = "null") {
  return R"({"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":)" +
         delta + R"(,"finish_reason":)" + finish + R"(}],"usage":null})";
}

std::vector<std::string> good_chunks() {
  return {
      chunk(R"({"role":"assistant","content":""})"),
      chunk(R"({"reasoning_content":"h","reasoning":"h"})"),
      chunk(R"({"content":"Look."})"),
      chunk(
          R"({"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]})"),
      chunk(R"({"tool_calls":[{"index":0,"function":{"arguments":"{\"a\": ["}}]})"),
      chunk(R"({"tool_calls":[{"index":0,"function":{"arguments":"1]}"}}]})"),
      chunk("{}", R"("tool_calls")"),
      R"({"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":9}})",
      "[DONE]",
  };
}

std::string stream_of(const std::vector<std::string>& chunks) {
  std::string stream;
  for (const std::string& data : chunks) stream += "data: " + data + "\n\n";
  return stream;
}

TEST(OpenAiStream, AGoodOneIsItsBody) {
  const Json body = read_openai_stream(stream_of(good_chunks()));
  const Json& message = *body.find("choices")->items()[0].find("message");
  EXPECT_EQ(message.find("content")->string(), "Look.");
  EXPECT_EQ(message.find("reasoning_content")->string(), "h");
  const Json& call = message.find("tool_calls")->items()[0];
  EXPECT_EQ(call.find("function")->find("arguments")->string(), R"({"a": [1]})");
  EXPECT_EQ(body.find("usage")->dump(), R"({"prompt_tokens":9})");
}

TEST(OpenAiStream, NoChunkMayBeMissingOrComeTwice) {
  const auto good = good_chunks();
  for (size_t i = 0; i < good.size(); ++i) {
    const bool text = i == 1 || i == 2;  // a piece of a text may
    if (text) continue;
    auto missing = good;
    missing.erase(missing.begin() + static_cast<ptrdiff_t>(i));
    EXPECT_THROW(read_openai_stream(stream_of(missing)), std::runtime_error) << good[i];
    auto twice = good;
    twice.insert(twice.begin() + static_cast<ptrdiff_t>(i), good[i]);
    EXPECT_THROW(read_openai_stream(stream_of(twice)), std::runtime_error) << good[i];
  }
}

TEST(OpenAiStream, ChunksKeepTheirOrderAndAgree) {
  const auto good = good_chunks();
  for (size_t i = 0; i + 1 < good.size(); ++i) {
    const bool free = i == 1 || i == 2;  // what is said beside a call
    if (free) continue;
    auto swapped = good;
    std::swap(swapped[i], swapped[i + 1]);
    EXPECT_THROW(read_openai_stream(stream_of(swapped)), std::runtime_error) << good[i];
  }
  for (const auto& [place, other] : std::vector<std::pair<size_t, std::string>>{
           {1, chunk(R"({"reasoning_content":"h","reasoning":"i"})")},
           {2, chunk(R"({"content":"x","reasoning_content":"h","reasoning":"h"})")},
           {2, chunk(R"({"role":"assistant","content":""})")},
           {4, chunk(R"({"tool_calls":[{"index":1,"function":{"arguments":"{"}}]})")},
           {4, chunk(R"({"tool_calls":[{"index":0,"function":{"arguments":"x"}}]})")},
           {6, chunk("{}", R"("stop")")},
           {6, chunk(R"({"content":"x"})", R"("tool_calls")")}}) {
    auto changed = good;
    changed[place] = other;
    EXPECT_THROW(read_openai_stream(stream_of(changed)), std::runtime_error) << other;
  }
  auto other_id = good;
  other_id[2].replace(other_id[2].find("\"c\""), 3, "\"d\"");
  EXPECT_THROW(read_openai_stream(stream_of(other_id)), std::runtime_error);
}

}  // namespace
}  // namespace sluice::test
