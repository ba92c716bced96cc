// llama.cpp's embeddings of images, and its logits of a prompt with them, for llama_tower.py: the
// vision tower that lies beside a GGUF, opened by llama.cpp's own library for it. Not part of the
// build; made by hand as llama_logits.cc, with -I$L/tools/mtmd and -lmtmd as well:
//
//   llama_images MODEL.gguf MMPROJ.gguf OUT IDS POSITIONS RGB:WIDTHxHEIGHT ...
//
// RGB are files of raw 8 bit pixels, whose sides are multiples of 32, so that nothing is resized.
// IDS are the prompt, with -1 in place of image tokens; POSITIONS three numbers a token (t, h, w).
// OUT gets the logits, OUT.images all embeddings.
#include "llama_model.h"
#include "mtmd.h"

namespace {

std::vector<float> embed(mtmd_context* tower, size_t width, const std::string& image) {
  const size_t colon = image.rfind(':'), cross = image.rfind('x');
  const auto nx = static_cast<uint32_t>(std::stoul(image.substr(colon + 1, cross - colon - 1)));
  const auto ny = static_cast<uint32_t>(std::stoul(image.substr(cross + 1)));
  std::ifstream in(image.substr(0, colon), std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(in)), {});
  require(bytes.size() == size_t{3} * nx * ny, "pixels of " + image);
  mtmd_bitmap* bitmap =
      mtmd_bitmap_init(nx, ny, reinterpret_cast<const unsigned char*>(bytes.data()));
  mtmd_input_chunks* chunks = mtmd_input_chunks_init();
  const char* marker = mtmd_default_marker();
  const mtmd_input_text text = {marker, std::char_traits<char>::length(marker), false, true};
  const mtmd_bitmap* bitmaps[] = {bitmap};
  require(mtmd_tokenize(tower, chunks, &text, bitmaps, 1) == 0, "mtmd_tokenize");
  std::vector<float> embeddings;
  for (size_t i = 0; i < mtmd_input_chunks_size(chunks); ++i) {
    const mtmd_input_chunk* chunk = mtmd_input_chunks_get(chunks, i);
    if (mtmd_input_chunk_get_type(chunk) != MTMD_INPUT_CHUNK_TYPE_IMAGE) continue;
    require(mtmd_encode_chunk(tower, chunk) == 0, "mtmd_encode_chunk");
    const float* values = mtmd_get_output_embd(tower);
    embeddings.assign(values, values + mtmd_input_chunk_get_n_tokens(chunk) * width);
  }
  mtmd_input_chunks_free(chunks);
  mtmd_bitmap_free(bitmap);
  return embeddings;
}

}  // namespace

int main(int argc, char** argv) {
  require(argc > 6, "usage: llama_images MODEL MMPROJ OUT IDS POSITIONS RGB:WIDTHxHEIGHT ...");
  const std::string out = argv[3];
  const std::vector<int32_t> ids = parse_numbers(argv[4]), positions = parse_numbers(argv[5]);
  require(positions.size() == 3 * ids.size(), "three positions a token");
  const Model model = load_model(argv[1], false);
  const size_t width = static_cast<size_t>(llama_model_n_embd_inp(model.get()));
  mtmd_log_set(quiet_log, nullptr);
  mtmd_context_params params = mtmd_context_params_default();
  params.use_gpu = false;
  params.warmup = false;
  params.n_threads = 1;
  params.image_min_tokens = 1;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  mtmd_context* tower = mtmd_init_from_file(argv[2], model.get(), params);
  require(tower != nullptr, std::string("load ") + argv[2]);
  std::vector<float> images;
  for (int i = 6; i < argc; ++i) {
    const std::vector<float> one = embed(tower, width, argv[i]);
    images.insert(images.end(), one.begin(), one.end());
  }
  write_floats(out + ".images", images);
  mtmd_free(tower);

  // A batch holds either tokens or embeddings, so the prompt goes in pieces.
  const Context context = make_context(model.get(), ids.size(), nullptr);
  std::vector<float> logits;
  size_t image_row = 0;
  for (size_t begin = 0, end = 0; begin < ids.size(); begin = end) {
    const Batch batch(llama_batch_ext_init(context.get()));
    while (end < ids.size() && (ids[end] < 0) == (ids[begin] < 0)) {
      const int32_t row = ids[end] < 0
                              ? llama_batch_ext_add_embd(
                                    batch.get(), 0, {images.data() + image_row++ * width, 1, width})
                              : llama_batch_ext_add_token(batch.get(), 0, ids[end]);
      require(row == static_cast<int32_t>(end - begin) && image_row * width <= images.size(),
              "rows of the prompt");
      const llama_pos place[] = {positions[3 * end], positions[3 * end + 1], positions[3 * end + 2],
                                 0};
      llama_batch_ext_set_pos(batch.get(), row, place);
      llama_batch_ext_set_output_logits(batch.get(), row, true);
      ++end;
    }
    decode(context.get(), batch.get(), static_cast<int>(end - begin), logits);
  }
  write_floats(out, logits);
  return 0;
}
