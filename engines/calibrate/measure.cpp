// SPDX-License-Identifier: Apache-2.0
#include "measure.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <utility>

#include "shapes.hpp"

namespace centrale::calibrate {
namespace {

at::ScalarType type_of(Precision precision) {
  switch (precision) {
    case Precision::fp16: return at::kHalf;
    case Precision::bf16: return at::kBFloat16;
    case Precision::fp32:
    case Precision::tf32:
    case Precision::fp8:
    case Precision::fp4:
    case Precision::int8: return at::kFloat;
  }
  return at::kFloat;
}

// Together more than the caches that one processor's cores have near them.
constexpr double kCold = 96 << 20;

std::int64_t whole(double n) { return std::llround(n); }

/// As many measurements as there are, told one by one.
class Measuring {
 public:
  Measuring(const Plan& plan, const Tell& tell) : plan_(plan), tell_(tell) { samples_.machine = machine_of(plan.device); }

  Samples all() {
    at::NoGradGuard no_grad;
    const std::vector<Precision> precisions = precisions_of(plan_.device, samples_.notes);
    const Sweep sweep = sweep_of(precisions.front());
    std::vector<ProductShape> products;
    for (const Precision precision : precisions) {
      for (const ProductShape& shape : product_shapes(sweep, precision)) { products.push_back(shape); }
    }
    const bool has_bf16 = std::find(precisions.begin(), precisions.end(), Precision::bf16) != precisions.end();
    const Precision attending = plan_.device.is_cpu() ? Precision::fp32 : has_bf16 ? Precision::bf16 : Precision::fp16;
    const std::vector<AttentionShape> attention = attention_shapes(sweep, attending);
    const std::vector<std::int64_t> sizes = stream_sizes(sweep);
    const std::size_t a_round = products.size() + sizes.size() * kStreams.size() + attention.size() + 1;
    all_ = done_ + a_round * static_cast<std::size_t>(plan_.rounds);
    Samples best;
    for (int round = 0; round < plan_.rounds; ++round) {
      host();
      for (const std::int64_t size : sizes) { streams(size); }
      for (const ProductShape& shape : products) { product(shape); }
      for (const AttentionShape& shape : attention) { attend(shape); }
      if (round == 0) {
        best = samples_;
      } else {
        keep_faster(samples_, best);
      }
      samples_.gemms.clear();
      samples_.streams.clear();
      samples_.attention.clear();
    }
    drop_emulated(precisions, best);
    return best;
  }

 private:
  struct Stream {
    const char* name;
    double tensors;  // read and written
    at::Tensor (*run)(const at::Tensor& last, const at::Tensor& other);
  };
  static constexpr std::array<Stream, 4> kStreams{
      {{"copy", 2, [](const at::Tensor& last, const at::Tensor&) { return last.clone(); }},
       {"scale", 2, [](const at::Tensor& last, const at::Tensor&) { return at::mul(last, 1.0001); }},
       {"multiply", 3, [](const at::Tensor& last, const at::Tensor& other) { return at::mul(last, other); }},
       {"add", 3, [](const at::Tensor& last, const at::Tensor& other) { return at::add(last, other); }}}};

  static void keep_faster(const Timing& now, Timing& best) {
    const std::int64_t disturbed = best.disturbed + now.disturbed;
    if (now.seconds < best.seconds) { best = now; }
    best.disturbed = disturbed;
  }
  static void keep_faster(const Samples& now, Samples& best) {
    keep_faster(now.host, best.host);
    for (std::size_t i = 0; i < now.gemms.size(); ++i) { keep_faster(now.gemms[i].time, best.gemms[i].time); }
    for (std::size_t i = 0; i < now.streams.size(); ++i) { keep_faster(now.streams[i].time, best.streams[i].time); }
    for (std::size_t i = 0; i < now.attention.size(); ++i) { keep_faster(now.attention[i].time, best.attention[i].time); }
  }

  Timing time(const std::string& what, const std::function<void(std::int64_t)>& work) {
    tell_(done_++, all_, what);
    return measure(
        [&](std::int64_t times) {
          work(times);
          synchronise(plan_.device);
        },
        plan_.patience);
  }

  at::Tensor filled(at::IntArrayRef extents, at::ScalarType type) const {
    return at::rand(extents, at::TensorOptions().dtype(at::kFloat).device(plan_.device)).to(type);
  }

  /// The largest product and tensor: a product may take about a tenth of a second, whatever the device.
  Sweep sweep_of(Precision precision) {
    constexpr double kSide = 512, kSeconds = 0.12, kQuickSeconds = 0.02;
    const auto a = filled({whole(kSide), whole(kSide)}, type_of(precision));
    const Timing timing = time("a first product", [&](std::int64_t times) {
      for (std::int64_t i = 0; i < times; ++i) { at::mm(a, a); }
    });
    const double rate = 2 * kSide * kSide * kSide / timing.seconds;
    constexpr double kTensor = 64 << 20, kQuickTensor = 16 << 20;
    return {.quick = plan_.quick,
            .flop_max = rate * (plan_.quick ? kQuickSeconds : kSeconds),
            .bytes_max = (plan_.quick ? kQuickTensor : kTensor) * (plan_.device.is_cpu() ? 1 : 16)};
  }

  void host() {
    auto tiny = filled({8}, at::kFloat);
    samples_.host = time("one small operator", [&](std::int64_t times) {
      for (std::int64_t i = 0; i < times; ++i) { tiny.mul_(1.0); }
    });
  }

