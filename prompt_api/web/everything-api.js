/** The service's routes of everything jobs, one function per call. A failure is a `Problem`, and an abort is an AbortError. */

import { pause, request } from "./api.js";
import { eventData } from "./event-stream.js";

export { pause };

/** Has every mask of an image found. The same options are the same job. @returns {Promise<import("./everything-job.js").Job>} */
export async function ask({ image_id: id, model }, options, { signal }) {
  const response = await request(`v1/images/${id}/everything?model=${encodeURIComponent(model)}`, {
    signal,
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(options),
  });
  return response.json();
}

/** Returns the job with its masks so far. @returns {Promise<import("./everything-job.js").Job>} */
export async function get({ image_id: id }, job, { signal }) {
  return (await request(`v1/images/${id}/everything/${job}`, { signal })).json();
}

/** Yields the job without its masks, at each change. @returns {AsyncGenerator<import("./everything-job.js").Job>} */
export async function* states({ image_id: id }, job, { signal }) {
  const path = `v1/images/${id}/everything/${job}/events`;
  const response = await request(path, { signal, headers: { Accept: "text/event-stream" } });
  for await (const data of eventData(response.body)) yield JSON.parse(data);
}

/** Stops the job, and has its masks deleted. */
export async function stop({ image_id: id }, job) {
  await request(`v1/images/${id}/everything/${job}`, { method: "DELETE", keepalive: true });
}
