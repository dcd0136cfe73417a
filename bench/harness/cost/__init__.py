"""What workloads cost on AWS, and what they would cost with others."""