  /// Each result is kept for a while, as activations are: it is written to memory that is not in a near cache any more, and read at once.
  void streams(std::int64_t bytes) {
    const auto other = filled({bytes / 4}, at::kFloat);
    for (const Stream& stream : kStreams) {
      std::deque<at::Tensor> kept{other.clone()};
      const auto most = static_cast<std::size_t>(std::max(2.0, kCold / static_cast<double>(bytes)));
      const Timing timing = time(fmt::format("{} {} KiB", stream.name, bytes >> 10), [&](std::int64_t times) {
        for (std::int64_t i = 0; i < times; ++i) {
          if (kept.size() >= most) { kept.pop_front(); }
          kept.push_back(stream.run(kept.back(), other));
        }
      });
      samples_.streams.push_back({stream.name, stream.tensors * static_cast<double>(bytes), timing});
    }
  }

  void product(const ProductShape& shape) {
    const Gemm& g = shape.gemm;
    const auto type = type_of(g.precision);
    const std::int64_t m = whole(g.m), n = whole(g.n), k = whole(g.k), batch = whole(g.batch);
    at::globalContext().setAllowTF32CuBLAS(g.precision == Precision::tf32);
    const auto operands = [&]() -> std::pair<at::Tensor, at::Tensor> {
      switch (shape.product) {
        case Product::forward: return {filled({m, k}, type), filled({n, k}, type).t()};          // x W^T, as at::linear
        case Product::input_gradient: return {filled({m, k}, type), filled({k, n}, type)};       // dy W
        case Product::weight_gradient: return {filled({k, m}, type).t(), filled({k, n}, type)};  // dy^T x
        case Product::batched:  // queries times keys, which stand by token; or weights times values
          return {filled({batch, m, k}, type), m == n ? filled({batch, n, k}, type).transpose(1, 2) : filled({batch, k, n}, type)};
      }
      return {};
    };
    // In training neither the weight nor the activations of a product are in a near cache, nor is the memory of its result.
    const double bytes = g.batch * (g.m * g.k * g.input_bytes + g.k * g.n * g.weight_bytes + g.m * g.n * g.output_bytes);
    std::vector<std::pair<at::Tensor, at::Tensor>> pairs(static_cast<std::size_t>(std::clamp(kCold / bytes, 2.0, 64.0)));
    for (auto& pair : pairs) { pair = operands(); }
    std::vector<at::Tensor> results(pairs.size());
    std::size_t next = 0;
    const std::string what = fmt::format("product {} {}", to_text(g), enum_name(g.precision));
    const Timing timing = time(what, [&](std::int64_t times) {
      for (std::int64_t i = 0; i < times; ++i) {
        results[next] = at::matmul(pairs[next].first, pairs[next].second);
        next = (next + 1) % pairs.size();
      }
    });
    samples_.gemms.push_back({g, shape.product, timing});
    at::globalContext().setAllowTF32CuBLAS(false);
  }

  /// A format that the processor has but the library does not use is no faster than fp32: then it is emulated, and left out.
  static void drop_emulated(const std::vector<Precision>& precisions, Samples& samples) {
    const auto total = [&](Precision precision) {
      double sum = 0;
      for (const GemmSample& s : samples.gemms) { sum += s.shape.precision == precision ? s.time.seconds : 0; }
      return sum;
    };
    const double wide = total(Precision::fp32);
    for (const Precision precision : precisions) {
      if (precision == Precision::fp32 || total(precision) < wide) { continue; }
      std::erase_if(samples.gemms, [&](const GemmSample& s) { return s.shape.precision == precision; });
      samples.notes.push_back(fmt::format("{} is left out: its products take as long as those in fp32, so {} emulates it here",
                                          enum_name(precision), samples.machine.library));
    }
  }

  void attend(const AttentionShape& shape) {
    const std::int64_t batch = whole(shape.batch), heads = whole(shape.heads), length = whole(shape.queries), width = whole(shape.head_dim);
    const auto type = type_of(shape.precision);
    const auto q = filled({batch, heads, length, width}, type), k = filled({batch, heads, length, width}, type);
    const auto v = filled({batch, heads, length, width}, type);
    const bool fused = has_fused_attention();
    const auto mask = at::full({length, length}, -INFINITY, q.options()).triu(1);
    const double scale = 1 / std::sqrt(shape.head_dim);
    const Timing timing = time(fmt::format("attention {} x {}, {} wide", batch * heads, length, width), [&](std::int64_t times) {
      for (std::int64_t i = 0; i < times; ++i) {
#if TORCH_VERSION_MAJOR >= 2
        if (fused) {
          at::scaled_dot_product_attention(q, k, v, {}, 0.0, true);
          continue;
        }
#endif
        at::matmul(at::softmax(at::matmul(q, k.transpose(2, 3)) * scale + mask, -1), v);
      }
    });
    samples_.attention.push_back({shape, fused, timing});
  }

  static bool has_fused_attention() {
#if TORCH_VERSION_MAJOR >= 2
    return true;
#else
    return false;
#endif
  }

  const Plan& plan_;
  const Tell& tell_;
  Samples samples_;
  std::size_t done_ = 0, all_ = 1;
};

}  // namespace

Samples measure_device(const Plan& plan, const Tell& tell) {
  Samples samples = Measuring(plan, tell).all();
  if (!samples.attention.empty() && !samples.attention.front().fused) {
    samples.notes.push_back(samples.machine.library + " has no fused attention: `attention` is of products and a softmax one by one");
  }
  return samples;
}

}  // namespace centrale::calibrate
