/** The access token of a service that requires one. It is kept for this tab. All calls that wait for it ask once. */

const KEY = "access-token";

let ask = async () => null;
let asking = null;

/** @param {(isAgain: boolean) => Promise<string|null>} askPerson resolves with null if the person has no token */
export function useDialog(askPerson) {
  ask = askPerson;
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
  asking ??= ask(Boolean(refused.Authorization)).finally(() => (asking = null));
  const token = await asking;
  if (token) sessionStorage.setItem(KEY, token);
  return token !== null;
}
