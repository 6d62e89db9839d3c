/** The status of an attempt. */
export type Status = "created" | "started" | "review" | "verified" | "failed" | "expired" | "revoked";

/** How an attempt stands. */
export interface State {
  status: Status;
  /** When it last changed, in RFC 3339. */
  updated_at: string;
  /** Why the verification was refused, if that is known. */
  reason?: string;
  /** True if no other try is allowed. */
  final?: true;
  /** The seconds after which to ask again. Absent once the status cannot change any more. */
  retry_after?: number;
}

/**
 * Is told how an attempt stands. The status is "" if the attempt is not the user's, or nobody is
 * logged in. No more will come if over is true.
 */
export type Followed = (status: Status | "", over: boolean, state?: State) => void;

/** An attempt that was started, as the kit's start route answers. */
export interface Started {
  /** The reference of the attempt. */
  attempt: string;
  /** The name of the provider, such as "okid". */
  provider: string;
  /** Empty for a provider that verifies in the browser alone, or has a page of its own. */
  process_token: string;
  /** When the user must have begun, in RFC 3339. */
  expires_at: string;
  /** The kit's own page for this attempt. */
  page_url: string;
  /** Where what the SDK hands over is posted to. Absent if that means nothing. */
  claim_url?: string;
  /** The provider's own page, or its script and what that is started with. */
  sdk: { url?: string; script_url: string; config: Record<string, unknown> };
}

export interface Options {
  /** start: the name of a provider. If absent, the first that is configured. */
  provider?: string;
  /** start: the page of the site to go to when the user is verified. */
  returnTo?: string;
  /** start: the language of the provider's pages, such as "nl". */
  locale?: string;
  /** Is told how the attempt stands. */
  onStatus?: Followed;
  /** Is called when the SDK is open, also if the promise was rejected because that took long. */
  onOpen?: () => void;
  /** Is called when what the SDK handed over begins to be sent to the site. */
  onSending?: () => void;
  /**
   * Is called when that could not be sent, with a function that tries again. If absent, it is
   * tried again until it succeeds or is refused.
   */
  onUnsent?: (again: () => void, error: unknown) => void;
  /** Is called in place of going to url, where the user is led on. */
  onDone?: (url: string) => void;
}

/**
 * Why something could not be done. The promises of start and resume are rejected with it, or
 * with a TypeError if the site could not be reached.
 */
export interface Problem extends Error {
  /**
   * One of the codes of the kit's answers, such as "already_verified" and "too_many_attempts";
   * "not_logged_in" also if the answer was a redirect to a log-in; "sdk_blocked" if the
   * provider's script could not be loaded or started; and "unexpected" for an answer that is
   * not the kit's.
   */
  code: string;
  /** The HTTP status, or 0 if there is none. */
  status: number;
  /** Why the user was refused before, with the code "ruled_out". */
  reason?: string;
  /** The seconds after which to try again. */
  retryAfter?: number;
}

/**
 * Begins a verification, or goes on with the one that the user has begun, and opens the
 * provider's SDK over the page. Once the verdict is known, or a person has to look, the browser
 * goes on. If the provider has a page of its own, the browser goes there at once. A second call while the first is under way, as by a double click, is the first.
 *
 * The promise is settled when the SDK is open, and rejected with a {@link Problem} if it cannot
 * be opened.
 */
export function start(options?: Options): Promise<Started>;

/**
 * Goes on with an attempt that was begun before, and never begins another one: it opens the
 * provider's SDK again, or goes on as start does if the user has finished. The promise is then
 * undefined.
 *
 * @param attempt the reference, or all that {@link start} gave
 */
export function resume(attempt: string | Started, options?: Options): Promise<Started | undefined>;

/**
 * Calls tell with the status of an attempt, now and whenever it changes. It listens to the live
 * status and, where that is refused or held back, asks.
 *
 * @param attempt the reference
 * @returns a function that ends it
 */
export function follow(attempt: string, tell: Followed): () => void;
