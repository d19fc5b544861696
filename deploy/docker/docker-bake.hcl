# docker buildx bake -f deploy/docker/docker-bake.hcl TARGET, in the root of the repository.
group "default" {
  targets = ["numpy", "torch-cpu", "jax", "tensorflow", "cuda"]
}

target "numpy" {
  context    = "."
  dockerfile = "deploy/docker/Dockerfile"
  args       = { EXTRAS = "serve" }
  tags       = ["bertx:numpy"]
}

target "torch-cpu" {
  inherits = ["numpy"]
  args     = { EXTRAS = "torch,serve", INDEX = "https://download.pytorch.org/whl/cpu" }
  tags     = ["bertx:torch-cpu"]
}

target "jax" {
  inherits = ["numpy"]
  args     = { EXTRAS = "jax,serve" }
  tags     = ["bertx:jax"]
}

target "tensorflow" {
  inherits = ["numpy"]
  args     = { EXTRAS = "tensorflow,serve" }
  tags     = ["bertx:tensorflow"]
}

# PyTorch as PyPI has it, with its CUDA libraries; the driver is the host's.
target "cuda" {
  inherits = ["numpy"]
  args     = { EXTRAS = "torch,serve" }
  tags     = ["bertx:cuda"]
}

target "lambda" {
  context    = "."
  dockerfile = "deploy/lambda/Dockerfile"
  tags       = ["bertx:lambda"]
}
