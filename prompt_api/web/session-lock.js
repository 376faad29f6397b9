/** Lets one tab at a time keep the session, so that two tabs never write over each other. */

/** A page that is reloaded gives its lock back a little after the new one asks. */
const PATIENCE_MS = 1000;
const ASK_MS = 300;

/**
 * Takes the lock until the page ends.
 * @param {string} name
 * @param {{steal: boolean, onLost: () => void}} options `steal` takes it from another tab; `onLost` is called when
 *   another tab has taken it
 * @returns {Promise<boolean>} false if another tab has it
 */
export function takeLock(name, { steal, onLost }) {
  // Web Locks exist only on pages with HTTPS and on this machine.
  return navigator.locks ? takeWebLock(name, steal, onLost) : takeByAsking(name, steal, onLost);
}

function takeWebLock(name, steal, onLost) {
  const options = steal ? { steal } : { signal: AbortSignal.timeout(PATIENCE_MS) };
  return new Promise((resolve) => {
    let isHeld = false;
    const hold = () => {
      isHeld = true;
      resolve(true);
      return new Promise(() => {});
    };
    navigator.locks.request(name, options, hold).catch((error) => {
      if (isHeld) onLost();
      // Where a browser allows no locks it allows no database either, which says more.
      resolve(error.name !== "TimeoutError");
    });
  });
}

/** Asks all tabs whether one of them has the lock. Of two that start at the same moment, both may get it. */
async function takeByAsking(name, steal, onLost) {
  if (typeof BroadcastChannel === "undefined") return true;
  const channel = new BroadcastChannel(name);
  let isHeld = false;
  let isElsewhere = false;
  channel.onmessage = ({ data }) => {
    if (data === "held") isElsewhere = true;
    else if (isHeld && data === "asked") channel.postMessage("held");
    else if (isHeld && data === "stolen") {
      isHeld = false;
      onLost();
    }
  };
  channel.postMessage(steal ? "stolen" : "asked");
  if (!steal) await new Promise((resolve) => setTimeout(resolve, ASK_MS));
  isHeld = steal || !isElsewhere;
  if (!isHeld) channel.close();
  return isHeld;
}
