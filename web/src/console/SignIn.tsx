import { useSignal } from "@preact/signals";
import { Plain } from "../app/Plain.js";
import { Labelled } from "../ui/Labelled.js";
import { signedOut, signIn } from "./session.js";

/** An instructor shows their token. */
export function SignIn() {
  const token = useSignal("");
  const trouble = useSignal(signedOut.value);
  const busy = useSignal(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    busy.value = true;
    trouble.value = "";
    try {
      await signIn(token.value);
    } catch (error) {
      trouble.value = error instanceof Error ? error.message : String(error);
    }
    busy.value = false;
  };
  return (
    <Plain title="Instructor's console" busy={busy.value}>
      {trouble.value && (
        <p class="callout bad" role="alert">
          {trouble.value}
        </p>
      )}
      <form class="stack" onSubmit={submit}>
        <Labelled
          label="API token"
          hint={
            <>
              The first admin's is in <code>admin.token</code> in the server's data directory. It
              stays in this tab and is forgotten when the tab is closed.
            </>
          }
        >
          {(control) => (
            <input
              {...control}
              class="code"
              type="password"
              required
              autocomplete="off"
              value={token}
              onInput={(event) => {
                token.value = event.currentTarget.value;
              }}
            />
          )}
        </Labelled>
        <button type="submit" class="main" disabled={busy.value}>
          {busy.value ? "Signing in…" : "Sign in"}
        </button>
      </form>
      <p class="aside">
        You learn? <a href="/">Join with a code</a>
      </p>
    </Plain>
  );
}
