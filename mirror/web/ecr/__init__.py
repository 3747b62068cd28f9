"""The ECR API: one class per noun, thin over the registry; shapes as the service model names them."""
