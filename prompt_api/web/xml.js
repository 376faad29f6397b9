/** Text in XML. */

const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** Text as the value of an attribute. Characters that XML 1.0 does not allow become spaces. */
export function attribute(text) {
  // Surrogates that stand alone are no characters either.
  const allowed = text.toWellFormed?.() ?? text;
  return allowed.replace(/[\p{Cc}\ufffe\uffff]/gu, " ").replace(/[&<>"]/g, (character) => ESCAPES[character]);
}
