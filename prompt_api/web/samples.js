/** The sample pictures of the first screen: one click opens a picture and asks for the mask of what it shows. */

import { Problem } from "./problems.js";

/** A point on the subject of each picture, in its pixels. */
const POINTS = {
  coffee: { x: 205, y: 190 },
  cat: { x: 225, y: 140 },
  rocket: { x: 322, y: 225 },
};

/** @param {(name: string) => void} onSample called with the name of the chosen picture */
export function listenToSamples(onSample) {
  for (const button of document.querySelectorAll("[data-sample]")) {
    button.addEventListener("click", () => onSample(button.dataset.sample));
  }
}

/**
 * @param {string} name
 * @returns {Promise<{file: File, point: {x: number, y: number, label: number}}>}
 * @throws {Problem} `offline`
 */
export async function loadSample(name) {
  let blob;
  try {
    const response = await fetch(`static/samples/${name}.jpg`);
    if (!response.ok) throw new Error(`status ${response.status}`);
    blob = await response.blob();
  } catch (error) {
    throw new Problem("offline", { detail: String(error) });
  }
  // With a time that is always the same, the gallery knows the picture again.
  const file = new File([blob], `${name}.jpg`, { type: "image/jpeg", lastModified: 0 });
  return { file, point: { ...POINTS[name], label: 1 } };
}
