// Times packed products beside the plain read limit of the same minute: matmul_bench [options]
// [form...]
//
//   --rows N --columns K   shape of the matrices (17408 x 5120)
//   --batch 1,2,4,8,16     rows of activations
//   --modes wide,digit     activation modes
//   --prefetch none,1024,4096+1024   distances of software prefetch (none): near, or far + near
//   --rounds 7             interleaved rounds; each variant and the reader run once a round
//   --megabytes 600        weights cycled through per form, so that the caches do not help
//   --threads 0            0: all usable cores
//   --clock wall           cpu: processor time, for one thread on a machine that others use as well
//
// One line per form, mode, batch and distance: median ms of one matrix, GB/s of packed bytes,
// median share of the plain read of the same round, and billions of products a second. Behind each
// form the peaks of one thread in the same minute. SLUICE_CPU forces the instruction set.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "backend/cpu/detect.h"
#include "backend/cpu/matmul.h"
#include "backend/matmul_matrices.h"
#include "base/memory.h"
#include "base/threads.h"
#include "measuring.h"
#include "tools/bench/machine_loops.h"

namespace {

using namespace sluice;
clockid_t measuring_clock = CLOCK_MONOTONIC;

double now() { return seconds_of(measuring_clock); }

double seconds_since(double start) { return now() - start; }

struct Options {
  int64_t rows = 17408, columns = 5120, rounds = 7, megabytes = 600;
  int threads = 0;
  std::vector<int64_t> batch = {1, 2, 4, 8, 16};
  std::vector<ops::ActivationMode> modes = {ops::ActivationMode::kWide,
                                            ops::ActivationMode::kDigit};
  std::vector<cpu::FetchDistance> fetches = {{}};
  std::vector<std::string> forms;
};

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

Options parse(int count, char** arguments) {
  Options options;
  options.forms =
      read_arguments(count, arguments, [&](const std::string& name, const std::string& value) {
        if (name == "--rows") options.rows = std::stoll(value);
        if (name == "--columns") options.columns = std::stoll(value);
        if (name == "--rounds") options.rounds = std::stoll(value);
        if (name == "--megabytes") options.megabytes = std::stoll(value);
        if (name == "--threads") options.threads = std::stoi(value);
        if (name == "--clock") measuring_clock = clock_named(value);
        if (name == "--batch") {
          options.batch.clear();
          for (const std::string& part : split(value)) options.batch.push_back(std::stoll(part));
        }
        if (name == "--prefetch") {
          options.fetches.clear();
          for (const std::string& part : split(value)) {
            options.fetches.push_back(cpu::parse_fetch(part).value());
          }
        }
        if (name == "--modes") {
          options.modes.clear();
          for (const std::string& part : split(value)) {
            options.modes.push_back(part == "digit" ? ops::ActivationMode::kDigit
                                                    : ops::ActivationMode::kWide);
          }
        }
      });
  return options;
}

// The floor: a sum over memory, each member its half, no software prefetch.
class Reader {
 public:
  explicit Reader(ThreadPool& pool) : pool_(pool), block_(size_t{768} << 20) {
    pool_.for_range(static_cast<int64_t>(block_.size()), 4096, [&](int64_t begin, int64_t end) {
      std::memset(block_.data() + begin, 1, static_cast<size_t>(end - begin));
    });
  }

  double gigabytes_per_second() {
    const double start = now();
    pool_.for_range(static_cast<int64_t>(block_.size()), 4096, [&](int64_t begin, int64_t end) {
      uint64_t sums[8] = {};
      for (int64_t at = begin; at < end; at += 64) {
        uint64_t words[8];
        std::memcpy(words, block_.data() + at, 64);
        for (int i = 0; i < 8; ++i) sums[i] += words[i];
      }
      uint64_t total = 0;
      for (const uint64_t sum : sums) total += sum;
      if (total == 1) std::printf(" ");  // the sum is used
    });
    return static_cast<double>(block_.size()) / seconds_since(start) * 1e-9;
  }

 private:
  ThreadPool& pool_;
  PageBlock block_;
};

// One form and mode: enough matrices to leave the caches.
class Variant {
 public:
  Variant(const test::MatrixForm& form, const Options& options, cpu::InstructionSet set,
          ops::ActivationMode mode, ThreadPool& pool)
      : name_(form.name + (mode == ops::ActivationMode::kDigit ? " digit" : " wide")), pool_(pool) {
    const test::RandomMatrix source(form, options.rows, options.columns, 1);
    bytes_ = cpu::packed_bytes(source.encoded(), set, mode);
    const size_t count = static_cast<size_t>(options.megabytes) * 1000000 / bytes_ + 1;
    const double start = now();
    for (size_t i = 0; i < count; ++i) {
      matrices_.push_back(std::move(cpu::pack_matrix(source.encoded(), set, mode, pool)).value());
    }
    pack_rate_ = static_cast<double>(bytes_ * count) / seconds_since(start) * 1e-9;
    const int64_t most = *std::max_element(options.batch.begin(), options.batch.end());
    test::Random random(3);
    x_.resize(static_cast<size_t>(most * options.columns));
    for (float& value : x_) value = random.normal();
    out_.resize(static_cast<size_t>(most * options.rows));
    scratch_ = PageBlock(cpu::matmul_scratch_bytes(most, options.columns));
  }

