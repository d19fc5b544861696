# An endpoint of SageMaker that runs an image of deploy/docker, and follows the load.

locals {
  variant = "all"
}

resource "aws_sagemaker_model" "this" {
  execution_role_arn = var.execution_role_arn
  # The container needs no network: SageMaker itself fetches the model and passes the requests on.
  enable_network_isolation = true
  tags                     = var.tags

  primary_container {
    image          = var.image
    model_data_url = var.model_data_url
    environment    = { BERTX_SOURCE = var.model_data_url == null ? "/model" : "/opt/ml/model" }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_sagemaker_endpoint_configuration" "this" {
  name_prefix = "${var.name}-"
  tags        = var.tags

  production_variants {
    variant_name           = local.variant
    model_name             = aws_sagemaker_model.this.name
    instance_type          = var.instance_type
    initial_instance_count = var.min_instances
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_sagemaker_endpoint" "this" {
  name                 = var.name
  endpoint_config_name = aws_sagemaker_endpoint_configuration.this.name
  tags                 = var.tags
}

resource "aws_appautoscaling_target" "this" {
  service_namespace  = "sagemaker"
  scalable_dimension = "sagemaker:variant:DesiredInstanceCount"
  resource_id        = "endpoint/${aws_sagemaker_endpoint.this.name}/variant/${local.variant}"
  min_capacity       = var.min_instances
  max_capacity       = var.max_instances

  lifecycle {
    precondition {
      condition     = var.max_instances >= var.min_instances
      error_message = "max_instances is ${var.max_instances}, fewer than min_instances, ${var.min_instances}."
    }
  }
}

resource "aws_appautoscaling_policy" "this" {
  name               = "${var.name}-invocations"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.invocations_per_instance
    scale_out_cooldown = 60
    scale_in_cooldown  = 300

    predefined_metric_specification {
      predefined_metric_type = "SageMakerVariantInvocationsPerInstance"
    }
  }
}
