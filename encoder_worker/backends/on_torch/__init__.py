"""What every encoder that runs on torch needs: a device, batches that fit it, and copies to it and back."""
