/** The page's error class, and one sentence for each stable error code of the service. */

export class Problem extends Error {
  /**
   * @param {string} code stable code of the service, or one of this page: `offline`, `unreadable`, `other-size`,
   *   `local-decoding`, `file-missing`, `file-not-kept` and those that start with `session-`
   * @param {{status?: number, detail?: string, retryAfter?: number|null}} [more] `retryAfter` in seconds
   */
  constructor(code, { status = 0, detail = "", retryAfter = null } = {}) {
    super(detail || code);
    this.name = "Problem";
    this.code = code;
    this.status = status;
    this.detail = detail;
    this.retryAfter = retryAfter;
  }
}

const SENTENCES = {
  unreadable: "This browser cannot open that file as a picture. Choose a JPEG, PNG, WEBP, TIFF, BMP, AVIF or HEIC.",
  "other-size": "This browser and the service turn the picture differently. Save it upright, then open it again.",
  "local-decoding": "Decoding in this browser failed. The service answers again.",
  "file-missing": "This browser did not keep the file of that picture. Open the file again to go on.",
  "file-not-kept": "A file cannot be kept in this browser. After a reload, the page asks for it again.",
  "session-full": "This browser has no room for more files. After a reload, the page asks for those that are missing.",
  "session-too-full": "This browser has no room to keep your work. Export it before you leave the page.",
  "session-elsewhere": "Your session is open in another tab. What you do in this one is not kept.",
  "session-taken": "Your session goes on in another tab. What you do in this one is not kept.",
  "session-unavailable": "This browser keeps nothing for this page. Export your work before you leave the page.",
  "session-newer": "A newer version of this page keeps your session. What you do in this one is not kept.",
  "session-lost": "This browser does not keep your work any more. Export it before you leave the page.",
  "export-too-large": "That is too much for one ZIP file. Export the pictures one by one, or as COCO.",
  "not-imported": "Not everything was imported.",
  offline: "The service cannot be reached. Check the connection, then try again.",
  unauthorized: "This service needs an access token.",
  forbidden: "You are not allowed to do that here.",
  "rate-limited": "That was too fast for this service. Wait a moment, then try again.",
  "image-not-found": "The service no longer has this picture.",
  "model-not-found": "The service does not serve that model.",
  "job-not-found": "The service no longer knows this search for masks. Start it again.",
  "embedding-pending": "The picture is still being encoded.",
  "image-expired": "The service has forgotten this picture. It has to be uploaded again.",
  "length-required": "The upload arrived without its length. Something between here and the service removed it.",
  "image-too-large": "That picture is larger than this service accepts.",
  "request-too-large": "That prompt is larger than this service accepts.",
  "unsupported-image": "This service accepts only still pictures: JPEG, PNG, WEBP, TIFF, BMP, AVIF or HEIC.",
  "invalid-image": "That picture is damaged and cannot be read.",
  "image-unreachable": "The service could not fetch that picture.",
  "url-not-allowed": "The service does not fetch pictures from there.",
  "invalid-prompt": "The service did not understand that prompt.",
  "invalid-parameter": "The service did not understand that request.",
  "encode-failed": "The picture could not be encoded.",
  "everything-failed": "The service could not find every mask of the picture.",
  "store-unavailable": "The service cannot reach its store at the moment.",
  overloaded: "The service is busy right now.",
  "answer-too-large": "These are too many masks for one answer.",
  "foreign-origin": "The service takes no uploads from pages of this address.",
  "unknown-host": "The service does not answer under this address.",
  "not-served": "The service does not have that feature.",
};

/** Codes whose `detail` tells a person more than the sentence does: a limit, a reason. */
const WITH_DETAIL = new Set([
  "not-imported",
  "unreadable",
  "file-missing",
  "local-decoding",
  "image-too-large",
  "invalid-image",
  "invalid-prompt",
  "encode-failed",
]);

/**
 * One or two sentences for a person.
 * @param {unknown} error a Problem, or anything thrown
 */
export function sentenceFor(error) {
  if (!(error instanceof Problem)) return "Something went wrong on this page. Reload it and try again.";
  const sentence = SENTENCES[error.code] ?? "The service answered with an error.";
  const detail = WITH_DETAIL.has(error.code) || !(error.code in SENTENCES) ? asSentence(error.detail) : "";
  return detail ? `${sentence} ${detail}` : sentence;
}

/** True if trying the same again later can help. */
export function isTemporary(error) {
  return error instanceof Problem && ["store-unavailable", "overloaded", "rate-limited"].includes(error.code);
}

/** Codes of failures that stay, however often the same is tried. */
const LASTING = new Set([
  "unreadable",
  "other-size",
  "file-missing",
  "forbidden",
  "model-not-found",
  "length-required",
  "image-too-large",
  "request-too-large",
  "unsupported-image",
  "invalid-image",
  "url-not-allowed",
  "invalid-prompt",
  "invalid-parameter",
  "answer-too-large",
  "foreign-origin",
  "unknown-host",
  "not-served",
]);

/** True if a person who tries the same again may succeed. */
export function canHelpAgain(error) {
  return !(error instanceof Problem) || !LASTING.has(error.code);
}

/** True if the service would do it for another access token. */
export function wantsToken(error) {
  return error instanceof Problem && ["unauthorized", "forbidden"].includes(error.code);
}

/** True if the service does not have the picture, or no longer has it. Uploading it again helps. */
export function isForgotten(error) {
  return error instanceof Problem && ["image-not-found", "image-expired"].includes(error.code);
}

/** Returns a text with a capital at its start and a full stop at its end. */
export function asSentence(text) {
  if (!text) return "";
  const start = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(start) ? start : `${start}.`;
}
