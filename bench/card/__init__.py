"""What only a GPU can show, in ten minutes: `python -m bench.card --model vit_h`."""
