/** The access token of a service that requires one. It is kept for this tab. All calls that wait for it ask once. */

const KEY = "access-token";

let ask = async () => null;
let asking = null;
let onToken = () => {};

/**
 * @param {(why: "needed"|"refused"|"other") => Promise<string|null>} askPerson resolves with null if the person has no
 *   token; `other`: the person wants to use another one
 * @param {() => void} [onChange] called after each change of the token
 */
export function useDialog(askPerson, onChange = () => {}) {
  ask = askPerson;
  onToken = onChange;
}

/** True if a token is in use. */
export function hasToken() {
  return sessionStorage.getItem(KEY) !== null;
}

/** Asks the person for another token. @returns {Promise<boolean>} false if the old one stays */
export function changeToken() {
  return askOnce(hasToken() ? "other" : "needed");
}

/** Headers that every call to the service carries. */
export function authorization() {
  const token = sessionStorage.getItem(KEY);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/**
 * Gets another token after the service refused a call.
 * @param {{Authorization?: string}} refused the headers of the refused call
 * @returns {Promise<boolean>} false if the person has no token, so that the refusal stands
 */
export async function renew(refused) {
  // Another call may have been given a token while this one was on its way.
  if (authorization().Authorization !== refused.Authorization) return true;
  return askOnce(refused.Authorization ? "refused" : "needed");
}

async function askOnce(why) {
  asking ??= ask(why).finally(() => (asking = null));
  const token = await asking;
  if (token === null) return false;
  sessionStorage.setItem(KEY, token);
  onToken();
  return true;
}
