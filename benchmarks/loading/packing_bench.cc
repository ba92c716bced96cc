// Times the packing of weights beside what it cannot beat: packing_bench [options] [form...]
//
//   --columns 5120      columns of the matrices
//   --megabytes 256     stored bytes of each
//   --rounds 5          interleaved rounds
//   --threads 0         0: all usable cores
//   --clock wall        cpu: processor time, for one thread on a machine that others use as well
//   --folder /tmp       where the file lies that is packed from
//
// One line per form, medians in GB/s of stored bytes (of codes; scales that lie beside them are
// read as well), by the set that SLUICE_CPU says: copying them into memory touched before; touching
// as much fresh memory as they take when packed; copying into fresh memory (copy and touch in sum);
// packing into memory touched before; packing as a model is loaded, memory fresh, from memory and
// from a new mapping of a file in the page cache. Fresh memory is what the round before gave back a
// moment ago: a virtual machine whose host takes idle memory away pays more in its first round, and
// in every load (docs/performance.md, "Loading").
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "backend/cpu/detect.h"
#include "backend/cpu/pack/packed_matrix.h"
#include "backend/cpu/pack/packing.h"
#include "backend/matmul_matrices.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/threads.h"
#include "measuring.h"
#include "take.h"

namespace {

using namespace sluice;
clockid_t measuring_clock = CLOCK_MONOTONIC;

double now() { return seconds_of(measuring_clock); }

struct Options {
  int64_t columns = 5120, megabytes = 256, rounds = 5;
  int threads = 0;
  std::string folder = "/tmp";
  std::vector<std::string> forms;
};

Options parse(int count, char** arguments) {
  Options options;
  options.forms =
      read_arguments(count, arguments, [&](const std::string& name, const std::string& value) {
        if (name == "--columns") options.columns = std::stoll(value);
        if (name == "--megabytes") options.megabytes = std::stoll(value);
        if (name == "--rounds") options.rounds = std::stoll(value);
        if (name == "--threads") options.threads = std::stoi(value);
        if (name == "--folder") options.folder = value;
        if (name == "--clock") measuring_clock = clock_named(value);
      });
  return options;
}

// A matrix of many rows, made of one of few repeated: random numbers for all of it would take
// longer than everything that is measured.
class TallMatrix {
 public:
  TallMatrix(const test::MatrixForm& form, const Options& options, const std::string& path)
      : path_(path) {
    constexpr int64_t kRows = 512;
    const int64_t step = form.column_step;
    const test::RandomMatrix part(form, kRows, (options.columns + step - 1) / step * step, 1);
    matrix_ = part.encoded();
    const int64_t times =
        options.megabytes * 1000000 / static_cast<int64_t>(matrix_.codes.bytes.size()) + 1;
    codes_ = repeat(matrix_.codes, times);
    if (matrix_.scales.rows > 1)
      scales_ = repeat(matrix_.scales, times);
    else
      scales_.assign(matrix_.scales.bytes.begin(), matrix_.scales.bytes.end());
    zeros_ = repeat(matrix_.zero_points, times);
    matrix_.rows *= times;
    matrix_.codes.bytes = codes_;
    matrix_.scales.bytes = scales_;
    matrix_.zero_points.bytes = zeros_;
    const Status written = write_file(path_, codes_, true);
    if (!written.ok()) std::fprintf(stderr, "%s\n", written.error().message().c_str());
  }
  ~TallMatrix() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TallMatrix(const TallMatrix&) = delete;
  TallMatrix& operator=(const TallMatrix&) = delete;

  const EncodedMatrix& in_memory() const { return matrix_; }
  EncodedMatrix in_file(const MappedFile& file) const {
    EncodedMatrix matrix = matrix_;
    matrix.codes.bytes = file.bytes();
    return matrix;
  }
  const std::string& path() const { return path_; }

 private:
  static std::vector<std::byte> repeat(Plane& plane, int64_t times) {
    std::vector<std::byte> bytes;
    bytes.reserve(plane.bytes.size() * static_cast<size_t>(times));
    for (int64_t i = 0; i < times; ++i) {
      bytes.insert(bytes.end(), plane.bytes.begin(), plane.bytes.end());
    }
    plane.rows *= times;
    return bytes;
  }

