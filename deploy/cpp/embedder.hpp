// Embeds a picture that shows one aligned face.
#pragma once

#include "export_folder.hpp"
#include "runtime.hpp"

class Embedder {
 public:
  // threads 0: one per core. resize: stretch pictures of another size than the model's, which are an error otherwise. Throws Failure.
  Embedder(const Export& about, int threads, bool resize);

  // (H, W, 3) BGR -> the embedding, before L2 normalisation. Throws Failure for a picture of another size.
  std::vector<float> operator()(const cv::Mat& picture);

 private:
  Export about_;
  Run run_;
  bool resize_;
};

// The cosine between two embeddings, -1..1; 0 if one of them is zero.
double similarity(const std::vector<float>& a, const std::vector<float>& b);
