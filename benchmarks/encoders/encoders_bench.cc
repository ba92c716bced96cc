// What the encoders lose and take on one matrix, on one thread: encoders_bench MATRIX [options]
//
// MATRIX is a safetensors file. Weight error: |Q(W) - W| / |W|. With --inputs, a safetensors file
// with `inputs` [n, columns] and `importance` [columns], both F32, also the output error
// |X (Q(W) - W)| / |X W|, and the encoders that weigh columns. Seconds are of the encoding alone,
// medians, as processor time (what counts on a machine that others use as well) and by the clock.
#include <fmt/format.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "codec/codec.h"
#include "encoders/measured_encoders.h"
#include "measuring.h"
#include "take.h"
#include "tensor/format.h"

namespace sluice::benchmarks {
namespace {

struct Arguments {
  std::filesystem::path matrix, inputs, write;
  std::string tensor = "weight";
  std::vector<std::string> encoders;
  int repeat = 5;
  bool json = false;
};

struct Values {
  std::vector<float> values;
  int64_t rows = 0, columns = 0;
};

Values read_values(const checkpoint::Checkpoint& file, const std::string& name) {
  const checkpoint::StoredTensor* tensor = file.find(name);
  if (tensor == nullptr || tensor->shape.empty() || tensor->shape.size() > 2) {
    fmt::print(stderr, "no matrix {}\n", name);
    std::exit(1);
  }
  EncodedMatrix matrix;
  matrix.format = self_contained_format(tensor->dtype).value();
  matrix.columns = tensor->shape.back();
  matrix.rows = tensor->elements() / matrix.columns;
  matrix.codes = {tensor->bytes, tensor->dtype, matrix.rows, matrix.columns};
  Values out{std::vector<float>(static_cast<size_t>(tensor->elements())), matrix.rows,
             matrix.columns};
  codec::decode_rows(matrix, 0, matrix.rows, out.values.data());
  return out;
}

// Sixteen sums side by side, joined in float64.
double product(const float* a, const float* b, int64_t count) {
  std::array<float, 16> sums{};
  int64_t at = 0;
  for (; at + 16 <= count; at += 16)
    for (size_t i = 0; i < 16; ++i)
      sums[i] += a[at + static_cast<int64_t>(i)] * b[at + static_cast<int64_t>(i)];
  double total = 0;
  for (const float sum : sums) total += static_cast<double>(sum);
  for (; at < count; ++at) total += static_cast<double>(a[at]) * static_cast<double>(b[at]);
  return total;
}

// Squared norm of X M for the rows of M that are given.
double squared_output(const Values& inputs, std::span<const float> row) {
  double sum = 0;
  for (int64_t i = 0; i < inputs.rows; ++i) {
    const double y = product(inputs.values.data() + i * inputs.columns, row.data(), inputs.columns);
    sum += y * y;
  }
  return sum;
}

struct Loss {
  double weight = 0, output = 0;
};

Loss loss_of(const EncodedMatrix& encoded, const Values& matrix, const Values& inputs,
             double squared_norm, double squared_product) {
  std::vector<float> difference(static_cast<size_t>(matrix.columns));
  double weight = 0, output = 0;
  for (int64_t row = 0; row < matrix.rows; ++row) {
    codec::decode_rows(encoded, row, 1, difference.data());
    const float* values = matrix.values.data() + row * matrix.columns;
    for (size_t i = 0; i < difference.size(); ++i) {
      difference[i] -= values[i];
      weight += static_cast<double>(difference[i]) * static_cast<double>(difference[i]);
    }
    output += squared_output(inputs, difference);
  }
  return {std::sqrt(weight / squared_norm),
          inputs.rows > 0 ? std::sqrt(output / squared_product) : 0.0};
}

struct Figures {
  double bits = 0;  // a weight
  Loss loss;
  double cpu = 0, wall = 0;  // seconds, medians
};

// The matrix with what its errors are counted by.
struct Subject {
  std::string name;
  Values matrix, inputs, importance;  // the last two may be empty
  double squared_norm = 0, squared_product = 0;
};

Subject read_subject(const Arguments& arguments) {
  Subject subject;
  subject.name = arguments.tensor;
  const auto file =
      take(checkpoint::Checkpoint::open(arguments.matrix, checkpoint::Purpose::kAnyFile));
  subject.matrix = read_values(file, arguments.tensor);
  if (!arguments.inputs.empty()) {
    const auto extra =
        take(checkpoint::Checkpoint::open(arguments.inputs, checkpoint::Purpose::kAnyFile));
    subject.inputs = read_values(extra, "inputs");
    subject.importance = read_values(extra, "importance");
  }
  const Values& matrix = subject.matrix;
  const auto width = static_cast<size_t>(matrix.columns);
  for (const float value : matrix.values)
    subject.squared_norm += static_cast<double>(value) * static_cast<double>(value);
  for (size_t row = 0; row < static_cast<size_t>(matrix.rows); ++row)
    subject.squared_product +=
        squared_output(subject.inputs, std::span(matrix.values).subspan(row * width, width));
  return subject;
}

Figures measure(const MeasuredEncoder& encoder, const Subject& subject,
                const Arguments& arguments) {
  const Values& matrix = subject.matrix;
  const codec::WeightSource source{subject.name, matrix.values, matrix.rows, matrix.columns,
                                   codec::SourceType::kF32};
  const std::span<const float> importance = encoder.weighted
                                                ? std::span<const float>(subject.importance.values)
                                                : std::span<const float>();
  std::vector<double> cpu, wall;
  codec::OwnedMatrix encoded;
  for (int i = 0; i < arguments.repeat; ++i) {
    const double cpu_before = seconds_of(CLOCK_PROCESS_CPUTIME_ID),
                 wall_before = seconds_of(CLOCK_MONOTONIC);
    encoded = encoder.encode(source, importance);
    cpu.push_back(seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu_before);
    wall.push_back(seconds_of(CLOCK_MONOTONIC) - wall_before);
  }
  if (!arguments.write.empty()) {
    auto writer = take(FileWriter::create(arguments.write / (encoder.name + ".codes"), true));
    if (!writer.append(encoded.codes).ok() || !writer.commit().ok()) std::exit(1);
  }
  const double bits = 8 * static_cast<double>(encoded.codes.size() + encoded.scales.size()) /
                      static_cast<double>(matrix.values.size());
  return {bits,
          loss_of(encoded.matrix, matrix, subject.inputs, subject.squared_norm,
                  subject.squared_product),
          median(cpu), median(wall)};
}

Json as_json(const std::string& encoder, const Figures& figures, bool with_output) {
  Json line = Json::object();
  line.set("encoder", encoder);
  line.set("bits", figures.bits);
  line.set("weight_error", figures.loss.weight);
  if (with_output) line.set("output_error", figures.loss.output);
  line.set("cpu_seconds", figures.cpu);
  line.set("wall_seconds", figures.wall);
  return line;
}

void print_row(const std::string& encoder, const Figures& figures, bool with_output) {
  fmt::print("{:<22} {:6.3f} {:9.4f} {:>9} {:9.4f} {:9.4f}\n", encoder, figures.bits,
             figures.loss.weight * 100,
             with_output ? fmt::format("{:.4f}", figures.loss.output * 100) : "-", figures.cpu,
             figures.wall);
  std::fflush(stdout);
}

void run(const Arguments& arguments) {
  const Subject subject = read_subject(arguments);
  const bool with_output = subject.inputs.rows > 0;
  const auto& wanted = arguments.encoders;
  Json table = Json::array();
  if (!arguments.json)
    fmt::print("{:<22} {:>6} {:>9} {:>9} {:>9} {:>9}\n", "encoder", "bits", "weight %", "output %",
               "cpu s", "wall s");
  for (const MeasuredEncoder& encoder : measured_encoders()) {
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), encoder.name) == wanted.end())
      continue;
    if (encoder.weighted && subject.importance.values.empty()) continue;
    const Figures figures = measure(encoder, subject, arguments);
    if (arguments.json) {
      table.push_back(as_json(encoder.name, figures, with_output));
    } else {
      print_row(encoder.name, figures, with_output);
    }
  }
  if (arguments.json) fmt::print("{}\n", table.dump(1));
}

}  // namespace
}  // namespace sluice::benchmarks

int main(int argc, char** argv) {
  using namespace sluice::benchmarks;
  Arguments arguments;
  CLI::App app("Error and time of the encoders on one matrix, on one thread");
  app.add_option("matrix", arguments.matrix, "safetensors file with the matrix")->required();
  app.add_option("--tensor", arguments.tensor, "its name in the file");
  app.add_option("--inputs", arguments.inputs, "safetensors file with inputs and importance");
  app.add_option("--encoders", arguments.encoders, "only these, separated by commas")
      ->delimiter(',');
  app.add_option("--repeat", arguments.repeat, "times that each is run")
      ->check(CLI::Range(1, 1000));
  app.add_option("--write", arguments.write, "folder for the encoded bytes, a file per encoder");
  app.add_flag("--json", arguments.json, "as JSON");
  CLI11_PARSE(app, argc, argv);
  run(arguments);
}
