#include "tools/quantize/golden_hashes.h"

#include <gtest/gtest.h>

#include "support/sha256.h"
#include "support/zstd_file.h"

namespace sluice::test {

namespace fs = std::filesystem;

Json golden_tensors(const fs::path& goldens) {
  return *parse_json(read_zstd(goldens / "tensors.json.zst"));
}

fs::path unpack_r2(const fs::path& goldens, const fs::path& folder) {
  const fs::path out = folder / "r2";
  fs::create_directory(out);
  for (const char* name :
       {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"})
    fs::copy_file(goldens / "r2-hf" / name, out / name);
  unpack_zstd(goldens / "r2-hf" / "model.safetensors.zst", out);
  return out;
}

fs::path unpack_r3(const fs::path& goldens, const fs::path& folder) {
  return unpack_zstd(goldens / "r3-bf16.gguf.zst", folder);
}

std::string short_hash(std::span<const std::byte> bytes) { return sha256_hex(bytes).substr(0, 16); }

quantize::BuildReport build(const fs::path& source, const fs::path& out,
                            std::variant<quantize::GgufRequest, quantize::SafetensorsRequest> how) {
  const auto opened = convert::open_source(source);
  EXPECT_TRUE(opened.ok()) << (opened.ok() ? "" : opened.error().message());
  if (!opened.ok()) return {};
  ThreadPool pool(2);
  quantize::BuildRequest request;
  request.out = out;
  request.target = "test";
  request.how = std::move(how);
  auto report = quantize::make_build(*opened, request, pool, {});
  EXPECT_TRUE(report.ok()) << (report.ok() ? "" : report.error().message());
  return report.ok() ? std::move(*report) : quantize::BuildReport();
}

}  // namespace sluice::test
