import { AuthError, Client } from "@clarateach/sdk";
import { computed, signal } from "@preact/signals";
import { read, write } from "../app/keep.js";

const session = (): Storage => sessionStorage;

/** The instructor's API token: in this tab alone, until it is closed; never in an address. */
const token = signal(read<string>("token", session) ?? "");

/** Why one must sign in again; empty at first. */
export const signedOut = signal("");

/** The control plane as the instructor; undefined until signed in. */
export const client = computed(() =>
  token.value === "" ? undefined : new Client({ token: token.value }),
);

/** Signs in, if the server takes the token. Throws its refusal. */
export async function signIn(text: string): Promise<void> {
  const trimmed = text.trim();
  await new Client({ token: trimmed }).workshops.page("", { pageSize: 1 });
  write("token", trimmed, session);
  signedOut.value = "";
  token.value = trimmed;
}

/** Forgets the token. */
export function signOut(why = ""): void {
  write("token", undefined, session);
  signedOut.value = why;
  token.value = "";
}

/** Whose pages these are, for tabs that share what they watch: another token may see less. Tells nothing of it. */
export async function who(): Promise<string> {
  // Missing where pages came unsafely; there tabs share nothing.
  const subtle = crypto.subtle as SubtleCrypto | undefined;
  const sum = await subtle?.digest("SHA-256", new TextEncoder().encode(token.value));
  return Array.from(new Uint8Array(sum ?? []).slice(0, 8), (byte) => byte.toString(16)).join("-");
}

/** What went wrong, for people; a token that counts no more leads back to the sign-in. */
export function told(error: unknown): string {
  // A learner's page may be refused without being signed out: only who is not known is.
  if (error instanceof AuthError && /^TOKEN_/.test(error.reason)) {
    signOut("Your token does not count any more.");
  }
  return error instanceof Error ? error.message : String(error);
}
