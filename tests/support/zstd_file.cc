#include "support/zstd_file.h"

#include <zstd.h>

#include <fstream>
#include <memory>
#include <stdexcept>
#include <vector>

#include "base/file.h"

namespace sluice::test {

std::string read_zstd(const std::filesystem::path& path) {
  Result<std::string> packed = read_file(path, uint64_t{1} << 32);
  if (!packed.ok()) throw std::runtime_error(packed.error().message());
  const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(),
                                                                     &ZSTD_freeDCtx);
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, 27);
  std::string text;
  std::vector<char> chunk(ZSTD_DStreamOutSize());
  ZSTD_inBuffer input{packed->data(), packed->size(), 0};
  size_t state = 1;
  while (input.pos < input.size || state != 0) {
    ZSTD_outBuffer output{chunk.data(), chunk.size(), 0};
    state = ZSTD_decompressStream(context.get(), &output, &input);
    if (ZSTD_isError(state))
      throw std::runtime_error(path.string() + ": " + ZSTD_getErrorName(state));
    text.append(chunk.data(), output.pos);
    if (input.pos == input.size && output.pos == 0) break;
  }
  return text;
}

std::filesystem::path unpack_zstd(const std::filesystem::path& path,
                                  const std::filesystem::path& folder) {
  const std::filesystem::path target = folder / path.stem();
  std::ofstream(target, std::ios::binary) << read_zstd(path);
  return target;
}

}  // namespace sluice::test