  std::string path_;
  EncodedMatrix matrix_;
  std::vector<std::byte> codes_, scales_, zeros_;
};

class Bench {
 public:
  Bench(const TallMatrix& tall, cpu::InstructionSet set, ThreadPool& pool)
      : tall_(tall),
        source_(tall.in_memory()),
        set_(set),
        pool_(pool),
        plan_(cpu::plan_for(source_)),
        touched_(std::max(cpu::PackedMatrix::bytes_for(source_), source_.codes.bytes.size())) {
    arrays_.groups = (source_.rows + cpu::kGroupRows - 1) / cpu::kGroupRows;
    arrays_.units_per_group = (source_.columns + plan_.shape.columns - 1) / plan_.shape.columns;
    arrays_.units = reinterpret_cast<uint8_t*>(touched_.data());
    row_scales_.resize(static_cast<size_t>(arrays_.groups * cpu::kGroupRows));
    arrays_.row_scales = row_scales_.data();
    if (source_.format == Format::kFp8Block) {
      tile_scales_.resize(static_cast<size_t>(arrays_.groups * arrays_.units_per_group));
      arrays_.tile_scales = tile_scales_.data();
    }
    touched_.populate();
  }

  void copy_touched() { copy_to(touched_); }
  void touch() {
    PageBlock fresh(cpu::PackedMatrix::bytes_for(source_));
    pool_.for_range(static_cast<int64_t>(fresh.size()), int64_t{2} << 20,
                    [&](int64_t begin, int64_t end) {
                      for (; begin < end; begin += 4096) fresh.data()[begin] = std::byte{1};
                    });
  }
  void copy_fresh() {
    PageBlock fresh(touched_.size());
    copy_to(fresh);
  }
  void pack_touched() { cpu::pack(source_, plan_, arrays_, set_, pool_); }
  void pack_fresh() { pack_matrix(source_); }
  void pack_file() {
    const MappedFile file = take(MappedFile::open(tall_.path()));
    pack_matrix(tall_.in_file(file));
  }

  // GB of stored bytes a second, medians of the rounds.
  std::vector<double> measure(int64_t rounds) {
    using Pass = void (Bench::*)();
    const Pass passes[] = {&Bench::copy_touched, &Bench::touch,      &Bench::copy_fresh,
                           &Bench::pack_touched, &Bench::pack_fresh, &Bench::pack_file};
    std::vector<std::vector<double>> rates(std::size(passes));
    for (int64_t round = 0; round < rounds; ++round) {
      for (size_t i = 0; i < std::size(passes); ++i) {
        const double start = now();
        (this->*passes[i])();
        rates[i].push_back(static_cast<double>(source_.codes.bytes.size()) / (now() - start) *
                           1e-9);
      }
    }
    std::vector<double> medians;
    for (std::vector<double>& of_pass : rates) medians.push_back(median(std::move(of_pass)));
    return medians;
  }

 private:
  void copy_to(PageBlock& block) {
    const auto bytes = source_.codes.bytes;
    pool_.for_range(static_cast<int64_t>(bytes.size()), 4096, [&](int64_t begin, int64_t end) {
      std::memcpy(block.data() + begin, bytes.data() + begin, static_cast<size_t>(end - begin));
    });
  }
  void pack_matrix(const EncodedMatrix& source) {
    const cpu::PackedMatrix packed(source, set_, ops::ActivationMode::kWide, pool_);
  }

  const TallMatrix& tall_;
  const EncodedMatrix& source_;
  cpu::InstructionSet set_;
  ThreadPool& pool_;
  cpu::PackPlan plan_;
  PageBlock touched_;
  cpu::PackedArrays arrays_;
  std::vector<float> row_scales_, tile_scales_;
};

}  // namespace

int main(int count, char** arguments) {
  const Options options = parse(count, arguments);
  ThreadPool pool(options.threads > 0 ? options.threads : usable_cores());
  const cpu::InstructionSet set = take(cpu::choose_instruction_set());
  const std::string path = options.folder + "/packing_bench.bytes";
  std::printf("%d threads, %lld MB each, GB/s of stored bytes\n", pool.size(),
              static_cast<long long>(options.megabytes));
  std::printf("%-20s %8s %8s %8s | %8s %8s %8s\n", "", "copy", "touch", "both", "pack", "fresh",
              "file");
  for (const test::MatrixForm& form : test::all_forms()) {
    if (!options.forms.empty() &&
        std::find(options.forms.begin(), options.forms.end(), form.name) == options.forms.end()) {
      continue;
    }
    const TallMatrix tall(form, options, path);
    std::printf("%-20s", form.name.c_str());
    int column = 0;
    for (const double rate : Bench(tall, set, pool).measure(options.rounds)) {
      std::printf("%s %8.2f", column++ == 3 ? " |" : "", rate);
    }
    std::printf("\n");
    std::fflush(stdout);
  }
}
