import { ClarateachError, InvalidError, UnavailableError } from "@clarateach/sdk";

/** What a learner reads when they cannot come in. */
export interface Words {
  readonly title: string;
  readonly text: string;
  /** Tried again by itself after so long, in milliseconds. */
  readonly againMs?: number;
  /** Whether another name or code may help, so that the form is shown. */
  readonly form?: boolean;
}

const AGAIN_MS = 10_000;

/** Words for each end that a join can have, by the server's stable reason. */
const ENDS: Record<string, (error: ClarateachError) => Words> = {
  CODE_UNKNOWN: () => ({
    title: "No workshop has this code",
    text: "Check it with your instructor. A code also stops working when its workshop is over.",
  }),
  SEATS_EXHAUSTED: ({ message, retryAfterMs }) => ({
    title: "The class is full",
    text: `${sentence(message)} This page tries again by itself.`,
    againMs: retryAfterMs ?? AGAIN_MS,
    form: true,
  }),
  NOT_RUNNING: () => ({
    title: "Not open now",
    text: "The workshop is stopped; seats and files are kept. This page opens by itself when your instructor starts it.",
    againMs: AGAIN_MS,
  }),
  WORKSHOP_OVER: () => OVER,
  WORKSHOP_DELETING: () => OVER,
  WORKSHOP_FAILED: () => ({
    title: "The workshop could not be made",
    text: "Your instructor sees why, and may try again: keep this page open.",
    againMs: AGAIN_MS,
  }),
  RECONNECT_UNKNOWN: () => ({
    title: "That seat is not yours any more",
    text: "The reconnect code belongs to no seat of this workshop. Join without it for a new seat.",
    form: true,
  }),
  SEAT_REVOKED: () => REVOKED,
  TOO_MANY_WRONG_CODES: ({ retryAfterMs }) => ({
    title: "Too many wrong codes",
    text: "They came from your network, perhaps not from you. Check the code; this page tries again by itself.",
    againMs: retryAfterMs ?? 60_000,
  }),
};

/** After the end, for those who are in and those who come late. */
export const OVER: Words = {
  title: "The workshop is over",
  text: "Its machines and files are gone. Ask your instructor for a new workshop and its code.",
};

/** The instructor took the seat back. */
export const REVOKED: Words = {
  title: "Your seat was taken back",
  text: "Its files are gone. Join again for another seat.",
  form: true,
};

/** What a failed join means to a learner. */
export function words(error: unknown): Words {
  if (!(error instanceof ClarateachError)) {
    return { title: "Something went wrong here", text: String(error), form: true };
  }
  const end = ENDS[error.reason];
  if (end) return end(error);
  if (error instanceof InvalidError) {
    const said = error.fields.map(({ field, description }) => `${field}: ${description}`);
    return {
      title: "That cannot be",
      text: sentence(said.join("; ") || error.message),
      form: true,
    };
  }
  if (error instanceof UnavailableError) {
    return {
      title: "The server does not answer",
      text: "Your network or the server is away. This page tries again by itself.",
      againMs: error.retryAfterMs ?? 5_000,
    };
  }
  return { title: "Joining did not work", text: sentence(error.message), form: true };
}

function sentence(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
