#include "runtime.hpp"

#include <cstdlib>
#include <fstream>
#include <openvino/runtime/core.hpp>
#include <openvino/runtime/properties.hpp>

#include "failure.hpp"

namespace {

// The planes R, G and B, one after another, as the model takes them.
ov::Tensor planes(const cv::Mat& picture) {
  const auto height = static_cast<size_t>(picture.rows), width = static_cast<size_t>(picture.cols);
  ov::Tensor tensor(ov::element::u8, {1, 3, height, width});
  auto* first = static_cast<unsigned char*>(tensor.data());
  std::vector<cv::Mat> bgr;
  for (size_t plane : {2, 1, 0}) bgr.emplace_back(picture.rows, picture.cols, CV_8UC1, first + plane * height * width);
  cv::split(picture, bgr);
  return tensor;
}

Output copied(const ov::Tensor& tensor) {
  Output output;
  output.rows = tensor.get_shape().empty() ? 1 : tensor.get_shape()[0];
  output.columns = output.rows ? tensor.get_size() / output.rows : 0;
  if (tensor.get_size()) output.values.assign(tensor.data<const float>(), tensor.data<const float>() + tensor.get_size());
  return output;
}

// OpenVINO's messages begin with lines of its own source files.
std::string last_line(std::string message) {
  while (!message.empty() && message.back() == '\n') message.pop_back();
  return message.substr(message.find_last_of('\n') + 1);  // npos + 1 is 0
}

// With AMX, OpenVINO crashes in INT8 models of any input size: https://github.com/openvinotoolkit/openvino/issues/37577
void avoid_amx() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string word; file >> word;) {
    if (word == "amx_tile") {
      setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16", 0);
      return;
    }
  }
}

}  // namespace

Run start(const Export& about, int threads) {
  avoid_amx();
  try {
    // f32: where the processor has bfloat16, OpenVINO computes in it otherwise
    ov::AnyMap settings = {ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY), ov::hint::inference_precision(ov::element::f32),
                           ov::hint::enable_cpu_pinning(false)};
    if (threads) settings.insert(ov::inference_num_threads(threads));
    ov::InferRequest request = ov::Core().compile_model(about.model.string(), "CPU", settings).create_infer_request();
    return [request, names = about.outputs](const cv::Mat& picture) mutable {
      try {
        request.set_tensor("image", planes(picture));
        request.infer();
      } catch (const std::exception& error) {
        throw Failure(WRONG_PICTURE, "OpenVINO cannot run the model on this picture: " + last_line(error.what()));
      }
      std::map<std::string, Output> outputs;
      for (const std::string& name : names) {
        const ov::Tensor tensor = request.get_tensor(name);
        if (tensor.get_element_type() == ov::element::f32) outputs[name] = copied(tensor);  // `count` are integers: of one picture all rows
      }
      return outputs;
    };
  } catch (const std::exception& error) {
    throw Failure(WRONG_MODEL, about.model.string() + ": OpenVINO cannot run it: " + last_line(error.what()));
  }
}
