/** Constants of SAM, written by `python -m prompt_api.models.sam1.javascript`. Do not edit. */

/** Side in pixels of the square, zero-padded frame that the image encoder sees. */
export const FRAME_SIDE = 1024;

/** Side in pixels of the low-res logits, which cover the padded frame. */
export const LOW_RES_SIDE = 256;

/** Batch, channels, rows and columns of an image embedding. */
export const EMBEDDING_SHAPE = [1, 256, 64, 64];

/** Rows and columns of an image embedding. */
export const GRID = 64;

/** Channels of tokens and of image features. */
export const WIDTH = 256;

/** Heads of an attention, and the channels of each. */
export const HEADS = [8, 16];

/** Rows that a mask prompt adds to the image's update. */
export const MASK_ROWS = 17;

/** Numbers in each of these rows. */
export const MASK_UPDATES = 1408;

/** Image features that carry the positions of their places. */
export const PLACED = ["first_key", "first_query"];

/** The other image features. */
export const PLAIN = [
  "first_value",
  "base_write",
  "base_key",
  "base_value",
  "base_query",
  "second_write_first",
  "second_write",
  "second_key",
  "second_value",
];

/** Image features that a mask prompt changes. */
export const WITH_MASK = ["first_key", "first_query", "first_value"];
