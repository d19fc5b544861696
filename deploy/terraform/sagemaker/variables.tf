variable "name" {
  description = "The name of the endpoint; that of its configuration begins with it."
  type        = string

  validation {
    condition     = can(regex("^[a-zA-Z0-9]([a-zA-Z0-9-]{0,34}[a-zA-Z0-9])?$", var.name))
    error_message = "name has 1 to 36 letters, digits and hyphens, with a letter or digit at both ends."
  }
}

variable "image" {
  description = "An image of deploy/docker, built with USER=root, in ECR: ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY:TAG, or with @sha256:DIGEST."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.com(\\.cn)?/[^:@]+(:[^:@]+|@sha256:[0-9a-f]{64})$", var.image))
    error_message = "image is one of ECR, with a tag or a digest: ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY:TAG."
  }
}

variable "model_data_url" {
  description = "A .tar.gz in S3 with the files of the model's folder at its top; null where the image has the model in /model."
  type        = string
  default     = null

  validation {
    condition     = var.model_data_url == null ? true : can(regex("^s3://[^/]+/.+\\.tar\\.gz$", var.model_data_url))
    error_message = "model_data_url is s3://BUCKET/KEY.tar.gz."
  }
}

variable "execution_role_arn" {
  description = "The role that SageMaker takes: it may pull the image, read the model and write logs."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$", var.execution_role_arn))
    error_message = "execution_role_arn is arn:aws:iam::ACCOUNT:role/NAME."
  }
}

variable "instance_type" {
  description = "The machine of each instance, such as ml.c7i.large, or ml.g5.xlarge with the CUDA image."
  type        = string
  default     = "ml.c7i.large"

  validation {
    condition     = startswith(var.instance_type, "ml.")
    error_message = "instance_type begins with ml., such as ml.c7i.large."
  }
}

variable "min_instances" {
  description = "The fewest instances; the endpoint begins with as many."
  type        = number
  default     = 1

  validation {
    condition     = var.min_instances >= 1 && floor(var.min_instances) == var.min_instances
    error_message = "min_instances is a whole number of at least 1."
  }
}

variable "max_instances" {
  description = "The most instances."
  type        = number
  default     = 4

  validation {
    condition     = var.max_instances >= 1 && floor(var.max_instances) == var.max_instances
    error_message = "max_instances is a whole number of at least 1."
  }
}

variable "invocations_per_instance" {
  description = "The invocations of an instance in a minute that autoscaling keeps to: about 70 % of what one was measured to bear."
  type        = number

  validation {
    condition     = var.invocations_per_instance > 0
    error_message = "invocations_per_instance is more than 0."
  }
}

variable "tags" {
  description = "Tags of all that is made."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key in keys(var.tags) : !startswith(lower(key), "aws:")])
    error_message = "Keys of tags that begin with aws: are reserved."
  }
}
