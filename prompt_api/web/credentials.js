/** The access token of a service that asks for one: kept for this tab, asked for once however many calls need it. */

const KEY = "access-token";

let ask = async () => null;
let asking = null;

/** @param {(isAgain: boolean) => Promise<string|null>} askPerson resolves with a token, or with null if there is none */
export function useDialog(askPerson) {
  ask = askPerson;
}

/** Headers that every call to the service carries. */
export function authorization() {
  const token = sessionStorage.getItem(KEY);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/**
 * After a refusal: a token that differs from the one refused.
 * @param {{Authorization?: string}} refused the headers that were not good enough
 * @returns {Promise<boolean>} false if the person has none: the refusal stands
 */
export async function renew(refused) {
  // Another call may have been given a token while this one was on its way.
  if (authorization().Authorization !== refused.Authorization) return true;
  asking ??= ask(Boolean(refused.Authorization)).finally(() => (asking = null));
  const token = await asking;
  if (token) sessionStorage.setItem(KEY, token);
  return token !== null;
}
