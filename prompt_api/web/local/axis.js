/** One axis of torch's bilinear resize: which inputs each output reads, and how it weighs them. */

/**
 * The axis that `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)` uses, to the last bit.
 *
 * Output k is `(1 - weight[k]) * input[lower[k]] + weight[k] * input[lower[k] + 1]`; `weight` is 0 where the upper
 * input would lie beyond the last one. `first[i]` is the first output whose `lower` is at least i, for i up to
 * `inputs`.
 * Source: `prompt_api/masks/axis.py`.
 * @returns {{lower: Int32Array, weight: Float32Array, first: Int32Array}}
 */
export function resizeAxis(inputs, outputs) {
  const scale = Math.fround(inputs / outputs);
  const lower = new Int32Array(outputs);
  const weight = new Float32Array(outputs);
  const first = new Int32Array(inputs + 1).fill(outputs);
  for (let k = outputs - 1; k >= 0; k--) {
    const source = Math.max(0, Math.fround(scale * (k + 0.5) - 0.5));
    lower[k] = Math.min(Math.trunc(source), inputs - 1);
    weight[k] = lower[k] === inputs - 1 ? 0 : source - lower[k];
    first[lower[k]] = k;
  }
  // An input that no output starts from takes the first output of the next input.
  for (let i = inputs - 1; i >= 0; i--) first[i] = Math.min(first[i], first[i + 1]);
  return { lower, weight, first };
}
