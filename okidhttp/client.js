// The client module: for pages of the host's own, and for the kit's pages, which are made
// of it. It finds the kit's other routes beside itself. The types are in client.d.ts.

/** @import { Followed, Options, Problem, Started, State, Status } from "./client.d.ts" */

/** How long the provider's script may take, in milliseconds. */
const patience = 9000;

/** How the scripts of the providers are started, by the provider's name.
 * @type {Record<string, (config: object, onComplete: (claim: unknown) => void, onError: (error: unknown) => void) => unknown>} */
const boots = {};

/** The scripts that the page has loaded, by URL, since loading one twice may break it.
 * @type {Map<string, Promise<void>>} */
const scripts = new Map();

/** @type {Promise<Started> | undefined} */
let starting;

let unfollow = () => {};

/**
 * start begins a verification, or goes on with the one that the user has begun, and opens the
 * provider's SDK over the page. Once the verdict is known, or a person has to look, the browser
 * goes on. If the provider has a page of its own, the browser goes there at once. A second call while the first is under way, as by a double click, is the first.
 *
 * @param {Options} [options]
 * @returns {Promise<Started>} settled when the SDK is open; rejected with a Problem if it cannot be
 */
export function start(options = {}) {
  starting ??= begin(options).finally(() => { starting = undefined; });
  return starting;
}

/** @param {Options} options */
async function begin(options) {
  const url = route("start");
  if (options.provider) url.searchParams.set("provider", options.provider);
  const started = await call(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ return_to: options.returnTo, locale: options.locale }),
  });
  if (!started) throw problem("not_logged_in"); // what came was the way to the log-in
  return open(started, options);
}

/**
 * resume goes on with an attempt that was begun before, and never begins another one: it opens
 * the provider's SDK again or, if the user has finished, goes on as start does.
 *
 * @param {string | Started} attempt the reference, or all that start gave
 * @param {Options} [options]
 * @returns {Promise<Started | undefined>} undefined if there is nothing to open
 */
export async function resume(attempt, options = {}) {
  if (typeof attempt !== "string") return open(attempt, options);
  const started = await call(route("page", attempt));
  if (started) return open(started, options);
  goTo(options, route("success", attempt));
}

/**
 * follow calls tell with the status of an attempt, now and whenever it changes. It listens to
 * the live status and, where that is refused or held back, asks. A user may have three live
 * statuses at a time.
 *
 * @param {string} attempt the reference
 * @param {Followed} tell
 * @returns {() => void} a function that ends it
 */
export function follow(attempt, tell) {
  const url = route("status", attempt);
  /** @type {EventSource | undefined} */
  let source;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let over = false, heard = "";

  function pause() {
    clearTimeout(timer);
    source?.close();
    source = undefined;
  }
  function stop() {
    over = true;
    pause();
    document.removeEventListener("visibilitychange", wake);
    window.removeEventListener("online", listen);
  }
  /** @param {State | undefined} state undefined if it is not the user's to know */
  function hear(state) {
    const what = JSON.stringify(state);
    if (over || what === heard) return;
    heard = what;
    if (!state?.retry_after) stop();
    tell(state ? state.status : "", over, state);
  }
  function listen() {
    pause();
    if (!window.EventSource) return ask();
    timer = setTimeout(ask, 1500); // a proxy on the way may hold the stream back
    const mine = source = new EventSource(url);
    mine.addEventListener("status", (event) => {
      if (source !== mine) return;
      clearTimeout(timer);
      timer = setTimeout(check, 20000);
      hear(JSON.parse(event.data));
    });
    mine.onerror = () => {
      if (source === mine && mine.readyState === EventSource.CLOSED) ask(); // it was refused
    };
  }
  // A proxy may also let the first event through, and none after it.
  async function check() {
    const mine = source, before = heard;
    const state = await call(url).catch(() => undefined);
    if (over || source !== mine || !state) return;
    if (JSON.stringify(state) !== heard && heard === before) return ask();
    clearTimeout(timer);
    timer = setTimeout(check, 20000);
  }
  async function ask() {
    pause();
    let wait = 5;
    try {
      const state = await call(url);
      hear(state);
      wait = state?.retry_after;
    } catch (error) {
      const { status, retryAfter } = /** @type {Problem} */ (error); // or what fetch throws
      if (status === 401 || status === 404) hear(undefined);
      wait = retryAfter || wait;
    }
    clearTimeout(timer);
    if (!over) timer = setTimeout(ask, 1000 * wait);
  }
  // A phone that was asleep, or offline, has lost its stream without knowing.
  function wake() { if (!document.hidden) listen(); }

  document.addEventListener("visibilitychange", wake);
  window.addEventListener("online", listen);
  listen();
  return stop;
}