  // Seconds for one matrix; at most all of them once.
  double run(int64_t rows, const cpu::FetchDistance& fetch) {
    const size_t count = rows <= 2 ? matrices_.size() : rows <= 16 ? matrices_.size() / 2 + 1 : 1;
    const double start = now();
    for (size_t i = 0; i < count; ++i) {
      const ops::Matrix& weight = *matrices_[next_++ % matrices_.size()];
      const cpu::DenseProduct products[] = {{&weight, out_.data(), weight.rows()}};
      cpu::matmul(x_.data(), rows, weight.columns(), weight.columns(), rows, products,
                  {scratch_.data(), scratch_.size()}, pool_, cpu::FetchDistances::all(fetch));
    }
    return seconds_since(start) / static_cast<double>(count);
  }

  const std::string& name() const { return name_; }
  size_t bytes() const { return bytes_; }
  double pack_rate() const { return pack_rate_; }
  double weights() const {
    return static_cast<double>(matrices_[0]->rows()) * static_cast<double>(matrices_[0]->columns());
  }

 private:
  std::string name_;
  ThreadPool& pool_;
  size_t bytes_ = 0, next_ = 0;
  double pack_rate_ = 0;
  std::vector<std::unique_ptr<ops::Matrix>> matrices_;
  std::vector<float> x_, out_;
  PageBlock scratch_;
};

// Billions of products a second in registers, of one thread: the caller's.
double peak(const tools::MachineLoops::Products& loop) {
  if (loop.run == nullptr) return 0;
  constexpr int64_t kTurns = 2'000'000;
  const double start = now();
  loop.run(kTurns);
  return static_cast<double>(kTurns * loop.per_turn) / seconds_since(start) * 1e-9;
}

void measure(Variant& variant, const Options& options, Reader& reader,
             const tools::MachineLoops& loops) {
  struct Case {
    int64_t rows;
    cpu::FetchDistance fetch;
  };
  std::vector<Case> cases;
  for (const int64_t rows : options.batch) {
    for (const cpu::FetchDistance& fetch : options.fetches) cases.push_back({rows, fetch});
  }
  std::vector<std::vector<double>> seconds(cases.size()), shares(cases.size());
  std::vector<double> floors, fp32, int16, int8;
  for (int64_t round = 0; round < options.rounds; ++round) {
    double floor = 0;
    for (size_t i = 0; i < cases.size(); ++i) {
      if (i == 0 || cases[i].rows != cases[i - 1].rows) floor = reader.gigabytes_per_second();
      const double time = variant.run(cases[i].rows, cases[i].fetch);
      floors.push_back(floor);
      seconds[i].push_back(time);
      shares[i].push_back(static_cast<double>(variant.bytes()) / time * 1e-9 / floor);
    }
    fp32.push_back(peak(loops.fp32));
    int16.push_back(peak(loops.int16));
    int8.push_back(peak(loops.int8));
  }
  for (size_t i = 0; i < cases.size(); ++i) {
    const double time = median(seconds[i]);
    const double best = *std::min_element(seconds[i].begin(), seconds[i].end());
    std::printf(
        "%-22s M %4lld  prefetch %-10s %9.3f ms (best %9.3f)  %6.2f GB/s  %5.1f %% of read  %7.1f "
        "GMAC/s\n",
        variant.name().c_str(), static_cast<long long>(cases[i].rows),
        cpu::fetch_name(cases[i].fetch).c_str(), time * 1e3, best * 1e3,
        static_cast<double>(variant.bytes()) / time * 1e-9, median(shares[i]) * 100,
        variant.weights() * static_cast<double>(cases[i].rows) / time * 1e-9);
  }
  std::printf(
      "%-22s packed %.3f bits a weight at %.2f GB/s; plain read %.1f GB/s; peaks fp32 %.1f, "
      "int16 %.1f, int8 %.1f GMAC/s\n",
      variant.name().c_str(), static_cast<double>(variant.bytes()) * 8 / variant.weights(),
      variant.pack_rate(), median(floors), median(fp32), median(int16), median(int8));
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
  const Options options = parse(count, arguments);
  const auto set = cpu::choose_instruction_set();
  if (!set.ok()) {
    std::fprintf(stderr, "%s\n", set.error().message().c_str());
    return 2;
  }
  ThreadPool pool(options.threads > 0 ? options.threads : usable_cores());
  std::printf("%s, %d threads, %lld x %lld\n",
              std::string(cpu::instruction_set_name(set.value())).c_str(), pool.size(),
              static_cast<long long>(options.rows), static_cast<long long>(options.columns));
  Reader reader(pool);
  for (const test::MatrixForm& form : test::all_forms()) {
    if (std::find(options.forms.begin(), options.forms.end(), form.name) == options.forms.end())
      continue;
    for (const ops::ActivationMode mode : options.modes) {
      Variant variant(form, options, set.value(), mode, pool);
      measure(variant, options, reader,
              tools::machine_loops(cpu::instruction_set_name(set.value())));
    }
  }
}
