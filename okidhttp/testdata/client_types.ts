// What the client module's declarations promise, for tsc --strict.
import { follow, resume, start, type Options, type Problem, type Started, type State, type Status } from "../client.js";

const options: Options = {
  provider: "getid",
  returnTo: "/members",
  locale: "nl",
  onStatus(status: Status | "", over: boolean, state?: State) {
    const reason: string | undefined = state?.reason;
    const wait: number | undefined = state?.retry_after;
    return [status, over, reason, wait];
  },
  onOpen() {},
  onSending() {},
  onUnsent(again: () => void, error: unknown) { if (error) again(); },
  onDone(url: string) { location.assign(url); },
};

export async function verify(): Promise<string> {
  try {
    const started: Started = await start(options);
    const again: Started | undefined = await resume(started.attempt);
    await resume(started, options);
    const end: () => void = follow(started.attempt, (status, over) => { if (over && status === "verified") end(); });
    return again?.page_url ?? started.page_url;
  } catch (err) {
    const problem = err as Problem;
    return `${problem.code} ${problem.status} ${problem.reason ?? ""} ${problem.retryAfter ?? 0}`;
  }
}

export function misused(): void {
  // @ts-expect-error: a status is one of the words
  const word: Status = "approved";
  // @ts-expect-error: follow wants to tell somebody
  follow("reference");
  // @ts-expect-error: there is no such option
  void start({ returnto: "/members" });
  // @ts-expect-error: what is begun has no verdict
  void start().then((started) => started.status);
  void word;
}