/**
 * open opens the provider's SDK for an attempt, and goes on when it is over.
 *
 * @param {Started} started
 * @param {Options} options
 * @returns {Promise<Started>}
 */
function open(started, options) {
  const { attempt, claim_url: claimURL, provider, sdk } = started;
  let begun = false, sending = false, left = false;
  unfollow(); // of an attempt that was opened before
  if (sdk.url) {
    location.assign(started.page_url); // which tells nobody where the user comes from
    return Promise.resolve(started);
  }

  /** @param {"success" | "error"} name */
  function leave(name) {
    if (left) return;
    left = true;
    unfollow();
    goTo(options, route(name, attempt));
  }
  // What the provider gave to the page goes to the site, three times if need be.
  /** @param {unknown} claim */
  async function complete(claim) {
    if (!claimURL) return leave("success");
    if (left || sending) return;
    sending = true;
    options.onSending?.();
    for (let tries = 1; ; tries++) {
      try {
        await call(claimURL, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(claim) });
        return leave("success");
      } catch (error) {
        const refused = /** @type {Problem} */ (error).status < 500; // by itself nothing will change
        if (refused && !options.onUnsent) return leave("error");
        if (options.onUnsent && (refused || tries === 3)) {
          sending = false;
          return options.onUnsent(() => complete(claim), error);
        }
        await new Promise((resolve) => setTimeout(resolve, 1000 * Math.min(tries, 10)));
      }
    }
  }
  // The user may finish on another device.
  unfollow = follow(attempt, (status, over, state) => {
    options.onStatus?.(status, over, state);
    if (status === "review" || status && over) leave("success");
  });

  return new Promise((resolve, reject) => {
    /** @param {unknown} [cause] */
    const trouble = (cause) => reject(problem("sdk_blocked", { cause }));
    setTimeout(trouble, patience);
    load(sdk.script_url).then(() => {
      if (left) return;
      let broken;
      // An error before boot has returned is the script's, not the user's.
      boots[provider](sdk.config, complete, (error) => { if (begun) leave("error"); else broken = { error }; });
      if (broken) throw broken.error;
      begun = true;
      options.onOpen?.();
      resolve(started);
    }).catch(trouble);
  });
}

/** @param {string} url */
function load(url) {
  let loaded = scripts.get(url);
  if (!loaded) {
    loaded = new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.onload = () => resolve();
      script.onerror = () => {
        scripts.delete(url);
        reject();
      };
      script.src = url;
      document.head.append(script);
    });
    scripts.set(url, loaded);
  }
  return loaded;
}

/**
 * @param {Options} options
 * @param {URL} url
 */
function goTo(options, url) {
  if (options.onDone) options.onDone(url.href);
  else location.assign(url);
}

/**
 * @param {string} name
 * @param {string} [attempt]
 */
function route(name, attempt) {
  const url = new URL(name, import.meta.url);
  if (attempt) url.searchParams.set("attempt", attempt);
  return url;
}

/**
 * call asks the kit, and returns the JSON of the answer, or undefined if the answer was
 * something else: a page, or the way to one.
 *
 * @param {URL | string} url
 * @param {RequestInit} [init]
 * @returns {Promise<any>}
 */
async function call(url, init) {
  const response = await fetch(url, {
    credentials: "same-origin", cache: "no-store", redirect: "manual", ...init,
    headers: { Accept: "application/json", ...init?.headers },
  });
  const isJSON = /json/.test(response.headers.get("Content-Type") || "");
  const body = isJSON ? await response.json() : undefined;
  if (response.status < 400) return body;
  throw problem(body?.code || "unexpected", {
    status: response.status, reason: body?.reason, message: body?.title,
    retryAfter: Number(response.headers.get("Retry-After")) || undefined,
  });
}

/**
 * @param {string} code
 * @param {object} [more]
 * @returns {Problem}
 */
function problem(code, more) { return Object.assign(new Error(code), { code, status: 0 }, more); }
