"""The AWS door: signed calls in JSON 1.1 (ECR, ECR Public) and in the Query protocol (IAM, STS)."""
