#include "codec/worked_examples.h"

#include <cmath>

namespace sluice::codec::test {

std::vector<uint8_t> hex(std::string_view text) {
  std::vector<uint8_t> bytes;
  int high = -1;
  for (const char c : text) {
    if (c == ' ' || c == '\n') continue;
    const int digit = c <= '9' ? c - '0' : c - 'a' + 10;
    if (high < 0) {
      high = digit;
    } else {
      bytes.push_back(static_cast<uint8_t>(16 * high + digit));
      high = -1;
    }
  }
  return bytes;
}

std::vector<float> nvfp4_row() {
  const float b0[] = {6,     -6,    5,      -5,      3.5f,    2.5f,  1.75f, 1.25f,
                      0.75f, 0.25f, -0.25f, 0.3125f, -1.125f, 2.25f, -3,    0.5f};
  const float b1[] = {19, -17, 3, 1, -9, 12, -2, 7, 15, -11, 5, 0, -4, 18, -6, 10};
  const float b3[] = {16, -15, 8, -4, 2, -1, 0, 5, -6, 7, -8, 9, 10, -11, 12, -13};
  std::vector<float> row;
  for (const float x : b0) row.push_back(x / 8);
  for (const float x : b1) row.push_back(x / 64);
  row.resize(48);
  for (const float x : b3) row.push_back(x * 0x1p-24f);
  return row;
}

std::vector<uint8_t> nvfp4_row_ct_codes() {
  return hex(
      "f7 e6 46 24 02 18 4a 1d  f7 12 6d 49 e6 03 7b 5c"
      "00 00 00 00 00 00 00 00  80 80 80 00 08 08 80 80");
}
std::vector<uint8_t> nvfp4_row_ct_scales() { return hex("7e 73 20 20"); }
std::vector<uint8_t> nvfp4_row_modelopt_codes() {
  return hex(
      "f7 e6 46 24 02 18 4a 1d  f7 12 6d 49 d6 03 7b 5c"
      "00 00 00 00 00 00 00 00  b3 92 80 10 29 2a a2 b3");
}
std::vector<uint8_t> nvfp4_row_modelopt_scales() { return hex("7e 73 38 01"); }

std::vector<float> ggml_row() {
  std::vector<float> row;
  for (int i = 0; i < 256; ++i) {
    row.push_back(static_cast<float>(((37 * i + 11) % 101 - 50) * (1 + i / 32)) / 512);
  }
  return row;
}

std::vector<float> ggml_importance() {
  std::vector<float> v;
  for (int i = 0; i < 256; ++i) v.push_back(static_cast<float>(1 + i % 5));
  return v;
}

std::vector<uint8_t> ggml_row_q4_k() {
  return hex(
      "80 16 13 22 88 d1 d9 df 88 8f d7 df 89 e2 7a ff"
      "c1 27 8d d3 49 9e 05 5a b0 16 7c c2 38 8d d3 49 9f 05 6b b1 27 7c c2 38 8e e4 5a a0 15 6b "
      "b1 27"
      "48 ad 04 69 b0 15 7b d1 37 9c f3 48 ae 04 6a c0 26 8b e2 37 9d f3 59 be 15 7a c1 26 8c e2 "
      "48 ad"
      "a0 15 6b c1 27 8c d3 48 9e 04 5a b0 16 7b c2 37 8d e3 49 ae 05 6a b1 26 7c d2 38 9d e4 59 "
      "af 15"
      "26 8c e2 48 ad 04 59 b0 15 7b d1 37 9c e3 48 ae 04 6a c0 26 7b d2 37 9d f3 59 be 15 6a c1 "
      "26 8c");
}
std::vector<uint8_t> ggml_row_q4_k_importance() {
  return hex(
      "d5 16 2a 22 88 d0 d8 dd 88 8f d7 df 77 e0 67 ff"
      "c2 27 8c d3 48 9e 04 5a b0 16 7b c2 37 8d e3 49 ae 05 6a b1 26 7c d2 38 9d e4 59 a0 15 6b "
      "c1 27"
      "48 ad 04 69 c0 15 7b d1 37 9c f3 58 be 04 6a c0 26 8b e2 47 9d f3 59 be 15 7a d1 26 8c e2 "
      "48 ad"
      "a0 15 6b c1 27 8c d3 48 9e 04 5a b0 16 7b c2 37 8d e3 49 ae 05 6a b1 26 7c d2 38 9d e4 59 "
      "af 15"
      "26 8c d2 48 9d 04 59 b0 15 7b c1 37 8c e3 48 ae 04 6a b0 26 7b d2 37 9d e3 59 ae 15 6a c1 "
      "26 8c");
}
std::vector<uint8_t> ggml_row_q5_k() {
  return hex(
      "53 12 51 22 88 90 d8 df 88 8f d7 df 79 df 67 ff"
      "26 cc 93 66 c9 33 64 99 32 4c 99 26 cd 93 66 c9 33 6c 99 36 cc 9b 66 cd b3 66 d9 32 6c 99 "
      "36 cc"
      "a4 5f 1b d7 93 4e 0a c6 81 3d f9 b5 60 2c e8 a3 5f 1b d7 82 4e 0a c6 71 3d f9 b4 60 2c e8 "
      "93 5f"
      "91 5d 09 c4 80 3c f8 b3 7f 3b f6 a2 6e 1a d5 91 4d 08 c4 70 4c f7 b3 7f 2b e6 a2 5e 19 d5 "
      "81 5d"
      "70 2b e7 a3 5e 1a d6 91 4d 09 c4 81 3c f8 b4 6f 2b e7 92 5e 1a d5 92 4d 08 c5 70 3c f8 a3 "
      "6f 2b"
      "5e 1a d5 91 4d 09 c5 80 3c f8 b3 6f 2b e6 a2 5e 1a d5 91 4d 09 c4 70 3c f7 b3 6f 2b e6 a2 "
      "5e 1a");
}
std::vector<uint8_t> ggml_row_q6_k() {
  return hex(
      "45 df 28 bc 05 9f 13 7c f1 8a d3 67 f1 4a de 28 5f d6 7d f4 7c 04 8b 03 aa 21 b9 30 b8 5f "
      "d6 5e"
      "26 ac 05 8d 03 7b f1 79 d2 58 d0 48 ce 27 af 25 83 fc 64 1d 96 0e b6 2f d8 40 b9 61 da 43 "
      "fb 74"
      "d1 58 bf 37 be 25 ad 04 8b 04 7a f3 7a d1 59 d0 c9 41 ea 63 ea 74 fb 74 1d 95 1e a7 2f c8 "
      "41 c9"
      "bf 35 ad 16 9b 04 8d f2 6b e0 69 d1 47 cf 38 bd 1a 92 2c 84 0d 85 ed 77 ff 57 d0 38 b0 4a "
      "a2 2b"
      "6c b1 1b 6c c6 1b 71 c6 1c b1 cb 6c b2 1b 6c c6 e7 4d 3a d0 4d 37 90 4a e7 91 3a e4 4d 3a "
      "90 4d"
      "18 b1 c6 6c b1 1b 6c 86 1b 71 c6 1c b1 c7 6c b2 24 53 f9 24 8e f9 13 8e f4 53 8d 24 52 f9 "
      "24 8e"
      "f1 f0 e1 20 d2 2f c1 3d ad 53 a4 5f 92 6e 80 83"
      "40 8a");
}
std::vector<uint8_t> ggml_row_q8_0_first() {
  return hex(
      "4d 12 9d fb 59 b6 14 72 d0 2e 8b e9 47 a5 03 61 be 1c 7a d7 35 93 f1 4f ac 0a 68 c6 24 81 "
      "df 3d 9a f8");
}
std::vector<uint8_t> ggml_row_mxfp4_first() {
  return hex("79 7e c0 56 fe 92 67 ec 14 7f da 35 fe b0 56 ed 93");
}
std::vector<uint8_t> ggml_row_nvfp4_first() {
  return hex(
      "07 08 10 10 ff b9 66 fe 02 77 ed 35 77 dc 35 ff b9 56 ee 91 56 ee 02 67 dc 24 7f ca 34 7f "
      "ba 56 fe 91 66 ed");
}

}  // namespace sluice::codec::test
