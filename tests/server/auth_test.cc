#include "server/auth.h"

#include <gtest/gtest.h>

namespace sluice::server {
namespace {

TEST(Keys, EveryHeaderThatClientsUse) {
  const KeyRing keys({"secret", "other"});
  EXPECT_TRUE(keys.admits({{"Authorization", "Bearer secret"}}));
  EXPECT_TRUE(keys.admits({{"authorization", "bearer  other"}}));
  EXPECT_TRUE(keys.admits({{"x-api-key", "secret"}}));
  EXPECT_TRUE(keys.admits({{"api-key", "other"}}));
  for (const http::Headers& wrong :
       {http::Headers{}, http::Headers{{"Authorization", "Bearer secre"}},
        http::Headers{{"Authorization", "Basic secret"}},
        http::Headers{{"Authorization", "secret"}}, http::Headers{{"x-api-key", ""}},
        http::Headers{{"x-api-key", "secret2"}}})
    EXPECT_FALSE(keys.admits(wrong));
  EXPECT_TRUE(KeyRing({}).admits({}));
}

TEST(Keys, UsersAreToldApartByWhatTheyPresent) {
  const std::string bearer = user_scope({{"Authorization", "Bearer secret"}});
  EXPECT_EQ(bearer.size(), 32u);
  EXPECT_EQ(bearer.find("secret"), std::string::npos);
  EXPECT_EQ(user_scope({{"x-api-key", "secret"}}), bearer);
  EXPECT_NE(user_scope({{"x-api-key", "other"}}), bearer);
  EXPECT_EQ(user_scope({}), "");
}

TEST(Cors, OnlyListedOriginsAndNeverAnyWithCredentials) {
  http::Request request;
  request.headers = {{"Origin", "https://a"}, {"Access-Control-Request-Headers", "x-y"}};
  EXPECT_TRUE(CorsPolicy({}).headers(request).fields().empty());
  EXPECT_TRUE(CorsPolicy({"https://b"}).headers(request).fields().empty());
  const http::Headers listed = CorsPolicy({"https://a"}).headers(request);
  EXPECT_EQ(listed.find("access-control-allow-origin"), "https://a");
  EXPECT_EQ(listed.find("access-control-allow-credentials"), "true");
  const http::Headers any = CorsPolicy({"*"}).headers(request);
  EXPECT_EQ(any.find("access-control-allow-origin"), "*");
  EXPECT_FALSE(any.find("access-control-allow-credentials"));
  const http::Response preflight = CorsPolicy({"*"}).preflight(request);
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(preflight.headers.find("access-control-allow-headers"), "x-y");
}

}  // namespace
}  // namespace sluice::server
