output "endpoint_name" {
  description = "For invoke_endpoint."
  value       = aws_sagemaker_endpoint.this.name
}

output "endpoint_arn" {
  description = "For policies that let callers invoke it."
  value       = aws_sagemaker_endpoint.this.arn
}

output "model_name" {
  description = "The model that the endpoint runs."
  value       = aws_sagemaker_model.this.name
}
