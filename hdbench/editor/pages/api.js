// What the page asks of the server. A lost connection is waited out: operations have ids of their
// own, so that sending one again never carries it out twice.

export class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

export const connection = { onlost: () => {}, onback: () => {} };

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// Ask once; null where the network failed.
async function once(path, options) {
  try { return await fetch(path, options); } catch (error) {
    if (options && options.signal && options.signal.aborted) throw error;
    return null;
  }
}

// Ask until the server answers.
export async function ask(path, options) {
  let lost = false;
  for (let wait = 250; ; wait = Math.min(2 * wait, 4000)) {
    const answer = await once(path, options);
    if (answer !== null) {
      if (lost) connection.onback();
      if (answer.ok) return answer;
      let message = answer.statusText;
      try { message = (await answer.json()).error; } catch { /* the status has to do */ }
      throw new Refused(answer.status, message);
    }
    if (!lost) connection.onlost();
    lost = true;
    await pause(wait);
  }
}

export const getJson = async (path) => (await ask(path)).json();

export const post = async (path, value) => (await ask(path, {
  method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(value),
})).json();

export const send = async (path, blob) => (await ask(path, { method: 'POST', body: blob })).json();

export async function getPicture(path, options) {
  const answer = await ask(path, options);
  return createImageBitmap(await answer.blob(), { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
}

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
